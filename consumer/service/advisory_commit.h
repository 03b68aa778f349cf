// Tells Kafka how far we are, for lag tools, and only what a crash of Postgres can't take back.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "consumer/core/ports.h"

namespace tidemark {

// `apply` commits with synchronous_commit=off, so the newest offsets may not be on disk yet (P6).
// Offsets noted before a probe of the log are safe once a later probe finds that insert position
// flushed.
class AdvisoryCommit {
 public:
  void note_applied(const Delta& delta);
  // Something was applied that Kafka doesn't know yet.
  bool pending() const { return !applied_.empty() || waiting_.has_value(); }
  // The offsets that are safe to tell now; empty when there are none.
  std::vector<StartAt> on_probe(const WalPositions& positions);
  // After partitions were taken from us.
  void clear();

 private:
  struct Waiting {
    Lsn inserted;
    std::map<TopicPartition, Offset> offsets;
  };
  std::map<TopicPartition, Offset> applied_;  // not yet covered by a probe
  std::optional<Waiting> waiting_;
};

}  // namespace tidemark
