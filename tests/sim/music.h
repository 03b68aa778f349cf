// The small world that is counted: one table, two aggregates, nine cells.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "consumer/core/change.h"
#include "consumer/core/declaration.h"
#include "consumer/core/fence.h"

namespace tidemark::sim {

// A row of `things`; its primary key is a RowId.
using RowId = std::size_t;
inline constexpr std::size_t kRowIds = 10;

struct Row {
  std::size_t user = 0;  // of kUsers
  std::size_t item = 0;  // of kItems
  bool active = true;
  bool loud = false;

  friend bool operator==(const Row&, const Row&) = default;
};
inline constexpr std::size_t kUsers = 3;
inline constexpr std::size_t kItems = 3;

// users.n, users.loud and items.n of each key.
inline constexpr std::size_t kCells = 2 * kUsers + kItems;
inline constexpr std::size_t kCounters = 3;
using Counts = std::array<std::int64_t, kCells>;
using CellFlags = std::array<bool, kCells>;

struct CellName {
  AggregateIndex aggregate;
  CounterIndex counter;
  std::string key;
  std::size_t of_all;  // which of the kCounters

  std::string text() const;
};

const Declaration& things_declaration();
const CellName& cell_name(std::size_t cell);
// Ends the test for a cell that is none.
std::size_t cell_at(AggregateIndex aggregate, CounterIndex counter, const std::string& key);
// The keys of an aggregate, in its order.
const std::vector<std::string>& keys_of(AggregateIndex aggregate);

// What the row counts, told apart from the fold: the truth must not come from what is tested.
void add_contributions(Counts& counts, const std::optional<Row>& row, std::int64_t times);

// An event's image; empty for none.
RowImage image_of(RowId id, const std::optional<Row>& row);

bool contains(const KeySet& keys, AggregateIndex aggregate, const std::string& key);

}  // namespace tidemark::sim
