#include "consumer/core/position.h"

#include <gtest/gtest.h>

#include <optional>

namespace tidemark {
namespace {

Position at(std::uint64_t last_commit, std::uint64_t lsn) { return {Lsn{last_commit}, Lsn{lsn}}; }
Position first_at(std::uint64_t lsn) { return {std::nullopt, Lsn{lsn}}; }

constexpr Hash64 kRowA{1};
constexpr Hash64 kRowB{2};

TEST(Observe, FirstChangeOfAPartitionIsNew) {
  Mark mark;
  EXPECT_EQ(observe(mark, at(10, 20), kRowA), Novelty::kNew);
  EXPECT_EQ(mark, (Mark{at(10, 20), {kRowA}}));
}

TEST(Observe, ChangeAboveTheMarkIsNewAndForgetsTheIdentitiesBelow) {
  Mark mark{at(10, 20), {kRowA, kRowB}};
  EXPECT_EQ(observe(mark, at(10, 21), kRowA), Novelty::kNew);
  EXPECT_EQ(mark, (Mark{at(10, 21), {kRowA}}));
}

TEST(Observe, RowsOfOneCopyPageAtOnePositionAreAllNew) {
  Mark mark;
  EXPECT_EQ(observe(mark, at(10, 20), kRowA), Novelty::kNew);
  EXPECT_EQ(observe(mark, at(10, 20), kRowB), Novelty::kNew);
  EXPECT_EQ(mark, (Mark{at(10, 20), {kRowA, kRowB}}));
}

TEST(Observe, RepetitionAtTheMarkIsSeen) {
  Mark mark{at(10, 20), {kRowA, kRowB}};
  EXPECT_EQ(observe(mark, at(10, 20), kRowA), Novelty::kSeenAtMark);
  EXPECT_EQ(mark, (Mark{at(10, 20), {kRowA, kRowB}}));
}

TEST(Observe, ChangeBelowTheMarkLeavesTheMark) {
  Mark mark{at(10, 20), {kRowA}};
  EXPECT_EQ(observe(mark, at(10, 19), kRowB), Novelty::kBelowMark);
  EXPECT_EQ(mark, (Mark{at(10, 20), {kRowA}}));
}

TEST(Observe, LongTransactionThatCommitsLateIsNewByItsCommitThoughItsLsnIsLow) {
  Mark mark{at(100, 150), {kRowA}};
  EXPECT_EQ(observe(mark, at(160, 40), kRowB), Novelty::kNew);
}

TEST(Observe, AbsentLastCommitIsBelowEveryLsn) {
  Mark mark{at(0, 1), {kRowA}};
  EXPECT_EQ(observe(mark, first_at(500), kRowB), Novelty::kBelowMark);
  Mark snapshot{first_at(500), {kRowA}};
  EXPECT_EQ(observe(snapshot, at(0, 1), kRowB), Novelty::kNew);
}

TEST(Observe, LsnsAreComparedAsUnsignedNumbers) {
  Mark mark{at(1, 9), {kRowA}};
  EXPECT_EQ(observe(mark, at(1, 10), kRowB), Novelty::kNew);
  EXPECT_EQ(observe(mark, at(1, ~std::uint64_t{0}), kRowB), Novelty::kNew);
}

TEST(Observe, NoPositionSaysNothingAndLeavesTheMark) {
  Mark mark{at(10, 20), {kRowA}};
  EXPECT_EQ(observe(mark, std::nullopt, kRowB), Novelty::kUnknown);
  EXPECT_EQ(mark, (Mark{at(10, 20), {kRowA}}));
}

TEST(Observe, EndlessChangesAtOnePositionNeitherGrowNorPassAsNew) {
  constexpr std::uint64_t kFlood = 10'000;
  Mark mark;
  std::uint64_t taken = 0;
  for (std::uint64_t i = 0; i < kFlood; ++i) {
    if (observe(mark, at(1, 1), Hash64{i}) == Novelty::kNew) ++taken;
  }
  EXPECT_EQ(mark.seen.size(), taken);
  EXPECT_LT(taken, kFlood);
  EXPECT_EQ(observe(mark, at(1, 1), Hash64{kFlood - 1}), Novelty::kUnknown);
  EXPECT_EQ(observe(mark, at(1, 1), Hash64{0}), Novelty::kSeenAtMark);
}

}  // namespace
}  // namespace tidemark
