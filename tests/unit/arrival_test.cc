// When what a recount saw has all come (DESIGN F9): the slot alone doesn't say it.
#include "consumer/service/arrival.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

using std::chrono::milliseconds;

constexpr Lsn kEnd{1'000};
constexpr milliseconds kSilence{5'000};
const Arrival::Steady::time_point kStart{};

TopicPartition at(std::int32_t partition) { return {"reposts", Partition(partition)}; }

TopicEnd end_of(std::int32_t partition, std::int64_t high) {
  return {at(partition), Offset(0), Offset(high)};
}

Position position(std::uint64_t last_commit, std::uint64_t lsn) {
  return {Lsn(last_commit), Lsn(lsn)};
}

TEST(Arrival, WaitsForWhatTheProducerStillHasForOnePartitionThoughAnotherIsDone) {
  Arrival arrival(kEnd, kSilence);
  AppliedOffsets applied{{at(0), {Offset(5), position(900, 910)}},
                         {at(1), {Offset(9), position(1'000, 1'010)}}};
  EXPECT_FALSE(arrival.complete({end_of(0, 5), end_of(1, 9)}, applied, kStart));
  // Its queue comes only now: the silence counts from here.
  EXPECT_FALSE(
      arrival.complete({end_of(0, 7), end_of(1, 9)}, applied, kStart + milliseconds(4'900)));
  applied[at(0)] = {Offset(7), position(920, 930)};
  EXPECT_FALSE(
      arrival.complete({end_of(0, 7), end_of(1, 9)}, applied, kStart + milliseconds(5'100)));
  EXPECT_TRUE(
      arrival.complete({end_of(0, 7), end_of(1, 9)}, applied, kStart + milliseconds(9'900)));
}

TEST(Arrival, ABusyPartitionIsDoneOnceWhatIsAppliedStandsPastTheSnapshot) {
  Arrival arrival(kEnd, kSilence);
  AppliedOffsets applied{{at(0), {Offset(5), position(900, 990)}}};
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(arrival.complete({end_of(0, 10 + i)}, applied, kStart + milliseconds(500 * i)));
  }
  applied[at(0)].position = position(990, 1'000);  // of a transaction that committed later
  EXPECT_TRUE(arrival.complete({end_of(0, 200)}, applied, kStart + milliseconds(50'000)));
}

TEST(Arrival, AChangeWithALowLsnProvesItByTheCommitThatCameBefore) {
  Arrival arrival(kEnd, kSilence);
  const AppliedOffsets applied{{at(0), {Offset(5), position(1'000, 40)}}};
  EXPECT_TRUE(arrival.complete({end_of(0, 80)}, applied, kStart));
}

TEST(Arrival, WhatIsNotAppliedYetIsWaitedForHoweverSilentItsPartition) {
  Arrival arrival(kEnd, kSilence);
  const AppliedOffsets applied{{at(0), {Offset(5), position(900, 910)}}};
  EXPECT_FALSE(arrival.complete({end_of(0, 6)}, applied, kStart));
  EXPECT_FALSE(arrival.complete({end_of(0, 6)}, applied, kStart + milliseconds(60'000)));
  EXPECT_FALSE(arrival.complete({end_of(0, 6), end_of(1, 3)}, {{at(0), {Offset(6), std::nullopt}}},
                                kStart + milliseconds(60'001)));  // the other is unclaimed
}

TEST(Arrival, APartitionThatWasNeverWrittenIsDoneAfterTheSilence) {
  Arrival arrival(kEnd, kSilence);
  EXPECT_FALSE(arrival.complete({end_of(0, 0)}, {}, kStart));
  EXPECT_TRUE(arrival.complete({end_of(0, 0)}, {}, kStart + kSilence));
}

}  // namespace
}  // namespace tidemark
