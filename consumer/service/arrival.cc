#include "consumer/service/arrival.h"

#include "consumer/core/came_past.h"

namespace tidemark {

bool Arrival::complete(const Look& look, const AppliedOffsets& applied) {
  bool all = true;
  for (const TopicEnd& end : look.ends) {
    Silent& silent = silent_.try_emplace(end.where, Silent{end.high, look.answered}).first->second;
    if (silent.high != end.high) silent = {end.high, look.answered};
    const auto found = applied.find(end.where);
    if (found != applied.end() && came_past(found->second.position, end_)) continue;
    const bool at_end =
        end.low == end.high || (found != applied.end() && found->second.next >= end.high);
    all = all && at_end && look.asked - silent.since >= silence_;
  }
  return all;
}

}  // namespace tidemark
