#include "consumer/service/rehearsal.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

using std::chrono::microseconds;

constexpr microseconds kGoal{15'000};

TEST(Rehearsal, IsLeftOutWhereSlicesAreShort) {
  Rehearsal rehearsal;
  EXPECT_FALSE(rehearsal.wanted());
  rehearsal.was_left_out(microseconds(14'000), kGoal);
  EXPECT_FALSE(rehearsal.wanted());
}

TEST(Rehearsal, GoesOnWhileTheSecondReadingIsFaster) {
  Rehearsal rehearsal;
  rehearsal.was_left_out(microseconds(80'000), kGoal);
  EXPECT_TRUE(rehearsal.wanted());
  rehearsal.was_held(microseconds(80'000), microseconds(10'000));
  EXPECT_TRUE(rehearsal.wanted());
  rehearsal.was_held(microseconds(11'000), microseconds(10'000));
  EXPECT_FALSE(rehearsal.wanted());
}

// Many rows, all of them in memory.
TEST(Rehearsal, DoesNotDoubleTheWorkOfWhatIsSlowByItself) {
  Rehearsal rehearsal;
  rehearsal.was_left_out(microseconds(80'000), kGoal);
  rehearsal.was_held(microseconds(75'000), microseconds(74'000));
  EXPECT_FALSE(rehearsal.wanted());
  int tried = 0;
  for (int i = 0; i < 160; ++i) {
    if (rehearsal.wanted()) {
      ++tried;
      rehearsal.was_held(microseconds(75'000), microseconds(74'000));
    } else {
      rehearsal.was_left_out(microseconds(80'000), kGoal);
    }
  }
  EXPECT_GT(tried, 0);
  EXPECT_LT(tried, 12);
}

}  // namespace
}  // namespace tidemark
