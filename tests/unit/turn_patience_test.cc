#include "consumer/service/turn_patience.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(TurnPatience, AsksForLongerUntilItsTurnComes) {
  TurnPatience patience;
  EXPECT_EQ(patience.now(), milliseconds(50));
  patience.was_too_short();
  EXPECT_EQ(patience.now(), milliseconds(200));
  for (int i = 0; i < 100; ++i) patience.was_too_short();
  EXPECT_EQ(patience.now(), TurnPatience::kLongest);
}

// Seen with a backlog: after each slice it began anew with 50 ms, and gave up six times.
TEST(TurnPatience, BeginsWithWhatWasEnough) {
  TurnPatience patience;
  patience.came_after(microseconds(700'000));
  EXPECT_EQ(patience.now(), milliseconds(1'400));
  patience.came_after(milliseconds(1'900));
  EXPECT_EQ(patience.now(), TurnPatience::kLongest);
}

TEST(TurnPatience, IsShortAgainOnceBatchesAre) {
  TurnPatience patience;
  patience.came_after(milliseconds(900));
  patience.came_after(microseconds(1'500));
  EXPECT_GT(patience.now(), milliseconds(1'000));  // the next one may be long again
  for (int i = 0; i < 30; ++i) patience.came_after(microseconds(1'500));
  EXPECT_EQ(patience.now(), TurnPatience::kFirst);
}

}  // namespace
}  // namespace tidemark
