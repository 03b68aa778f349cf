#include "consumer/service/slice_sizer.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

using std::chrono::microseconds;

// Slices of a fixed and a per-row cost, until the size has settled.
std::size_t settled(std::int64_t fixed, std::int64_t per_row,
                    microseconds wait = microseconds(1'000)) {
  SliceSizer sizer(microseconds(25'000));
  for (int i = 0; i < 200; ++i) {
    const auto rows = static_cast<std::int64_t>(sizer.rows());
    sizer.took(microseconds(fixed + per_row * rows), wait);
  }
  return sizer.rows();
}

TEST(SliceSizer, TakesWhatFitsTheGoal) {
  EXPECT_GT(settled(500, 10), 1'000U);
  EXPECT_LT(settled(500, 10), 3'000U);
}

TEST(SliceSizer, OneHugeKeyIsTakenAlone) { EXPECT_EQ(settled(500, 1'000'000), 1U); }

// Seen in the demo: suspects were recounted one by one, as each slice scanned whole tables.
TEST(SliceSizer, WhatASliceCostsByItselfDoesNotShrinkIt) { EXPECT_GT(settled(40'000, 10), 1'000U); }

// Beside a backlog, whose batches hold the turn for a second, small slices would never end.
TEST(SliceSizer, HoldsTheTurnAsLongAsItWaitedForIt) {
  EXPECT_GT(settled(500, 100, microseconds(1'000'000)), 5'000U);
}

TEST(SliceSizer, AFailureOfSizeShrinksItAtOnce) {
  SliceSizer sizer(microseconds(25'000));
  const std::size_t before = sizer.rows();
  sizer.failed();
  EXPECT_EQ(sizer.rows(), before / 4);
}

}  // namespace
}  // namespace tidemark
