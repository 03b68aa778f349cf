#include "consumer/core/verification.h"

#include <utility>

namespace tidemark {
namespace {

// A fence leaves a cell that was a repair out of what it skipped; here each counts.
std::vector<Fence> without_repairs(const Declaration& declaration, std::vector<Fence> fences) {
  for (Fence& fence : fences) {
    fence.repairs.assign(declaration.aggregate(fence.aggregate).cells(), false);
  }
  return fences;
}

std::vector<Fence> over_everything(const Declaration& declaration, const SourceSnapshot& snapshot) {
  std::vector<Fence> fences;
  for (std::uint32_t a = 0; a < declaration.aggregates.size(); ++a) {
    fences.push_back(
        {.id = a, .aggregate = AggregateIndex(a), .keys = {}, .snapshot = snapshot, .repairs = {}});
  }
  return without_repairs(declaration, std::move(fences));
}

}  // namespace

Verification::Verification(const Declaration& declaration, const SourceSnapshot& snapshot,
                           std::vector<Fence> fences, const std::vector<SuspectCell>& suspects,
                           const std::vector<SuspectRange>& ranges)
    : counted_in_(declaration, without_repairs(declaration, std::move(fences))),
      seen_(declaration, over_everything(declaration, snapshot)) {
  for (const SuspectCell& cell : suspects) {
    suspects_.emplace(cell.aggregate, cell.counter, cell.key);
  }
  for (const SuspectRange& range : ranges) ranges_.emplace(range.aggregate, range.counter);
}

void Verification::add_difference(CellDifference difference) {
  Sum& sum = cells_[{difference.aggregate, difference.counter, std::move(difference.key)}];
  sum.difference += difference.counted - difference.stored;
  sum.stored = difference.stored;
}

void Verification::add_skipped(const FenceSet& fences, const Delta& delta, std::int64_t sign) {
  for (const SkippedDelta& skipped : fences.let_through(delta).skipped) {
    std::string key = delta.aggregates[skipped.aggregate.value].key_text(skipped.row);
    cells_[{skipped.aggregate, skipped.counter, std::move(key)}].lag += sign * skipped.delta;
  }
}

void Verification::add_lag(const Delta& delta) {
  add_skipped(seen_, delta, +1);
  add_skipped(counted_in_, delta, -1);
  for (const SuspectCell& cell : delta.suspect_cells) {
    suspects_.emplace(cell.aggregate, cell.counter, cell.key);
  }
  for (const SuspectRange& range : delta.suspect_ranges) {
    ranges_.emplace(range.aggregate, range.counter);
  }
}

bool Verification::judges(AggregateIndex aggregate, CounterIndex counter,
                          const std::string& key) const {
  return !suspects_.contains({aggregate, counter, key}) && !ranges_.contains({aggregate, counter});
}

Verdict Verification::judge() const {
  Verdict verdict;
  for (const auto& [cell, sum] : cells_) {
    const std::int64_t rest = sum.difference - sum.lag;
    if (rest == 0) {
      if (sum.difference != 0) ++verdict.lagging;
      continue;
    }
    const auto& [aggregate, counter, key] = cell;
    const bool judged = judges(aggregate, counter, key);
    std::vector<VerifiedDrift>& list = judged ? verdict.drift : verdict.suspect;
    list.push_back({aggregate, counter, key, rest, sum.stored, sum.lag});
  }
  return verdict;
}

}  // namespace tidemark
