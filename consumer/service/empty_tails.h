// Partitions that are applied to their last record, though not to their end: what lies between are
// markers of Kafka's transactions, as Connect with exactly-once leaves one behind each batch.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <vector>

#include "consumer/service/arrival.h"

namespace tidemark {

// What lies between what is applied and the end of a partition.
struct Tail {
  TopicPartition where;
  Offset from;
  Offset to;

  friend bool operator==(const Tail&, const Tail&) = default;
};

class EmptyTails {
 public:
  using Steady = std::chrono::steady_clock;
  // Those that hold no record; may read from Kafka, and leave out what it could not find out.
  using Ask = std::function<std::vector<Tail>(const std::vector<Tail>&)>;

  // Asks for a tail each time that it has stayed as it is for so long, until it is known to be
  // empty.
  EmptyTails(Ask ask, std::chrono::milliseconds stays) : ask_(std::move(ask)), stays_(stays) {}

  // Takes what is applied of a partition to its end, where nothing is left to be applied.
  void pass_over(const Arrival::Look& look, AppliedOffsets& applied);

 private:
  struct Known {
    Tail tail;
    Steady::time_point since;  // it is so, or was asked for
    bool empty = false;
  };

  Ask ask_;
  std::chrono::milliseconds stays_;
  std::map<TopicPartition, Known> known_;
};

}  // namespace tidemark
