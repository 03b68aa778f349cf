// The decoder on what a real Debezium wrote: shared/captures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "consumer/core/decode.h"
#include "tests/support/captures.h"
#include "tests/support/declarations.h"

namespace tidemark {
namespace {

using testing::CapturedRecord;
using testing::DeclarationBuilder;
using testing::read_capture;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// The music network's tables, and the others that the captures hold. `ts_millis`: timestamps come
// in milliseconds (time.precision.mode=connect).
Declaration capture_declaration(bool ts_millis = false) {
  DeclarationBuilder builder;
  builder.table("types_all")
      .key_column("id", ColumnType::kBigint)
      .nullable_column("si", ColumnType::kSmallint)
      .nullable_column("i", ColumnType::kInteger)
      .nullable_column("t", ColumnType::kText)
      .nullable_column("b", ColumnType::kBoolean)
      .nullable_column("u", ColumnType::kUuid)
      .nullable_column("j", ColumnType::kJson)
      .nullable_column("ts", ColumnType::kTimestamp);
  if (ts_millis) builder.in_millis();
  builder.nullable_column("ts3", ColumnType::kTimestamp)
      .in_millis()
      .nullable_column("tstz", ColumnType::kTimestamptz)
      .nullable_column("dt", ColumnType::kDate);
  builder.table("plays")
      .key_column("id", ColumnType::kInteger)
      .key_column("ts", ColumnType::kDate)
      .nullable_column("v", ColumnType::kInteger);
  builder.table("ri_default")
      .key_column("id", ColumnType::kInteger)
      .nullable_column("a", ColumnType::kInteger)
      .nullable_column("big", ColumnType::kText)
      .without_full_identity();
  builder.table("ri_full_toast")
      .key_column("id", ColumnType::kInteger)
      .nullable_column("big", ColumnType::kText);
  builder.table("nopk_full")
      .nullable_column("a", ColumnType::kInteger)
      .nullable_column("b", ColumnType::kText);
  builder.table("nopk_default").nullable_column("a", ColumnType::kInteger).without_full_identity();
  builder.table("one").key_column("id", ColumnType::kInteger).column("note", ColumnType::kText);
  builder.table("t").key_column("id", ColumnType::kInteger).column("x8", ColumnType::kText);
  Declaration declaration = testing::music_declaration();
  for (Table& table : builder.build().tables) declaration.tables.push_back(std::move(table));
  return declaration;
}

// A Value that outlives its decoder.
using OwnedValue = std::variant<Unknown, Null, bool, std::int64_t, std::string>;
using OwnedRow = std::vector<OwnedValue>;

OwnedRow owned(const RowImage& row) {
  OwnedRow out;
  for (const Value& value : row) {
    if (const auto* text = std::get_if<std::string_view>(&value)) {
      out.emplace_back(std::string(*text));
    } else {
      std::visit(
          [&](const auto& v) {
            if constexpr (!std::is_same_v<std::decay_t<decltype(v)>, std::string_view>) {
              out.emplace_back(v);
            }
          },
          value);
    }
  }
  return out;
}

std::string printed(const OwnedRow& row) {
  std::string out;
  for (const OwnedValue& value : row) {
    out += out.empty() ? "" : " ";
    switch (value.index()) {
      case 0:
        out += "unknown";
        break;
      case 1:
        out += "null";
        break;
      case 2:
        out += std::get<bool>(value) ? "true" : "false";
        break;
      case 3:
        out += std::to_string(std::get<std::int64_t>(value));
        break;
      default:
        out += std::get<std::string>(value);
        break;
    }
  }
  return out;
}

// One decoded record, with its own storage.
struct Taken {
  std::string code;  // "decoded", or the name of the skip or of the bad code
  std::string table;
  char op = 0;
  std::optional<Position> position;
  std::optional<std::uint64_t> tx_id;
  std::int64_t source_time_us = 0;
  bool has_key = false;
  OwnedRow before;
  OwnedRow after;

  // All that does not depend on the encoding or the slot, on one line.
  std::string text() const {
    return table + " " + op + " lsn " + (position ? std::to_string(position->lsn.value) : "none") +
           " [" + printed(before) + "] [" + printed(after) + "]";
  }
};

class Capture {
 public:
  explicit Capture(std::string_view file, bool ts_millis = false)
      : declaration_(capture_declaration(ts_millis)), records_(read_capture(file)) {
    Decoder decoder(declaration_, {});
    Change change;
    for (const CapturedRecord& record : records_) {
      taken_.push_back(take(decoder.decode(record.record(), topic_of(record), change), change));
    }
  }

  const std::vector<Taken>& taken() const { return taken_; }

  std::map<std::string, int> codes() const {
    std::map<std::string, int> count;
    for (const Taken& t : taken_) ++count[t.code];
    return count;
  }

  // The changes of a table, or of all ("") , but snapshot rows; sorted, as the keys' encoding
  // decides the partition.
  std::vector<std::string> streamed(std::string_view table = {}) const {
    std::vector<std::string> out;
    for (const Taken& t : taken_) {
      if (t.code == "decoded" && t.op != 'r' && (table.empty() || t.table == table)) {
        out.push_back(t.text());
      }
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  // The row after the n-th change of a table, in the file's order.
  const Taken& change(std::string_view table, char op, std::size_t n = 0) const {
    for (const Taken& t : taken_) {
      if (t.code == "decoded" && t.table == table && t.op == op && n-- == 0) return t;
    }
    throw std::runtime_error("no such change");
  }

 private:
  TopicTables topic_of(const CapturedRecord& record) const {
    TopicTables topic;
    topic.heartbeat = record.topic.rfind("__debezium-heartbeat.", 0) == 0;
    const std::string_view name = record.table();
    const bool partition = name == "plays_2024" || name == "plays_2025";
    const auto index = declaration_.tables.begin();
    for (auto table = index; table != declaration_.tables.end(); ++table) {
      if (table->name.name == (partition ? "plays" : name)) {
        topic.tables.push_back(TableIndex{static_cast<std::uint32_t>(table - index)});
      }
    }
    return topic;
  }

  Taken take(const DecodeResult& result, const Change& change) const {
    Taken t;
    if (const auto* skip = std::get_if<SkipReason>(&result)) t.code = skip_name(*skip);
    if (const auto* bad = std::get_if<BadRecord>(&result)) t.code = code_name(bad->code);
    if (!std::holds_alternative<Decoded>(result)) return t;
    t.code = "decoded";
    t.table = declaration_.table(change.table).name.name;
    t.op = op_letter(change.op);
    t.position = change.position;
    t.tx_id = change.tx_id;
    t.source_time_us = change.source_time_us;
    t.has_key = change.has_key;
    t.before = owned(change.before);
    t.after = owned(change.after);
    return t;
  }

  Declaration declaration_;
  std::vector<CapturedRecord> records_;
  std::vector<Taken> taken_;
};

using Codes = std::map<std::string, int>;

TEST(DecodeCaptures, WithoutSchemas) {
  const Capture b("b-schemas-false.jsonl");
  // The heartbeat and signal tables are not watched. The scenario adds a value to an enum, and
  // saves a row with it.
  EXPECT_EQ(b.codes(), (Codes{{"decoded", 76},
                              {"heartbeat", 68},
                              {"logical_message", 2},
                              {"tombstone", 9},
                              {"transaction_metadata", 234},
                              {"unknown_enum_value", 1},
                              {"unknown_table", 83}}));
  const Taken& insert = b.change("reposts", 'c');
  EXPECT_EQ(printed(insert.after), "20 600 album true false 2004 1795249050798467 0x20");
  EXPECT_EQ(insert.position, (Position{Lsn{26931352}, Lsn{26931352}}));
  EXPECT_EQ(insert.tx_id, 842u);
  EXPECT_EQ(insert.source_time_us, 1795249050799393);
  EXPECT_TRUE(insert.has_key);
  const Taken& snapshot = b.change("follows", 'r');
  EXPECT_EQ(printed(snapshot.after), "1 2 true false 1001 1709251200000000 0xee");
  EXPECT_EQ(snapshot.position, (Position{std::nullopt, Lsn{26787488}}));
}

TEST(DecodeCaptures, WithSchemas) {
  const Capture a("a-schemas-true.jsonl");
  EXPECT_EQ(a.codes(), (Codes{{"decoded", 67},
                              {"logical_message", 2},
                              {"tombstone", 9},
                              {"transaction_metadata", 232},
                              {"unknown_enum_value", 1},
                              {"unknown_table", 82}}));
  EXPECT_EQ(printed(a.change("reposts", 'c').after),
            "20 600 album true false 2004 1795249050798467 0x20");
}

TEST(DecodeCaptures, BothEncodingsOfOneScenarioGiveTheSameChanges) {
  const std::vector<std::string> with = Capture("a-schemas-true.jsonl").streamed();
  const std::vector<std::string> without = Capture("b-schemas-false.jsonl").streamed();
  EXPECT_GT(with.size(), 40u);
  EXPECT_EQ(with, without);
}

TEST(DecodeCaptures, DeletesTruncatesAndPartialImages) {
  const Capture b("b-schemas-false.jsonl");
  EXPECT_EQ(printed(b.change("reposts", 'd').before),
            "20 600 album true false 2005 1795249050798467 0x20");
  EXPECT_TRUE(b.change("reposts", 'd').after.empty());
  EXPECT_EQ(b.change("saves", 't').has_key, false);
  EXPECT_EQ(printed(b.change("saves", 'd').before),
            "3 300 album true false 1003 9223372036854775807 0xdd");  // infinity
  // REPLICA IDENTITY DEFAULT: nulls that look like data; TOAST: a placeholder.
  EXPECT_TRUE(b.change("ri_default", 'u').before.empty());
  EXPECT_EQ(printed(b.change("ri_default", 'u').after), "1 11 unknown");
  EXPECT_EQ(printed(b.change("ri_default", 'd').before), "1 unknown unknown");
  EXPECT_FALSE(b.change("nopk_full", 'u').has_key);
  EXPECT_EQ(printed(b.change("nopk_full", 'u').before), "1 n");
}

TEST(DecodeCaptures, UnwrappedRowsAreRefused) {
  EXPECT_EQ(Capture("c-unwrap.jsonl").codes(),
            (Codes{{"logical_message", 2}, {"not_an_envelope", 147}, {"tombstone", 9}}));
}

TEST(DecodeCaptures, TypesAtTheirEdges) {
  // The file holds three connectors: connect (tv1), isostring (tv2), microseconds (tv3), with the
  // same three rows each. Two columns are in other units under connect and microseconds; so here.
  const Capture d("d-type-variants.jsonl");
  ASSERT_EQ(d.codes(), (Codes{{"decoded", 9}}));
  const std::string nulls = " null null null null null null null null null null";
  for (const std::size_t connector : {0u, 1u, 2u}) {
    const OwnedRow& text = d.taken()[connector * 3].after;
    EXPECT_EQ(std::get<std::string>(text[3]), "\x01\xe2\x80\xa8 \xf0\x9f\x98\x80 \t\b/ \"\\");
    EXPECT_EQ(std::get<std::string>(text[6]), R"({"k":"\u0041"})");
    EXPECT_EQ(printed(d.taken()[connector * 3 + 2].after), "-1" + nulls);
    const OwnedRow& full = d.taken()[connector * 3 + 1].after;
    EXPECT_EQ(full[0], OwnedValue(std::int64_t{9007199254740993}));
    EXPECT_EQ(full[1], OwnedValue(std::int64_t{-32768}));
    EXPECT_EQ(full[2], OwnedValue(std::int64_t{2147483647}));
    EXPECT_EQ(full[3], OwnedValue(std::string("h\xc3\xa9llo \"q\" \\n")));
    EXPECT_EQ(full[4], OwnedValue(true));
    EXPECT_EQ(full[5], OwnedValue(std::string("11111111-2222-3333-4444-555555555555")));
    EXPECT_EQ(full[6], OwnedValue(std::string(R"({"a": 1, "a": 2})")));
    EXPECT_EQ(full[9], OwnedValue(std::string("2024-02-29T21:59:59.123456Z")));
    EXPECT_EQ(full[10], OwnedValue(std::int64_t{19782}));
  }
  constexpr std::int64_t kTs3 = 1709251199123000;
  const OwnedRow& iso = d.taken()[4].after;
  EXPECT_EQ(iso[7], OwnedValue(kMin));  // -infinity as "-292275055-05-16T23:00:00Z"
  EXPECT_EQ(iso[8], OwnedValue(kTs3));
  EXPECT_EQ(d.taken()[7].after[7], OwnedValue(kMin));  // -infinity in microseconds
  const Capture connect("d-type-variants.jsonl", true);
  EXPECT_EQ(connect.taken()[1].after[7], OwnedValue(kMin));  // -infinity in milliseconds
  EXPECT_EQ(connect.taken()[1].after[8], OwnedValue(kTs3));
}

TEST(DecodeCaptures, SchemasNameTheUnitsThatTheDeclarationMayHaveWrong) {
  const Capture wrong("a-schemas-true.jsonl", true);
  const Capture right("a-schemas-true.jsonl", false);
  const OwnedRow& row = wrong.change("types_all", 'r').after;
  EXPECT_EQ(row[7], OwnedValue(std::int64_t{1709251199123456}));
  EXPECT_EQ(row[8], OwnedValue(std::int64_t{1709251199123000}));
  EXPECT_EQ(row, right.change("types_all", 'r').after);
}

TEST(DecodeCaptures, InterleavedTransactionsHaveRisingPositions) {
  const Capture e1("e1-interleaved.jsonl");
  EXPECT_EQ(e1.codes(), (Codes{{"decoded", 26}, {"tombstone", 1}, {"transaction_metadata", 14}}));
  std::vector<Position> positions;
  for (const Taken& t : e1.taken()) {
    if (t.code == "decoded" && t.op != 'r') positions.push_back(t.position.value());
  }
  EXPECT_EQ(positions.size(), 24u);
}

TEST(DecodeCaptures, TransactionIdsAroundTheWrap) {
  const Capture e6("e6-txid.jsonl");
  EXPECT_EQ(e6.codes(), (Codes{{"decoded", 41}}));
  EXPECT_EQ(e6.taken().front().tx_id, 17179869150u);  // a snapshot's: 64 bits
  for (const Taken& t : e6.taken()) {
    if (t.op == 'r') continue;
    // The row holds pg_current_xact_id() of its own transaction.
    const std::uint64_t xid = std::stoull(std::get<std::string>(t.after[1]));
    EXPECT_EQ(t.tx_id, xid & 0xffffffffu);
  }
}

}  // namespace
}  // namespace tidemark
