// How long a recount slice waits for its turn before it gives up.
#pragma once

#include <algorithm>
#include <chrono>

namespace tidemark {

// While a slice waits, no batch begins; so it gives up soon, and asks for longer each time, or long
// batches would starve recounts. What was enough is about what it begins with the next time, and
// forgets slowly: beside a backlog some batches are long and some are not.
class TurnPatience {
 public:
  static constexpr std::chrono::milliseconds kFirst{50};
  static constexpr std::chrono::milliseconds kLongest{2'000};

  std::chrono::milliseconds now() const { return now_; }

  void came_after(std::chrono::microseconds wait) {
    const auto enough = std::chrono::ceil<std::chrono::milliseconds>(wait * 2);
    now_ = std::clamp(std::max(enough, now_ * 7 / 8), kFirst, kLongest);
  }
  void was_too_short() { now_ = std::min(now_ * 4, kLongest); }

 private:
  std::chrono::milliseconds now_ = kFirst;
};

}  // namespace tidemark
