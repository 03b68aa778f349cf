// What contributions to counters with milestones tell of their rows, while a batch is being built
// and until it is applied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "consumer/core/change.h"
#include "consumer/core/types.h"

namespace tidemark {

// A detail's value: an integer, or microseconds since 1970, of which the extremes are infinities.
using Detail = std::int64_t;
inline constexpr Detail kNullDetail = std::numeric_limits<Detail>::min() + 1;

// Kept for each contribution that adds to such a counter, in the batch's order. One vector holds
// all details: hot batches have hundreds of thousands.
struct DetailLog {
  struct Entry {
    std::uint32_t logged;  // place in Delta::log; ascending
    std::uint32_t first;   // place of its first detail in `values`
  };
  std::vector<Entry> entries;
  std::vector<Detail> values;

  // The details of a contribution that will stand at `logged`; without columns there are none.
  void note(std::size_t logged, std::span<const ColumnIndex> columns, const RowImage& row) {
    if (columns.empty()) return;
    entries.push_back(
        {static_cast<std::uint32_t>(logged), static_cast<std::uint32_t>(values.size())});
    for (const ColumnIndex column : columns) {
      const auto* value = std::get_if<std::int64_t>(&row[column.value]);
      values.push_back(value == nullptr ? kNullDetail : *value);  // what is unknown, too
    }
  }
};

}  // namespace tidemark
