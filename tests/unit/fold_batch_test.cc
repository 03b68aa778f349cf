// A batch as a whole: how far it goes, what it weighs, in which order it comes.
#include <gtest/gtest.h>

#include <algorithm>

#include "consumer/core/fold.h"
#include "consumer/core/ports.h"
#include "tests/unit/fold_tester.h"

namespace tidemark {
namespace {

using testing::Cells;
using testing::Fields;
using testing::FoldTester;

Fields follow(int follower, int followee) {
  return {{"follower_user_id", follower}, {"followee_user_id", followee}};
}

TEST(FoldBatch, KeysAreSortedAndStandOnce) {
  FoldTester t;
  for (const int user : {5, -3, 900, 5, 0, 77, -3}) t.create("users", {{"user_id", user}});
  t.create("follows", follow(5, 77));
  const Delta delta = t.fold.take();
  const auto users = std::ranges::find_if(
      delta.aggregates, [](const AggregateDelta& aggregate) { return aggregate.rows() != 0; });
  EXPECT_EQ(users->integer_keys, (std::vector<std::int64_t>{-3, 0, 5, 77, 900}));
  EXPECT_EQ(users->deltas.size(), 5 * users->counters);
}

TEST(FoldBatch, OnlyTheCountersOfItsRowsChange) {
  FoldTester t;
  t.create("follows", follow(1, 2));
  const Delta delta = t.fold.take();
  const Declaration& declaration = testing::shipped_declaration();
  for (std::size_t a = 0; a < delta.aggregates.size(); ++a) {
    for (std::uint32_t c = 0; c < delta.aggregates[a].counters; ++c) {
      const std::string& counter = declaration.aggregates[a].counters[c].name;
      EXPECT_EQ(delta.aggregates[a].changes(CounterIndex(c)),
                counter == "follower_count" || counter == "following_count");
    }
  }
}

TEST(FoldBatch, SuspectsAreSortedAndStandOnce) {
  FoldTester t;
  for (const int user : {9, 1, 5, 9, 1}) t.read("follows", follow(user, 2));
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.suspect_cells.size(), 4U);
  EXPECT_TRUE(std::ranges::is_sorted(delta.suspect_cells));
}

TEST(FoldBatch, AdvancesOnlyPartitionsThatMoved) {
  FoldTester t;
  t.on(1).create("follows", follow(1, 2));
  t.on(1).skip(SkipReason::kTombstone);
  const Delta delta = t.fold.take();
  ASSERT_EQ(delta.advances.size(), 1U);
  const Advance& advance = delta.advances[0];
  EXPECT_EQ(advance.where, (TopicPartition{"t", Partition(1)}));
  EXPECT_EQ(advance.epoch, Epoch(7));
  EXPECT_EQ(advance.from, Offset(0));
  EXPECT_EQ(advance.to, Offset(2));
  EXPECT_EQ(advance.fingerprint->offset, Offset(1));
}

TEST(FoldBatch, TheNextOneStartsWhereTheLastOneEnded) {
  FoldTester t;
  t.create("follows", follow(1, 2));
  t.fold.take();
  t.create("follows", follow(1, 3));
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.advances[0].from, Offset(1));
  EXPECT_EQ(delta.advances[0].to, Offset(2));
  EXPECT_EQ(t.cells(delta).size(), 2U);
  EXPECT_EQ(t.fold.take().advances.size(), 0U);
}

TEST(FoldBatch, StartsFromWhatIsStoredAcrossAGap) {
  FoldTester t;
  std::vector<FoldPartition> partitions = {{{"t", Partition(0)}, Epoch(1), kNotStarted, {}}};
  t.fold.reset(partitions);
  Record record = t.next_record();
  record.offset = Offset(40);  // the earliest retained
  t.fold.add_skip(record, SkipReason::kHeartbeat);
  record.offset = Offset(50);  // Kafka's own gap
  t.fold.add_skip(record, SkipReason::kHeartbeat);
  EXPECT_EQ(t.fold.next(0), Offset(51));
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.advances[0].from, kNotStarted);
  EXPECT_EQ(delta.advances[0].to, Offset(51));
}

TEST(FoldBatch, AdvancesAreSortedByTopicAndPartition) {
  FoldTester t;
  std::vector<FoldPartition> partitions = {{{"z", Partition(0)}, Epoch(1), Offset(0), {}},
                                           {{"a", Partition(1)}, Epoch(1), Offset(0), {}},
                                           {{"a", Partition(0)}, Epoch(1), Offset(0), {}}};
  t.fold.reset(partitions);
  for (std::uint32_t slot = 0; slot < 3; ++slot) {
    Record record = t.next_record();
    record.slot = slot;
    t.fold.add_skip(record, SkipReason::kTombstone);
  }
  EXPECT_TRUE(std::ranges::is_sorted(t.fold.take().advances, {}, &Advance::where));
}

TEST(FoldBatch, CountsItsFigures) {
  FoldTester t;
  t.create("follows", follow(1, 2));
  t.same_position().create("follows", follow(1, 2));
  t.skip(SkipReason::kTombstone);
  t.skip(SkipReason::kOtherTable);
  t.skip(SkipReason::kTombstone);
  EXPECT_EQ(t.fold.records(), 5U);
  EXPECT_EQ(t.fold.bytes(), 10U);
  const BatchFigures figures = t.fold.take().figures;
  EXPECT_EQ(figures.records, 5U);
  EXPECT_EQ(figures.bytes, 10U);
  EXPECT_EQ(figures.changes, 2U);
  EXPECT_EQ(figures.duplicates, 1U);
  EXPECT_EQ(figures.skipped[static_cast<std::size_t>(SkipReason::kTombstone)], 2U);
  EXPECT_EQ(figures.skipped[static_cast<std::size_t>(SkipReason::kOtherTable)], 1U);
  EXPECT_EQ(figures.oldest_append_ms, 1000);
  EXPECT_EQ(figures.newest_append_ms, 1004);
  EXPECT_EQ(t.fold.records(), 0U);
  EXPECT_EQ(t.fold.bytes(), 0U);
}

TEST(FoldBatch, ItsSizeIsItsRowsDirtyUsersSuspectsAndParkedRecords) {
  FoldTester t;
  t.create("follows", follow(1, 2));  // two rows, and the follower for one rule
  t.create("follows", follow(1, 2));  // the same
  EXPECT_EQ(t.fold.rows(), 3U);
  t.read("follows", follow(1, 2));  // two suspects
  t.bad("saves", "k", "v");
  EXPECT_EQ(t.fold.rows(), 6U);
  EXPECT_EQ(t.fold.parked(), 1U);
}

TEST(FoldFingerprint, RecognisesARecordByOffsetTimeKeyAndTail) {
  const std::string value(1000, 'v');
  Record record;
  record.offset = Offset(5);
  record.timestamp = KafkaTimestamp(9);
  record.key = "k";
  record.value = value;
  const Fingerprint usual = fingerprint_of(record);
  EXPECT_EQ(fingerprint_of(record), usual);

  Record other = record;
  other.offset = Offset(6);
  EXPECT_NE(fingerprint_of(other), usual);
  other = record;
  other.timestamp = KafkaTimestamp(10);
  EXPECT_NE(fingerprint_of(other), usual);
  other = record;
  other.key = "l";
  EXPECT_NE(fingerprint_of(other), usual);
  other = record;
  std::string changed = value;
  changed[1000 - Fingerprint::kValueTailBytes] = 'w';
  other.value = changed;
  EXPECT_NE(fingerprint_of(other), usual);
  changed = value;
  changed[999 - Fingerprint::kValueTailBytes] = 'w';  // before the tail
  EXPECT_EQ(fingerprint_of(other), usual);
}

TEST(FoldFingerprint, TakesTombstonesAndNullKeys) {
  Record record;
  record.offset = Offset(5);
  const Fingerprint none = fingerprint_of(record);
  record.key = "";
  record.value = "";
  EXPECT_EQ(fingerprint_of(record), none);  // an empty value is no record of Debezium's
}

}  // namespace
}  // namespace tidemark
