// Whether a partition holds no more of what a snapshot saw (DESIGN 4.4, rule F9).
#pragma once

#include <optional>

#include "consumer/core/position.h"

namespace tidemark {

// What was applied last stands behind every transaction that had committed when the log ended at
// `end`: Debezium sends transactions in the order of their commits, and a partition keeps the
// order of what is sent to it. Either half of the position proves it: the record came after a
// commit at or past `end`, or is itself of a transaction that committed later.
inline bool came_past(const std::optional<Position>& applied, Lsn end) {
  if (!applied) return false;
  return applied->lsn >= end || (applied->last_commit && *applied->last_commit >= end);
}

}  // namespace tidemark
