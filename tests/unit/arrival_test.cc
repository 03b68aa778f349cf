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

// Ends that were answered at once.
Arrival::Look look(std::vector<TopicEnd> ends, milliseconds after = milliseconds(0)) {
  return {kStart + after, std::move(ends), kStart + after};
}

TEST(Arrival, WaitsForWhatTheProducerStillHasForOnePartitionThoughAnotherIsDone) {
  Arrival arrival(kEnd, kSilence);
  AppliedOffsets applied{{at(0), {Offset(5), position(900, 910)}},
                         {at(1), {Offset(9), position(1'000, 1'010)}}};
  EXPECT_FALSE(arrival.complete(look({end_of(0, 5), end_of(1, 9)}), applied));
  // Its queue comes only now: the silence counts from here.
  EXPECT_FALSE(
      arrival.complete(look({end_of(0, 7), end_of(1, 9)}, milliseconds(4'900)), applied));
  applied[at(0)] = {Offset(7), position(920, 930)};
  EXPECT_FALSE(
      arrival.complete(look({end_of(0, 7), end_of(1, 9)}, milliseconds(5'100)), applied));
  EXPECT_TRUE(
      arrival.complete(look({end_of(0, 7), end_of(1, 9)}, milliseconds(9'900)), applied));
}

TEST(Arrival, ABusyPartitionIsDoneOnceWhatIsAppliedStandsPastTheSnapshot) {
  Arrival arrival(kEnd, kSilence);
  AppliedOffsets applied{{at(0), {Offset(5), position(900, 990)}}};
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(arrival.complete(look({end_of(0, 10 + i)}, milliseconds(500 * i)), applied));
  }
  applied[at(0)].position = position(990, 1'000);  // of a transaction that committed later
  EXPECT_TRUE(arrival.complete(look({end_of(0, 200)}, milliseconds(50'000)), applied));
}

TEST(Arrival, AChangeWithALowLsnProvesItByTheCommitThatCameBefore) {
  Arrival arrival(kEnd, kSilence);
  const AppliedOffsets applied{{at(0), {Offset(5), position(1'000, 40)}}};
  EXPECT_TRUE(arrival.complete(look({end_of(0, 80)}), applied));
}

TEST(Arrival, WhatIsNotAppliedYetIsWaitedForHoweverSilentItsPartition) {
  Arrival arrival(kEnd, kSilence);
  const AppliedOffsets applied{{at(0), {Offset(5), position(900, 910)}}};
  EXPECT_FALSE(arrival.complete(look({end_of(0, 6)}), applied));
  EXPECT_FALSE(arrival.complete(look({end_of(0, 6)}, milliseconds(60'000)), applied));
  // The other is unclaimed.
  EXPECT_FALSE(arrival.complete(look({end_of(0, 6), end_of(1, 3)}, milliseconds(60'001)),
                                {{at(0), {Offset(6), std::nullopt}}}));
}

TEST(Arrival, APartitionThatWasNeverWrittenIsDoneAfterTheSilence) {
  Arrival arrival(kEnd, kSilence);
  EXPECT_FALSE(arrival.complete(look({end_of(0, 0)}), {}));
  EXPECT_TRUE(arrival.complete(look({end_of(0, 0)}, kSilence), {}));
}

// A broker that is busy answers late, and has little time to take what producers hold.
TEST(Arrival, TimeThatAnAnswerTookIsNoSilence) {
  Arrival arrival(kEnd, kSilence);
  const AppliedOffsets applied{{at(0), {Offset(6), position(900, 910)}}};
  const std::vector<TopicEnd> ends{end_of(0, 6)};
  const auto after = [](int seconds) { return kStart + std::chrono::seconds(seconds); };
  EXPECT_FALSE(arrival.complete({after(0), ends, after(6)}, applied));
  EXPECT_FALSE(arrival.complete({after(7), ends, after(13)}, applied));
  EXPECT_TRUE(arrival.complete({after(13), ends, after(14)}, applied));
}

}  // namespace
}  // namespace tidemark
