#include "consumer/core/milestone.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

// A cell on its way through the batch.
struct Walk {
  const CellValue* cell;
  std::int64_t before;
  std::int64_t value;                        // after the changes so far
  std::span<const std::int64_t> thresholds;  // that the batch crosses on the whole
  std::vector<const DetailLog::Entry*> by;   // for each of these, what crossed it last
};

// By aggregate, row of its delta, counter.
using Walks = std::map<std::tuple<std::uint32_t, std::size_t, std::uint32_t>, Walk>;

Walks start_walks(const Declaration& declaration, const std::vector<AggregateDelta>& applied,
                  std::span<const CellValue> values) {
  Walks walks;
  for (const CellValue& cell : values) {
    const Milestone& milestone =
        declaration.aggregate(cell.aggregate).milestones.counters[cell.milestone];
    const AggregateDelta& delta = applied[cell.aggregate.value];
    const std::int64_t before =
        cell.value - delta.deltas[cell.row * delta.counters + milestone.counter.value];
    const auto thresholds = thresholds_between(milestone, before, cell.value);
    if (thresholds.empty()) continue;
    walks[{cell.aggregate.value, cell.row, milestone.counter.value}] = {
        &cell, before, before, thresholds,
        std::vector<const DetailLog::Entry*>(thresholds.size(), nullptr)};
  }
  return walks;
}

void step(Walk& walk, std::int64_t delta, const DetailLog::Entry* entry) {
  const std::int64_t value = walk.value + delta;
  for (std::size_t i = 0; i < walk.thresholds.size(); ++i) {
    const std::int64_t threshold = walk.thresholds[i];
    if (walk.value < threshold && threshold <= value) walk.by[i] = entry;
  }
  walk.value = value;
}

// Each walk takes the changes of its cell that were applied, in the batch's order.
void take_steps(Walks& walks, const Delta& delta, const std::vector<bool>& skips) {
  auto entry = delta.details.entries.begin();
  for (std::size_t place = 0; place < delta.log.size(); ++place) {
    while (entry != delta.details.entries.end() && entry->logged < place) ++entry;
    if (!skips.empty() && skips[place]) continue;
    const LoggedDelta& logged = delta.log[place];
    const std::size_t row = delta.aggregates[logged.aggregate].places[logged.row];
    const auto walk = walks.find({logged.aggregate, row, logged.counter});
    if (walk == walks.end()) continue;
    const bool told = entry != delta.details.entries.end() && entry->logged == place;
    step(walk->second, logged.delta, told ? &*entry : nullptr);
  }
}

}  // namespace

std::vector<ColumnType> detail_types(const Declaration& declaration, AggregateIndex aggregate) {
  std::vector<ColumnType> types;
  for (const Table& table : declaration.tables) {
    for (const Contribution& contribution : table.contributions) {
      if (contribution.aggregate != aggregate || contribution.details.empty()) continue;
      for (const ColumnIndex i : contribution.details) types.push_back(table.columns[i.value].type);
      return types;
    }
  }
  return types;
}

std::span<const std::int64_t> thresholds_between(const Milestone& milestone, std::int64_t before,
                                                 std::int64_t after) {
  const auto first = std::ranges::upper_bound(milestone.thresholds, before);
  const auto last = std::upper_bound(first, milestone.thresholds.end(), after);
  return {first, last};
}

std::vector<Crossing> find_crossings(const Declaration& declaration, const Delta& delta,
                                     const FencedDelta& fenced, std::span<const CellValue> values) {
  const auto& applied = fenced.aggregates.empty() ? delta.aggregates : fenced.aggregates;
  Walks walks = start_walks(declaration, applied, values);
  if (walks.empty()) return {};
  take_steps(walks, delta, fenced.skips);
  std::vector<Crossing> crossings;
  for (const auto& [name, walk] : walks) {
    TIDEMARK_CHECK(walk.value == walk.cell->value);  // the log is what the delta is the sum of
    for (std::size_t i = 0; i < walk.thresholds.size(); ++i) {
      TIDEMARK_CHECK(walk.by[i] != nullptr);
      const auto details = delta.details.values.begin() + walk.by[i]->first;
      const bool last = walk.by[i] == &delta.details.entries.back();
      const auto end = last ? delta.details.values.end()
                            : delta.details.values.begin() + std::next(walk.by[i])->first;
      crossings.push_back({walk.cell->aggregate,
                           walk.cell->row,
                           walk.cell->milestone,
                           walk.before,
                           walk.thresholds[i],
                           {details, end}});
    }
  }
  return crossings;
}

}  // namespace tidemark
