#include "consumer/service/advisory_commit.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

TopicPartition at(std::int32_t partition) { return {"t", Partition(partition)}; }

Delta applied(std::int32_t partition, std::int64_t to) {
  Delta delta;
  Advance advance;
  advance.where = at(partition);
  advance.to = Offset(to);
  delta.advances.push_back(advance);
  return delta;
}

WalPositions wal(std::uint64_t inserted, std::uint64_t flushed) {
  return {Lsn(inserted), Lsn(flushed)};
}

using Told = std::map<std::int32_t, std::int64_t>;
Told told(const std::vector<StartAt>& starts) {
  Told out;
  for (const StartAt& start : starts) out[start.where.partition.value] = start.offset.value;
  return out;
}

TEST(AdvisoryCommit, TellsNothingWhenNothingWasApplied) {
  AdvisoryCommit commit;
  EXPECT_FALSE(commit.pending());
  EXPECT_EQ(told(commit.on_probe(wal(100, 100))), Told{});
  EXPECT_FALSE(commit.pending());
}

TEST(AdvisoryCommit, WaitsUntilTheLogIsFlushedPastTheProbe) {
  AdvisoryCommit commit;
  commit.note_applied(applied(0, 10));
  EXPECT_TRUE(commit.pending());
  EXPECT_EQ(told(commit.on_probe(wal(100, 100))), Told{});
  EXPECT_EQ(told(commit.on_probe(wal(200, 99))), Told{});
  EXPECT_TRUE(commit.pending());
  EXPECT_EQ(told(commit.on_probe(wal(200, 100))), (Told{{0, 10}}));
  EXPECT_FALSE(commit.pending());
}

TEST(AdvisoryCommit, OffsetsNotedAfterTheProbeWaitForTheNext) {
  AdvisoryCommit commit;
  commit.note_applied(applied(0, 10));
  commit.on_probe(wal(100, 0));
  commit.note_applied(applied(0, 20));  // its records may stand above 100
  commit.note_applied(applied(1, 5));
  EXPECT_EQ(told(commit.on_probe(wal(200, 100))), (Told{{0, 10}}));
  EXPECT_TRUE(commit.pending());
  EXPECT_EQ(told(commit.on_probe(wal(300, 199))), Told{});
  EXPECT_EQ(told(commit.on_probe(wal(300, 200))), (Told{{0, 20}, {1, 5}}));
}

TEST(AdvisoryCommit, ForgetsPartitionsThatWereTaken) {
  AdvisoryCommit commit;
  commit.note_applied(applied(0, 10));
  commit.on_probe(wal(100, 0));
  commit.note_applied(applied(1, 10));
  commit.clear();
  EXPECT_FALSE(commit.pending());
  EXPECT_EQ(told(commit.on_probe(wal(100, 100))), Told{});
}

}  // namespace
}  // namespace tidemark
