#include "consumer/service/lane.h"

#include <algorithm>

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

void Lane::dispatch() {
  TIDEMARK_CHECK(!fold_.empty());
  first_ = false;
  applier_.submit(fold_.take());
}

bool Lane::shrink(std::size_t records) {
  const bool can = records > 1;
  records_max_ = std::max<std::size_t>(1, records / 2);
  return can;
}

void Lane::grow() { records_max_ = std::min(records_max_ * 2, limits_.records_max); }

}  // namespace tidemark
