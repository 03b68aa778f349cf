#include "consumer/core/delta.h"

#include <xxhash.h>

namespace tidemark {

std::string_view cause_name(SuspectCause cause) {
  switch (cause) {
    case SuspectCause::kSnapshotRow:
      return "snapshot_row";
    case SuspectCause::kPartialImage:
      return "partial_image";
    case SuspectCause::kNotNew:
      return "not_new";
    case SuspectCause::kNoPosition:
      return "no_position";
    case SuspectCause::kNoKey:
      return "no_key";
    case SuspectCause::kTruncate:
      return "truncate";
    case SuspectCause::kParked:
      return "parked";
    case SuspectCause::kNegative:
      return "negative";
    case SuspectCause::kDataLoss:
      return "data_loss";
    case SuspectCause::kNewCounter:
      return "new_counter";
    case SuspectCause::kStart:
      return "start";
    case SuspectCause::kNewHistory:
      return "new_history";
    case SuspectCause::kRepartitioned:
      return "repartitioned";
    case SuspectCause::kReplay:
      return "replay";
    case SuspectCause::kRequested:
      return "requested";
    case SuspectCause::kLocked:
      return "locked";
    case SuspectCause::kChanged:
      return "changed";
  }
  return "?";
}

Fingerprint fingerprint_of(const Record& record) {
  const std::string_view key = record.key.value_or(std::string_view{});
  std::string_view tail = record.value.value_or(std::string_view{});
  if (tail.size() > Fingerprint::kValueTailBytes) {
    tail.remove_prefix(tail.size() - Fingerprint::kValueTailBytes);
  }
  return {.offset = record.offset,
          .timestamp = record.timestamp,
          .key = Hash64(XXH3_64bits(key.data(), key.size())),
          .value = Hash64(XXH3_64bits(tail.data(), tail.size()))};
}

bool AggregateDelta::changes(CounterIndex counter) const {
  for (std::size_t at = counter.value; at < deltas.size(); at += counters) {
    if (deltas[at] != 0) return true;
  }
  return false;
}

std::size_t Delta::rows() const {
  std::size_t rows = suspect_cells.size() + suspect_ranges.size() + parked.size();
  for (const AggregateDelta& aggregate : aggregates) rows += aggregate.rows();
  return rows;
}

}  // namespace tidemark
