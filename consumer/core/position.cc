#include "consumer/core/position.h"

#include <algorithm>
#include <cstddef>

namespace tidemark {
namespace {

// Identities kept at one position. One WAL record holds the rows of one page, at most a few
// hundred; a stream with more at one position is broken or hostile, and must neither fill the
// memory nor make each look-up slow. What is beyond can't be told from a repetition: it is
// recounted, which is slower and never wrong.
constexpr std::size_t kSeenAtMarkMax = 4096;

}  // namespace

Novelty observe(Mark& mark, const std::optional<Position>& position, Hash64 identity) {
  if (!position) return Novelty::kUnknown;
  if (!mark.position || *position > *mark.position) {
    mark.position = position;
    mark.seen.assign(1, identity);
    return Novelty::kNew;
  }
  if (*position < *mark.position) return Novelty::kBelowMark;
  if (std::find(mark.seen.begin(), mark.seen.end(), identity) != mark.seen.end()) {
    return Novelty::kSeenAtMark;
  }
  if (mark.seen.size() >= kSeenAtMarkMax) return Novelty::kUnknown;
  mark.seen.push_back(identity);
  return Novelty::kNew;
}

}  // namespace tidemark
