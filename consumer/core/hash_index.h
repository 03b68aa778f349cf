// What the hash tables of a batch have in common.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark {

struct MixedHash {
  // Ids are dense: spread them, or probing degenerates. The multiplier is 2^64 / golden ratio.
  std::size_t operator()(std::int64_t key) const {
    const auto mixed = static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15ULL;
    return static_cast<std::size_t>(mixed ^ (mixed >> 32));
  }
};

// Empties an index that held `rows`. Clearing walks all buckets: after a burst of 200,000 rows that
// took 1.4 ms of each small batch to come, for each table. So one that is far too large is made
// anew.
template <class Map>
void empty_out(Map& map, std::size_t rows) {
  constexpr std::size_t kBucketsPerRowMax = 16;
  constexpr std::size_t kBucketsKept = 4096;
  if (map.bucket_count() > kBucketsKept + kBucketsPerRowMax * rows) {
    map = Map();
  } else {
    map.clear();
  }
}

}  // namespace tidemark
