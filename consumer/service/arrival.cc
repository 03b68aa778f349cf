#include "consumer/service/arrival.h"

#include "consumer/core/came_past.h"

namespace tidemark {

bool Arrival::complete(const std::vector<TopicEnd>& ends, const AppliedOffsets& applied,
                       Steady::time_point now) {
  bool all = true;
  for (const TopicEnd& end : ends) {
    Silent& silent = silent_.try_emplace(end.where, Silent{end.high, now}).first->second;
    if (silent.high != end.high) silent = {end.high, now};
    const auto found = applied.find(end.where);
    if (found != applied.end() && came_past(found->second.position, end_)) continue;
    const bool at_end =
        end.low == end.high || (found != applied.end() && found->second.next >= end.high);
    all = all && at_end && now - silent.since >= silence_;
  }
  return all;
}

}  // namespace tidemark
