// One seed, one schedule: the same on every machine, which std's distributions are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidemark::sim {

// SplitMix64.
class Random {
 public:
  // Mixed, or neighbours would be one stream, shifted.
  explicit Random(std::uint64_t seed) : state_(seed) { state_ = next() ^ seed; }

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  // In [0, n); n is not 0.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
  bool percent(std::size_t p) { return below(100) < p; }
  template <class T>
  const T& one_of(const std::vector<T>& things) {
    return things[below(things.size())];
  }

 private:
  std::uint64_t state_;
};

}  // namespace tidemark::sim
