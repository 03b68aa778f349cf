// Which thresholds a batch crosses, and by which change (DOMAIN 2, "Milestones").
#include "consumer/core/milestone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/unit/fold_tester.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using testing::FoldTester;
using ::testing::IsEmpty;
using testing::shipped_declaration;

const std::string kTracks = "aggregate_track";
const std::string kUsers = "aggregate_user";

class MilestoneWalk : public ::testing::Test {
 protected:
  static AggregateIndex aggregate(const std::string& name) {
    return *shipped_declaration().find_aggregate({"public", name});
  }

  // Reposts of track 9; the user's id tells changes apart.
  void repost(int user) {
    t_.create("reposts", {{"user_id", user},
                          {"repost_item_id", 9},
                          {"repost_type", "track"},
                          {"blocknumber", 100 + user}});
  }
  void undo(int user) {
    t_.remove("reposts", {{"user_id", user}, {"repost_item_id", 9}, {"repost_type", "track"}});
  }

  // "threshold by user" of each crossing of the row, which held `before`.
  std::vector<std::string> crossings(const std::string& name, std::size_t milestone,
                                     std::int64_t before,
                                     const std::vector<std::size_t>& skipped = {}) {
    const Delta delta = t_.fold.take();
    const AggregateIndex index = aggregate(name);
    const Milestone& declared =
        shipped_declaration().aggregate(index).milestones.counters.at(milestone);
    FencedDelta fenced;
    if (!skipped.empty()) {
      fenced.aggregates = delta.aggregates;
      fenced.skips.resize(delta.log.size());
    }
    for (const std::size_t place : skipped) {
      const LoggedDelta& logged = delta.log[place];
      AggregateDelta& rows = fenced.aggregates[logged.aggregate];
      rows.deltas[rows.places[logged.row] * rows.counters + logged.counter] -= logged.delta;
      fenced.skips[place] = true;
    }
    const AggregateDelta& applied =
        (skipped.empty() ? delta.aggregates : fenced.aggregates)[index.value];
    std::vector<CellValue> values;
    for (std::size_t row = 0; row < applied.rows(); ++row) {
      values.push_back({index, row, milestone,
                        before + applied.deltas[row * applied.counters + declared.counter.value]});
    }
    std::vector<std::string> out;
    for (const Crossing& crossing : find_crossings(shipped_declaration(), delta, fenced, values)) {
      out.push_back(std::to_string(crossing.threshold) + " by " +
                    std::to_string(crossing.details.at(3)));
      blocks_.push_back(crossing.details.at(1));
      slots_.push_back(crossing.details.at(2));
    }
    return out;
  }
  std::vector<std::string> reposts_over(std::int64_t before) {
    return crossings(kTracks, 0, before);
  }

  FoldTester t_;
  std::vector<std::int64_t> blocks_;
  std::vector<std::int64_t> slots_;
};

TEST_F(MilestoneWalk, TheChangeThatReachesTheThresholdIsTheOneThatIsTold) {
  for (const int user : {1, 2, 3}) repost(user);
  EXPECT_THAT(reposts_over(8), ElementsAre("10 by 2"));
  EXPECT_THAT(blocks_, ElementsAre(102));
  EXPECT_THAT(slots_, ElementsAre(kNullDetail));
}

TEST_F(MilestoneWalk, EachOfSeveralThresholdsOfOneBatchIsTold) {
  for (int user = 1; user <= 60; ++user) repost(user);
  EXPECT_THAT(reposts_over(0), ElementsAre("10 by 10", "25 by 25", "50 by 50"));
}

TEST_F(MilestoneWalk, AThresholdThatWasReachedBeforeIsNotToldAgain) {
  repost(1);
  EXPECT_THAT(reposts_over(10), IsEmpty());
}

TEST_F(MilestoneWalk, ACrossingThatIsUndoneInTheBatchIsNotTold) {
  repost(1);
  repost(2);
  undo(1);
  EXPECT_THAT(reposts_over(8), IsEmpty());
}

TEST_F(MilestoneWalk, ThereAndBackAndThereIsToldOnceByTheChangeThatStays) {
  repost(1);
  undo(1);
  repost(2);
  EXPECT_THAT(reposts_over(9), ElementsAre("10 by 2"));
}

TEST_F(MilestoneWalk, DownAndUpAgainCrossesNothing) {
  undo(1);
  repost(2);
  EXPECT_THAT(reposts_over(10), IsEmpty());
}

TEST_F(MilestoneWalk, AFarFallIsMadeGoodBeforeAnythingIsTold) {
  for (int user = 1; user <= 15; ++user) undo(user);
  for (int user = 21; user <= 40; ++user) repost(user);
  EXPECT_THAT(reposts_over(9), ElementsAre("10 by 36"));
}

TEST_F(MilestoneWalk, ANegativeCellTellsNothingUntilItIsUp) {
  for (int user = 1; user <= 12; ++user) repost(user);
  EXPECT_THAT(reposts_over(-5), IsEmpty());
}

TEST_F(MilestoneWalk, WhatAFenceSkippedIsNoStep) {
  for (const int user : {1, 2, 3}) repost(user);
  // Each repost is logged for its user and for the track, in this order: the first one's track
  // goes.
  const Delta sample = [&] {
    FoldTester other;
    other.create("reposts", {{"user_id", 1}, {"repost_item_id", 9}, {"repost_type", "track"}});
    return other.fold.take();
  }();
  const std::size_t track_place = sample.log.at(0).aggregate == aggregate(kTracks).value ? 0 : 1;
  EXPECT_THAT(crossings(kTracks, 0, 8, {track_place}), ElementsAre("10 by 3"));
}

TEST_F(MilestoneWalk, OnlyCountersWithMilestonesKeepDetails) {
  t_.create("follows", {{"follower_user_id", 1}, {"followee_user_id", 2}});
  t_.create("tracks", {{"track_id", 9}, {"owner_id", 1}});
  t_.remove("follows", {{"follower_user_id", 3}, {"followee_user_id", 2}});
  const Delta delta = t_.fold.take();
  ASSERT_EQ(delta.details.entries.size(), 1U) << "the followee's, not the follower's";
  const LoggedDelta& logged = delta.log.at(delta.details.entries[0].logged);
  const Aggregate& users = shipped_declaration().aggregate(aggregate(kUsers));
  EXPECT_EQ(users.counters.at(logged.counter).name, "follower_count");
  EXPECT_EQ(delta.details.values.at(3), 1);
}

TEST_F(MilestoneWalk, TheNextBatchBeginsWithoutTheLastOnesDetails) {
  repost(1);
  t_.fold.take();
  repost(2);
  EXPECT_THAT(reposts_over(9), ElementsAre("10 by 2"));
}

// Any walk: told is exactly what lies between the ends, each once, and by a change after which the
// value stays at or above the threshold.
TEST_F(MilestoneWalk, WhatIsToldLiesBetweenTheEnds) {
  std::uint32_t seed = 7;
  const auto next = [&] { return seed = seed * 1664525U + 1013904223U; };
  for (int round = 0; round < 200; ++round) {
    const std::int64_t before = static_cast<std::int64_t>(next() % 30);
    std::vector<int> steps;
    for (std::uint32_t i = next() % 60; i > 0; --i) steps.push_back(next() % 3 == 0 ? -1 : 1);
    std::int64_t value = before;
    std::map<std::int64_t, int> last_up;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const int user = static_cast<int>(i) + 1;
      steps[i] > 0 ? repost(user) : undo(user);
      value += steps[i];
      if (steps[i] > 0) last_up[value] = user;
    }
    std::vector<std::string> expected;
    for (const std::int64_t threshold : {10, 25, 50}) {
      if (before < threshold && threshold <= value) {
        expected.push_back(std::to_string(threshold) + " by " + std::to_string(last_up[threshold]));
      }
    }
    EXPECT_EQ(reposts_over(before), expected) << "round " << round;
  }
}

}  // namespace
}  // namespace tidemark
