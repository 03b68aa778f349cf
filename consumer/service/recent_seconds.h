// Values of the last few seconds: their number, sum and maximum. Not thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace tidemark {

class RecentSeconds {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Sum {
    std::uint64_t count = 0;
    double total = 0;
    double max = 0;
  };

  explicit RecentSeconds(int seconds) : slots_(static_cast<std::size_t>(seconds)) {}

  void add(Time now, double value) {
    Slot& slot = slots_[static_cast<std::size_t>(second_of(now)) % slots_.size()];
    if (slot.second != second_of(now)) slot = {second_of(now), {}};
    ++slot.sum.count;
    slot.sum.total += value;
    slot.sum.max = std::max(slot.sum.max, value);
  }

  Sum sum(Time now) const {
    Sum all;
    for (const Slot& slot : slots_) {
      if (slot.second + static_cast<std::int64_t>(slots_.size()) <= second_of(now)) continue;
      all.count += slot.sum.count;
      all.total += slot.sum.total;
      all.max = std::max(all.max, slot.sum.max);
    }
    return all;
  }

 private:
  struct Slot {
    std::int64_t second = -1'000'000;
    Sum sum;
  };

  static std::int64_t second_of(Time time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  }

  std::vector<Slot> slots_;  // a second each, round and round
};

}  // namespace tidemark
