#include "consumer/service/slice_sizer.h"

#include <gtest/gtest.h>

#include <random>

namespace tidemark {
namespace {

using std::chrono::microseconds;

constexpr microseconds kGoal{25'000};

// Slices of a fixed and a per-row cost, until the size has settled. `noise`: each takes from none
// to twice as much again as that, whatever its rows.
std::size_t settled(std::int64_t fixed, std::int64_t per_row, microseconds wait = microseconds(0),
                    std::int64_t noise = 0) {
  SliceSizer sizer(kGoal);
  std::mt19937_64 random(1);  // NOLINT(cert-msc51-cpp): the same each time
  std::uniform_int_distribution<std::int64_t> more(0, 2 * noise);
  for (int i = 0; i < 200; ++i) {
    const auto rows = static_cast<std::int64_t>(sizer.rows());
    sizer.took(sizer.rows(), microseconds(fixed + per_row * rows + more(random)), wait);
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

// Seen with writers at full speed: every other slice was too long, whatever its size, and slices
// of four rows never came to a pass's end.
TEST(SliceSizer, ABusyMachineDoesNotShrinkIt) {
  EXPECT_GT(settled(20'000, 100, microseconds(0), 100'000), 100U);
}

TEST(SliceSizer, AStallIsNotTheRowsDoing) {
  SliceSizer sizer(kGoal);
  for (int i = 0; i < 100; ++i) sizer.took(sizer.rows(), microseconds(10 * sizer.rows()), {});
  const std::size_t before = sizer.rows();
  sizer.took(before, std::chrono::seconds(10), {});
  for (int i = 0; i < 20; ++i) sizer.took(sizer.rows(), microseconds(10 * sizer.rows()), {});
  EXPECT_GT(sizer.rows(), before / 4);
}

// Suspects come in ones and twos, and say nothing of what a thousand would take.
TEST(SliceSizer, FewRowsProveNothingForMany) {
  SliceSizer sizer(kGoal);
  const std::size_t before = sizer.rows();
  for (int i = 0; i < 100; ++i) sizer.took(1, microseconds(900), {});
  EXPECT_LE(sizer.rows(), before);
  EXPECT_GT(sizer.rows(), 1U);
}

TEST(SliceSizer, RowsThatCostMoreShrinkItAgain) {
  SliceSizer sizer(kGoal);
  for (int i = 0; i < 100; ++i) sizer.took(sizer.rows(), microseconds(10 * sizer.rows()), {});
  int slices = 0;
  for (; sizer.rows() > 100 && slices < 50; ++slices) {
    sizer.took(sizer.rows(), microseconds(500 * sizer.rows()), {});
  }
  EXPECT_LT(slices, 15);
}

TEST(SliceSizer, AFailureOfSizeShrinksItAtOnce) {
  SliceSizer sizer(kGoal);
  const std::size_t before = sizer.rows();
  sizer.failed();
  EXPECT_EQ(sizer.rows(), before / 4);
}

}  // namespace
}  // namespace tidemark
