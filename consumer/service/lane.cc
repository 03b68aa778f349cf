#include "consumer/service/lane.h"

#include <algorithm>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

// Parked records keep up to 128 KiB each until they are applied: 32 MiB a batch at most.
constexpr std::size_t kParkedPerBatchMax = 256;

}  // namespace

Lane::Lane(const Declaration& declaration, NotNewPolicy policy, Store& store,
           PipelineObserver& observer, const BatchLimits& limits)
    : limits_(limits),
      fold_(declaration, policy),
      records_max_(limits.records_max),
      applier_(store, observer) {}

void Lane::reset(std::span<const FoldPartition> partitions) {
  fold_.reset(partitions);
  topics_.clear();
  for (const FoldPartition& partition : partitions) topics_.push_back(partition.where.topic);
  ops_.assign(partitions.size(), {});
  oldest_commit_us_ = 0;
  first_ = true;
}

void Lane::note_first(std::chrono::steady_clock::time_point now) { first_at_ = now; }

bool Lane::full() const {
  return fold_.records() >= records_max_ || fold_.rows() >= limits_.rows_max ||
         fold_.bytes() >= limits_.bytes_max || fold_.parked() >= kParkedPerBatchMax;
}

std::chrono::steady_clock::duration Lane::age(std::chrono::steady_clock::time_point now) const {
  return now - first_at_;
}

void Lane::dispatch(std::chrono::steady_clock::time_point now) {
  TIDEMARK_CHECK(!fold_.empty());
  first_ = false;
  applier_.submit(fold_.take(), take_notes(now));
}

BatchNotes Lane::take_notes(std::chrono::steady_clock::time_point now) {
  BatchNotes notes{.events = {},
                   .oldest_commit_us = std::exchange(oldest_commit_us_, 0),
                   .first_at = first_at_,
                   .gathering = age(now)};
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    const BatchNotes::OpCounts ops = std::exchange(ops_[i], {});
    if (std::ranges::all_of(ops, [](std::uint64_t count) { return count == 0; })) continue;
    auto of = std::ranges::find(notes.events, topics_[i], &BatchNotes::TopicEvents::topic);
    if (of == notes.events.end()) of = notes.events.insert(of, {topics_[i], {}});
    for (std::size_t op = 0; op < ops.size(); ++op) of->ops[op] += ops[op];
  }
  return notes;
}

bool Lane::shrink(std::size_t records) {
  const bool can = records > 1;
  records_max_ = std::max<std::size_t>(1, records / 2);
  return can;
}

void Lane::grow() { records_max_ = std::min(records_max_ * 2, limits_.records_max); }

}  // namespace tidemark
