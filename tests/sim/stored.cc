#include "tests/sim/stored.h"

#include <algorithm>
#include <utility>

namespace tidemark::sim {
namespace {

bool same_keys(const CellName& name, const Slice& slice) {
  return name.aggregate == slice.aggregate && contains(slice.keys, slice.aggregate, name.key);
}

// Per counter of the aggregate: what differs is a repair.
std::vector<bool> repairs_of(const Stored& stored, const Slice& slice) {
  std::vector<bool> repairs(things_declaration().aggregate(slice.aggregate).counters.size(), false);
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    const CellName& name = cell_name(cell);
    if (name.aggregate != slice.aggregate || slice.keys.listed) continue;
    if (stored.ranges[name.of_all]) repairs[name.counter.value] = true;
  }
  return repairs;
}

void leave_out(KeySet& keys, const std::vector<std::string>& locked) {
  if (!keys.listed) {
    keys.except = locked;
    return;
  }
  std::erase_if(*keys.listed, [&](const std::string& key) {
    return std::ranges::find(locked, key) != locked.end();
  });
}

void recount_cell(Stored& stored, std::size_t cell, const Slice& slice, const Fence& fence,
                  const Rules& rules) {
  std::int64_t& value = stored.cells[cell];
  std::optional<LedgerRow>& row = stored.ledger[cell];
  const std::int64_t differs = slice.counts[cell] - value;
  if (!rules.has(Rule::kFence)) {
    // Nothing is skipped, and no fence will close a row.
  } else if (fence.repairs[cell_name(cell).counter.value]) {
    if (row) row->suspect = true;
  } else if (stored.is_suspect(cell)) {
    const bool leaves_row = slice.keys.listed || rules.has(Rule::kFlagAtSlice);
    if (differs != 0 || row || leaves_row) book(stored, cell, differs, true, fence.id);
  } else if (differs != 0) {
    book(stored, cell, differs, false, fence.id);
  }
  if (row && rules.has(Rule::kRaise)) row->fence = fence.id;
  value = slice.counts[cell];
  stored.suspects[cell] = false;
  stored.recounted[cell] = {slice.counts[cell], slice.saw};
  stored.by_hand_before[cell] += std::exchange(stored.by_hand[cell], 0);
}

}  // namespace

void make_suspect(Stored& stored, std::size_t cell) {
  stored.suspects[cell] = true;
  stored.ever_suspect[cell] = true;
}

void make_range_suspect(Stored& stored, std::size_t counter) {
  stored.ranges[counter] = RangeMark{};
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    if (cell_name(cell).of_all == counter) stored.ever_suspect[cell] = true;
  }
}

void book(Stored& stored, std::size_t cell, std::int64_t remaining, bool flagged,
          std::int64_t fence) {
  std::optional<LedgerRow>& row = stored.ledger[cell];
  if (!row) row.emplace();
  row->remaining += remaining;
  row->suspect = row->suspect || flagged;
  row->fence = std::max(row->fence, fence);
}

void carry_out(Stored& stored, const Slice& slice, const Rules& rules) {
  Slice fenced = slice;
  if (rules.has(Rule::kExcept)) leave_out(fenced.keys, slice.locked);
  const auto fence = std::make_shared<Fence>(Fence{.id = ++stored.newest_fence,
                                                   .aggregate = slice.aggregate,
                                                   .keys = fenced.keys,
                                                   .snapshot = slice.snapshot,
                                                   .repairs = repairs_of(stored, fenced)});
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    const CellName& name = cell_name(cell);
    if (!same_keys(name, slice)) continue;
    if (std::ranges::find(slice.locked, name.key) == slice.locked.end()) {
      recount_cell(stored, cell, slice, *fence, rules);
      continue;
    }
    if (slice.keys.listed) continue;  // stays what it is
    make_suspect(stored, cell);
    if (stored.ledger[cell] && rules.has(Rule::kFlagAtApply)) stored.ledger[cell]->suspect = true;
  }
  if (rules.has(Rule::kFence)) stored.fences.push_back(fence);
}

void drop_fence(Stored& stored, std::int64_t fence, const Rules& rules, const Trace& trace) {
  std::erase_if(stored.fences, [&](const auto& f) { return f->id == fence; });
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    std::optional<LedgerRow>& row = stored.ledger[cell];
    if (!row || row->fence != fence) continue;
    const bool repair = row->suspect || (rules.has(Rule::kFlagAtDrop) && stored.is_suspect(cell));
    if (row->remaining != 0 && !(repair && rules.has(Rule::kFlag))) {
      if (!stored.touched_by_hand[cell]) {
        throw Broken(fmt::format("{} booked as drift of {}, and nobody touched it",
                                 cell_name(cell).text(), row->remaining));
      }
      stored.drift.push_back({cell, row->remaining});
    }
    if (row->remaining != 0 && repair) trace.note(Happened::kRepaired);
    row.reset();
  }
}

}  // namespace tidemark::sim
