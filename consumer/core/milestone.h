// Milestones: which thresholds a batch crosses upwards, and by which changes (DOMAIN 2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/core/fence.h"

namespace tidemark {

// The value of a counter as the batch left it.
struct CellValue {
  AggregateIndex aggregate;
  std::size_t row;        // in the aggregate's delta
  std::size_t milestone;  // in the aggregate's milestones
  std::int64_t value;
};

// A threshold that a cell's value rose to.
struct Crossing {
  AggregateIndex aggregate;
  std::size_t row;
  std::size_t milestone;
  std::int64_t before;  // the cell's value before the batch
  std::int64_t threshold;
  std::vector<Detail> details;  // of the row that crossed it
};

// The types of the details of an aggregate's milestones, in each contribution the same.
std::vector<ColumnType> detail_types(const Declaration& declaration, AggregateIndex aggregate);

// The thresholds in (before, after], ascending.
std::span<const std::int64_t> thresholds_between(const Milestone& milestone, std::int64_t before,
                                                 std::int64_t after);

// The thresholds that lie between the cells' values before the batch and those after it: what a
// batch crosses and undoes again is not told. Each is told once, by the change that crossed it
// last in the batch's order. `values` may hold cells that crossed
// nothing, each cell once; what `fenced` skipped is no change of the cell. In rule P2's order.
std::vector<Crossing> find_crossings(const Declaration& declaration, const Delta& delta,
                                     const FencedDelta& fenced, std::span<const CellValue> values);

}  // namespace tidemark
