#include "consumer/kafka/rereads.h"

#include <algorithm>
#include <utility>

namespace tidemark {
namespace {

using std::chrono::milliseconds;

// Waits before positioning again, doubling: a partition without an answer must not keep the others
// from reading.
constexpr milliseconds kWaitMin{100};
constexpr milliseconds kWaitMax{5'000};

}  // namespace

bool Rereads::damaged(std::int32_t slot, std::int64_t next) {
  const bool again =
      slot == std::exchange(damaged_slot_, slot) && next == std::exchange(damaged_next_, next);
  damaged_reads_ = again ? damaged_reads_ + 1 : 1;
  return damaged_reads_ < kDamagedMax;
}

void Rereads::later(TimePoint now) {
  if (at_) return;
  wait_ = std::clamp(wait_ * 2, kWaitMin, kWaitMax);
  at_ = now + wait_;
}

}  // namespace tidemark
