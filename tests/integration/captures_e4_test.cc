// A real Debezium that was killed three times under load sends 48,000 changes twice. Rule N1 takes
// each once; every simpler rule loses or doubles some (DESIGN 4.2).
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "consumer/core/decode.h"
#include "consumer/core/fold.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_store.h"
#include "tests/support/captures.h"
#include "tests/support/declarations.h"
#include "tests/support/fake_store.h"
#include "tests/support/scratch_postgres.h"

namespace tidemark::testing {
namespace {

using nlohmann::json;
using Counts = std::map<std::string, std::int64_t>;  // "by_w.follows[3]" -> live rows

constexpr const char* kTables[] = {"follows", "saves"};
constexpr const char* kColumns[] = {"w", "n"};
constexpr std::size_t kBatchRecordsMax = 6000;

// The capture's own tables: live rows by w, and by n.
Declaration ko_declaration() {
  DeclarationBuilder builder;
  for (const std::string column : kColumns) {
    builder.aggregate("by_" + column, column, {"follows", "saves"});
  }
  for (const std::string table : kTables) {
    builder.table(table)
        .key_column("id", ColumnType::kBigint)
        .column("w", ColumnType::kInteger)
        .column("n", ColumnType::kInteger)
        .nullable_column("note", ColumnType::kText);
    for (const std::string column : kColumns) builder.adds("by_" + column, table, column);
  }
  return builder.build();
}

constexpr const char* kSchema =
    "set search_path = public;"
    "create table by_w (w integer primary key, follows bigint default 0, saves bigint default 0);"
    "create table by_n (n integer primary key, follows bigint default 0, saves bigint default 0);"
    "create table follows (id bigint primary key, w integer, n integer, note text);"
    "create table saves (id bigint primary key, w integer, n integer, note text)";

// The records of the two tables, in the order in which they were read.
const std::vector<CapturedRecord>& capture() {
  static const std::vector<CapturedRecord> records = [] {
    std::vector<CapturedRecord> all = read_capture("e4-kill.jsonl.gz");
    std::erase_if(all, [](const CapturedRecord& record) {
      return record.table() != kTables[0] && record.table() != kTables[1];
    });
    return all;
  }();
  return records;
}

// --- the truth, without any of Tidemark --------------------------------------------------------

// [table, op, id] of each committed change.
std::vector<json> read_truth() {
  const std::string path =
      std::string(TIDEMARK_SOURCE_DIR) + "/../shared/captures/e4-truth-1.jsonl.gz";
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw std::runtime_error("can't read " + path);
  std::vector<json> lines;
  char line[256];
  while (gzgets(file.get(), line, sizeof line) != nullptr) lines.push_back(json::parse(line));
  return lines;
}

const std::vector<json>& committed_changes() {
  static const std::vector<json> changes = read_truth();
  return changes;
}

// Which rows live is told by the committed changes; what they hold, by the last event of each,
// which a repetition can't put before an older one.
const Counts& truth() {
  static const Counts counts = [] {
    std::map<std::pair<std::string, std::int64_t>, int> live;
    for (const json& change : committed_changes()) {
      int& row = live[{change[0], change[2]}];
      if (change[1] == "c") ++row;
      if (change[1] == "d") --row;
    }
    std::map<std::pair<std::string, std::int64_t>, json> rows;
    for (const CapturedRecord& record : capture()) {
      if (!record.value) continue;
      const json event = json::parse(*record.value);
      if (!event["after"].is_object()) continue;
      rows[{std::string(record.table()), event["after"]["id"]}] = event["after"];
    }
    Counts out;
    for (const auto& [id, alive] : live) {
      EXPECT_TRUE(alive == 0 || alive == 1);
      if (alive == 0) continue;
      for (const std::string column : kColumns) {
        ++out[fmt::format("by_{}.{}[{}]", column, id.first, rows.at(id)[column].dump())];
      }
    }
    return out;
  }();
  return counts;
}

// --- consumers ---------------------------------------------------------------------------------

// How a consumer tells what is new. The fold knows the first only; for the others the test decides,
// and shows the fold a position that is new, or no change at all.
enum class Rule { kN1, kTiesAreNew, kTiesAreOld, kLsnAlone };

class Consumer {
 public:
  Consumer(const Declaration& declaration, Rule rule)
      : rule_(rule), decoder_(declaration, {}), fold_(declaration, NotNewPolicy::kDrop) {
    for (const char* table : kTables) tables_[table] = {{table_named(declaration, table)}, false};
    std::set<TopicPartition> all;
    for (const CapturedRecord& record : capture()) {
      all.insert({record.topic, Partition(record.partition)});
    }
    partitions_.assign(all.begin(), all.end());
  }

  // From what is stored.
  void start(Store& store) {
    std::vector<FoldPartition> starts;
    for (const Claimed& claim : store.claim(partitions_)) {
      starts.push_back({claim.where, claim.epoch, claim.next, claim.mark});
    }
    for (std::uint32_t slot = 0; slot < starts.size(); ++slot) slots_[starts[slot].where] = slot;
    fold_.reset(starts);
  }

  void take(const CapturedRecord& captured) {
    const Record record =
        captured.record(slots_.at({captured.topic, Partition(captured.partition)}));
    if (record.offset < fold_.next(record.slot)) return;
    DecodeResult result =
        decoder_.decode(record, tables_.at(std::string(captured.table())), change_);
    if (const auto* bad = std::get_if<BadRecord>(&result)) {
      ADD_FAILURE() << bad->reason;
    } else if (const auto* reason = std::get_if<SkipReason>(&result)) {
      fold_.add_skip(record, *reason);
    } else if (judge(record)) {
      fold_.add_change(record, change_);
    } else {
      fold_.add_skip(record, SkipReason::kOtherTable);
    }
  }

  Delta batch() { return fold_.take(); }
  bool empty() const { return fold_.empty(); }

 private:
  bool judge(const Record& record) {
    if (rule_ == Rule::kN1) return true;
    if (rule_ == Rule::kLsnAlone) {
      change_.position->last_commit.reset();
      return true;
    }
    std::optional<Position>& mark = marks_[record.slot];
    const Position position = *change_.position;
    const bool is_new =
        !mark || position > *mark || (rule_ == Rule::kTiesAreNew && position == *mark);
    if (!is_new) return false;
    mark = position;
    change_.position = Position{Lsn(++serial_), Lsn(0)};
    return true;
  }

  Rule rule_;
  Decoder decoder_;
  Fold fold_;
  Change change_;
  std::map<std::string, TopicTables> tables_;
  std::vector<TopicPartition> partitions_;
  std::map<TopicPartition, std::uint32_t> slots_;
  std::map<std::uint32_t, std::optional<Position>> marks_;
  std::uint64_t serial_ = 0;
};

// Counts in memory by a rule; all in one run, a batch each few thousand records.
Counts counted_by(Rule rule) {
  const Declaration declaration = ko_declaration();
  FakeDatabase database(declaration);
  FakeStore store(database);
  Consumer consumer(declaration, rule);
  consumer.start(store);
  std::size_t taken = 0;
  for (const CapturedRecord& record : capture()) {
    consumer.take(record);
    if (++taken % kBatchRecordsMax == 0) store.apply(consumer.batch());
  }
  if (!consumer.empty()) store.apply(consumer.batch());
  EXPECT_TRUE(database.suspect_ranges().empty());
  return database.cells();
}

std::int64_t sum(const Counts& counts) {
  std::int64_t total = 0;
  for (const auto& [cell, count] : counts) total += count;
  return total;
}

// --- the tests ---------------------------------------------------------------------------------

TEST(CaptureE4, HoldsRepetitionsOfEverySort) {
  std::size_t changes = 0;
  for (const CapturedRecord& record : capture()) changes += record.value ? 1U : 0U;
  EXPECT_GT(changes, committed_changes().size() + 40'000);
  EXPECT_GT(truth().size(), 5U);
}

TEST(CaptureE4, RuleN1CountsTheTruth) { EXPECT_EQ(counted_by(Rule::kN1), truth()); }

TEST(CaptureE4, WithoutTheIdentitiesAtTheMarkItDoubles) {
  EXPECT_GT(sum(counted_by(Rule::kTiesAreNew)), sum(truth()));
}

TEST(CaptureE4, DroppingWhatStandsAtTheMarkLoses) {
  EXPECT_LT(sum(counted_by(Rule::kTiesAreOld)), sum(truth()));
}

TEST(CaptureE4, ByLsnAloneItLoses) { EXPECT_LT(sum(counted_by(Rule::kLsnAlone)), sum(truth())); }

class CaptureOnPostgres : public ::testing::Test {
 protected:
  CaptureOnPostgres() {
    options_.connection = ScratchPostgres::instance().make_database("ko");
    superuser_ = std::make_unique<PgConnection>(options_);
    superuser_->run_alone("make the tables", kSchema);
    migrate({.pg = options_, .group_id = "ko", .run_role = ""}, declaration_);
  }

  std::unique_ptr<PgStore> member() const {
    return std::make_unique<PgStore>(
        declaration_,
        PgStoreOptions{.pg = options_, .group_id = "ko", .owner = "test", .recounted = false});
  }

  Counts stored() {
    Counts out;
    for (const std::string column : kColumns) {
      const SqlResult rows = superuser_->run_alone(
          "look", fmt::format("select {0}, follows, saves from public.by_{0}", column));
      for (std::size_t row = 0; row < rows.rows(); ++row) {
        for (std::size_t table = 0; table < std::size(kTables); ++table) {
          const std::int64_t count = rows.integer(row, table + 1);
          if (count == 0) continue;
          out[fmt::format("by_{}.{}[{}]", column, kTables[table], rows.integer(row, 0))] = count;
        }
      }
    }
    return out;
  }

  const Declaration declaration_ = ko_declaration();
  PgOptions options_;
  std::unique_ptr<PgConnection> superuser_;
};

// Batches of 1 to 6,000 records; now and then the process dies before or after a commit, or a reply
// is lost, and another one goes on from the stored offsets and marks.
TEST_F(CaptureOnPostgres, CountsTheTruthWhateverTheBatchesAndRestarts) {
  std::mt19937_64 random(20260101);
  auto store = member();
  auto consumer = std::make_unique<Consumer>(declaration_, Rule::kN1);
  consumer->start(*store);
  std::size_t applied = 0;  // so many records are in the database
  std::size_t changes = 0;
  int restarts = 0;
  while (applied < capture().size()) {
    const std::size_t size =
        random() % 4 == 0 ? 1 + random() % 30 : 1 + random() % kBatchRecordsMax;
    const std::size_t end = std::min(capture().size(), applied + size);
    for (std::size_t i = applied; i < end; ++i) consumer->take(capture()[i]);
    const Delta delta = consumer->batch();
    const auto fate = random() % 8;
    if (fate != 0) {  // 0: dies before
      ASSERT_EQ(store->apply(delta).outcome, ApplyOutcome::kApplied);
      applied = end;
      changes += delta.figures.changes - delta.figures.duplicates;
    }
    if (fate == 1) {
      EXPECT_EQ(store->apply(delta).outcome, ApplyOutcome::kFenced);
    }
    if (fate > 1) continue;
    ++restarts;
    store = member();
    consumer = std::make_unique<Consumer>(declaration_, Rule::kN1);
    consumer->start(*store);
  }
  EXPECT_GT(restarts, 5);
  EXPECT_EQ(changes, committed_changes().size());
  EXPECT_EQ(stored(), truth());
  EXPECT_EQ(superuser_->run_alone("look", "select count(*) from tidemark.suspects").integer(0, 0),
            0);
  EXPECT_EQ(superuser_->run_alone("look", "select count(*) from tidemark.parked").integer(0, 0), 0);
}

}  // namespace
}  // namespace tidemark::testing
