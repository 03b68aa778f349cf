#include "consumer/core/cell_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace tidemark {
namespace {

Aggregate aggregate_of(ColumnType key_type, std::size_t counters) {
  Aggregate aggregate;
  aggregate.key_type = key_type;
  aggregate.counters.resize(counters);
  return aggregate;
}

TEST(CellTable, EmptyGivesNoRows) {
  CellTable table(aggregate_of(ColumnType::kInteger, 2));
  const AggregateDelta delta = table.take();
  EXPECT_EQ(delta.rows(), 0U);
  EXPECT_EQ(delta.counters, 2U);
  EXPECT_FALSE(delta.changes(CounterIndex(0)));
}

TEST(CellTable, AddsPerCellAndKeepsZeros) {
  CellTable table(aggregate_of(ColumnType::kBigint, 2));
  table.add(table.row(7), CounterIndex(1), 5);
  table.row(3);
  table.add(table.row(7), CounterIndex(1), -2);
  const AggregateDelta delta = table.take();
  EXPECT_EQ(delta.integer_keys, (std::vector<std::int64_t>{3, 7}));
  EXPECT_EQ(delta.deltas, (std::vector<std::int32_t>{0, 0, 0, 3}));
  EXPECT_FALSE(delta.changes(CounterIndex(0)));
  EXPECT_TRUE(delta.changes(CounterIndex(1)));
}

TEST(CellTable, ExtremeKeysAreKeysLikeOthers) {
  CellTable table(aggregate_of(ColumnType::kBigint, 1));
  const std::int64_t low = std::numeric_limits<std::int64_t>::min();
  const std::int64_t high = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t key : {high, std::int64_t{0}, low, std::int64_t{-1}}) table.row(key);
  EXPECT_EQ(table.take().integer_keys, (std::vector<std::int64_t>{low, -1, 0, high}));
}

// The key that was asked for last is answered without a look-up: not across batches.
TEST(CellTable, ARowOfTheLastBatchIsNotFoundInTheNext) {
  CellTable table(aggregate_of(ColumnType::kInteger, 1));
  table.row(1);
  table.add(table.row(2), CounterIndex(0), 1);
  table.take();
  table.add(table.row(2), CounterIndex(0), 1);
  table.row(0);
  const AggregateDelta delta = table.take();
  EXPECT_EQ(delta.integer_keys, (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(delta.deltas, (std::vector<std::int32_t>{0, 1}));
}

TEST(CellTable, TextKeysOutliveTheirSource) {
  CellTable table(aggregate_of(ColumnType::kText, 1));
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 100; ++i) {
      std::string key = "key " + std::to_string(i % 10);
      table.add(table.row(key), CounterIndex(0), 1);
      std::ranges::fill(key, '#');
    }
    const AggregateDelta delta = table.take();
    ASSERT_EQ(delta.rows(), 10U);
    EXPECT_EQ(delta.text_keys.front(), "key 0");
    EXPECT_EQ(delta.text_keys.back(), "key 9");
    EXPECT_EQ(delta.deltas, std::vector<std::int32_t>(10, 10));
  }
}

TEST(CellTable, AgreesWithAMapOnRandomAdditions) {
  std::mt19937_64 random(20);
  CellTable table(aggregate_of(ColumnType::kBigint, 3));
  for (int batch = 0; batch < 20; ++batch) {
    std::map<std::int64_t, std::array<std::int32_t, 3>> model;
    for (int i = 0; i < 5'000; ++i) {
      const auto key = static_cast<std::int64_t>(random() % (batch % 2 == 0 ? 50 : 1'000'000));
      const auto counter = static_cast<std::uint32_t>(random() % 3);
      const int delta = random() % 2 == 0 ? 1 : -1;
      table.add(table.row(key), CounterIndex(counter), delta);
      model[key][counter] += delta;
    }
    const AggregateDelta delta = table.take();
    ASSERT_EQ(delta.rows(), model.size());
    std::size_t row = 0;
    for (const auto& [key, values] : model) {
      ASSERT_EQ(delta.integer_keys[row], key);
      for (std::size_t c = 0; c < 3; ++c) ASSERT_EQ(delta.deltas[row * 3 + c], values[c]);
      ++row;
    }
  }
}

}  // namespace
}  // namespace tidemark
