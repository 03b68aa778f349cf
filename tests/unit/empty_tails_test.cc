// Markers of Kafka's transactions behind the last record: a partition is applied to its end all the
// same, and is known to be so without reading it again and again.
#include "consumer/service/empty_tails.h"

#include <gmock/gmock.h>

#include <vector>

#include "consumer/core/ports.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

constexpr milliseconds kStays{5'000};

TopicPartition at(std::int32_t partition) { return {"reposts", Partition(partition)}; }

class EmptyTailsTest : public testing::Test {
 protected:
  // What is applied of partition 0, after it was looked at.
  std::int64_t next_after(milliseconds time, std::int64_t low, std::int64_t high,
                          std::int64_t next) {
    AppliedOffsets applied{{at(0), {Offset(next), {}}}};
    const EmptyTails::Steady::time_point now{time};
    tails_.pass_over({now, {{at(0), Offset(low), Offset(high)}}, now}, applied);
    return applied.at(at(0)).next.value;
  }

  std::vector<Tail> empty_;
  std::vector<Tail> asked_;
  EmptyTails tails_{[this](const std::vector<Tail>& tails) {
                      asked_.insert(asked_.end(), tails.begin(), tails.end());
                      return empty_;
                    },
                    kStays};
};

TEST_F(EmptyTailsTest, OneThatStaysIsAskedForOnceAndPassedOver) {
  empty_ = {{at(0), Offset(5), Offset(7)}};
  EXPECT_EQ(next_after(milliseconds(0), 0, 7, 5), 5);
  EXPECT_EQ(next_after(milliseconds(4'900), 0, 7, 5), 5);
  EXPECT_EQ(next_after(milliseconds(5'000), 0, 7, 5), 7);
  EXPECT_EQ(next_after(milliseconds(90'000), 0, 7, 5), 7);
  EXPECT_THAT(asked_, ElementsAre(Tail{at(0), Offset(5), Offset(7)}));
}

TEST_F(EmptyTailsTest, OneThatHoldsRecordsIsNotAndIsAskedForAgain) {
  for (int seconds = 0; seconds <= 10; ++seconds) {
    EXPECT_EQ(next_after(milliseconds(1'000 * seconds), 0, 7, 5), 5);
  }
  EXPECT_EQ(asked_.size(), 2U);
  empty_ = {{at(0), Offset(5), Offset(7)}};  // a broker that did not answer in time, say
  EXPECT_EQ(next_after(milliseconds(15'000), 0, 7, 5), 7);
}

TEST_F(EmptyTailsTest, OneThatMovesIsNotAskedFor) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(next_after(milliseconds(1'000 * i), 0, 100 + i, 5), 5);
    EXPECT_EQ(next_after(milliseconds(1'000 * i + 500), 0, 100 + i, i), i);
  }
  EXPECT_TRUE(asked_.empty());
}

TEST_F(EmptyTailsTest, WhatIsKnownOfOneSaysNothingOfTheNext) {
  empty_ = {{at(0), Offset(5), Offset(7)}};
  next_after(milliseconds(0), 0, 7, 5);
  EXPECT_EQ(next_after(milliseconds(5'000), 0, 7, 5), 7);
  EXPECT_EQ(next_after(milliseconds(5'500), 0, 8, 5), 5) << "a record came behind the marker";
  EXPECT_EQ(next_after(milliseconds(6'000), 0, 8, 8), 8);
}

TEST_F(EmptyTailsTest, APartitionOfMarkersAloneIsPassedOver) {
  empty_ = {{at(0), Offset(3), Offset(4)}};
  next_after(milliseconds(0), 3, 4, kNotStarted.value);
  EXPECT_EQ(next_after(milliseconds(5'000), 3, 4, kNotStarted.value), 4);
}

TEST_F(EmptyTailsTest, RecordsThatAreGoneAreNoEmptyTail) {
  next_after(milliseconds(0), 6, 7, 5);
  EXPECT_EQ(next_after(milliseconds(5'000), 6, 7, 5), 5);
  EXPECT_TRUE(asked_.empty());
}

}  // namespace
}  // namespace tidemark
