#include "consumer/service/empty_tails.h"

#include <algorithm>

#include "consumer/core/ports.h"

namespace tidemark {
namespace {

// Of a partition of which nothing was applied yet, all of it.
Offset begin_of(const TopicEnd& end, const Applied& applied) {
  return applied.next == kNotStarted ? end.low : applied.next;
}

}  // namespace

void EmptyTails::pass_over(const Arrival::Look& look, AppliedOffsets& applied) {
  std::vector<Tail> wanted;
  for (const TopicEnd& end : look.ends) {
    const auto found = applied.find(end.where);
    if (found == applied.end()) continue;
    const Tail tail{end.where, begin_of(end, found->second), end.high};
    if (tail.from >= tail.to || tail.from < end.low) continue;  // nothing, or records are gone
    Known& known = known_.try_emplace(end.where, Known{tail, look.answered}).first->second;
    if (known.tail != tail) known = {tail, look.answered};
    if (!known.empty && look.asked - known.since >= stays_) wanted.push_back(tail);
  }
  if (!wanted.empty()) {
    const std::vector<Tail> empty = ask_(wanted);
    for (const Tail& tail : wanted) {
      known_[tail.where] = {tail, look.answered, std::ranges::find(empty, tail) != empty.end()};
    }
  }
  for (const TopicEnd& end : look.ends) {
    const auto known = known_.find(end.where);
    if (known == known_.end() || !known->second.empty) continue;
    Applied& at = applied.at(end.where);
    if (known->second.tail == Tail{end.where, begin_of(end, at), end.high}) at.next = end.high;
  }
}

}  // namespace tidemark
