// Waiting times between tries: doubling, with jitter, bounded.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace tidemark {

// First waits `first`, then twice as long each time up to `longest`; the wait is drawn between half
// of it and all of it, so that members that failed together don't come back together.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds longest)
      : first_(first), longest_(longest), current_(first) {}

  std::chrono::milliseconds next() {
    std::uniform_int_distribution<std::int64_t> draw(current_.count() / 2, current_.count());
    const std::chrono::milliseconds wait(draw(random_));
    current_ = std::min(current_ * 2, longest_);
    return wait;
  }
  void reset() { current_ = first_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds longest_;
  std::chrono::milliseconds current_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace tidemark
