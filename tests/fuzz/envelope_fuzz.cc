// Any bytes as a record: the decoder gives an answer, the answer is whole, and it does not depend
// on the records before.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "consumer/core/check.h"
#include "consumer/core/decode.h"
#include "tests/support/declarations.h"

namespace tidemark {
namespace {

bool same(const DecodeResult& a, const DecodeResult& b) {
  if (a.index() != b.index()) return false;
  if (const auto* skip = std::get_if<SkipReason>(&a)) return *skip == std::get<SkipReason>(b);
  if (const auto* bad = std::get_if<BadRecord>(&a)) {
    return bad->code == std::get<BadRecord>(b).code && bad->reason == std::get<BadRecord>(b).reason;
  }
  return true;
}

bool same(const Change& a, const Change& b) {
  return a.table == b.table && a.op == b.op && a.position == b.position && a.tx_id == b.tx_id &&
         a.source_time_us == b.source_time_us && a.before == b.before && a.after == b.after;
}

// An image is empty, or has every declared column; a text holds what Postgres can.
void check_image(const Table& table, const RowImage& row, bool is_after) {
  TIDEMARK_CHECK(row.empty() || row.size() == table.columns.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Column& column = table.columns[i];
    TIDEMARK_CHECK(!is_after || column.nullable || !std::holds_alternative<Null>(row[i]));
    if (const auto* text = std::get_if<std::string_view>(&row[i])) {
      TIDEMARK_CHECK(text->find('\0') == std::string_view::npos);
      TIDEMARK_CHECK(!is_integer(column.type));
    }
    if (std::holds_alternative<std::int64_t>(row[i]))
      TIDEMARK_CHECK(is_integer(column.type) || column.type == ColumnType::kTimestamp ||
                     column.type == ColumnType::kDate);
  }
}

// The decoder that has seen all inputs so far, and what it decodes for.
struct Subject {
  Declaration declaration = testing::music_declaration();
  DecodeLimits limits{1 << 16, 64};
  Decoder warm{declaration, limits};
  Change change;
};

void check_topic(Subject& subject, const Record& record, const TopicTables& topic) {
  const DecodeResult result = subject.warm.decode(record, topic, subject.change);
  Decoder fresh(subject.declaration, subject.limits);
  Change fresh_change;
  TIDEMARK_CHECK(same(result, fresh.decode(record, topic, fresh_change)));
  if (const auto* bad = std::get_if<BadRecord>(&result)) TIDEMARK_CHECK(!bad->reason.empty());
  if (!std::holds_alternative<Decoded>(result)) return;
  const Change& change = subject.change;
  TIDEMARK_CHECK(same(change, fresh_change));
  const Table& table = subject.declaration.table(change.table);
  check_image(table, change.before, false);
  check_image(table, change.after, true);
  const bool has_after = change.op != Op::kDelete && change.op != Op::kTruncate;
  TIDEMARK_CHECK(has_after == !change.after.empty());
}

}  // namespace
}  // namespace tidemark

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tidemark::testing::table_named;
  static tidemark::Subject subject;
  tidemark::Record record;
  record.value = std::string_view(reinterpret_cast<const char*>(data), size);
  const tidemark::TableIndex reposts = table_named(subject.declaration, "reposts");
  const tidemark::TableIndex events = table_named(subject.declaration, "user_events");
  check_topic(subject, record, {{reposts}, false});
  check_topic(subject, record, {{events, reposts}, false});
  check_topic(subject, record, {{}, false});
  return 0;
}
