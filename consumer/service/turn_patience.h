// How long a recount slice waits for its turn before it gives up.
#pragma once

#include <algorithm>
#include <chrono>

namespace tidemark {

// While a slice waits, no batch begins; so it gives up soon, and asks for longer each time, or long
// batches would starve recounts. What was enough is what it begins with the next time: a backlog's
// batches stay long for as long as there is one.
class TurnPatience {
 public:
  static constexpr std::chrono::milliseconds kFirst{50};
  static constexpr std::chrono::milliseconds kLongest{2'000};

  std::chrono::milliseconds now() const { return now_; }

  void came_after(std::chrono::microseconds wait) {
    now_ = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(wait * 2), kFirst, kLongest);
  }
  void was_too_short() { now_ = std::min(now_ * 2, kLongest); }

 private:
  std::chrono::milliseconds now_ = kFirst;
};

}  // namespace tidemark
