// When everything that a snapshot of the source saw has been applied (DESIGN 4.4, rule F9).
//
// The slot's confirmed LSN alone does not say that it is all in Kafka. Debezium confirms the place
// of the record whose acknowledgement came last (BaseSourceTask.commitRecord), and the
// acknowledgements of two partitions overtake each other: one partition's queue in the producer may
// be megabytes long, or its broker slow, while another's is empty. But what lies below the
// confirmed LSN was handed to the producer before, and each partition keeps its order. So a
// partition holds no more of it when what is applied there stands past the snapshot, or when
// nothing has come into it for a while and it is applied to its end.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "consumer/core/position.h"
#include "consumer/core/types.h"

namespace tidemark {

// End of a partition, as Kafka says it.
struct TopicEnd {
  TopicPartition where;
  Offset low;
  Offset high;
};

// How far a partition is applied.
struct Applied {
  Offset next;
  std::optional<Position> position;  // its mark's; none: no position was seen yet
};
using AppliedOffsets = std::map<TopicPartition, Applied>;

class Arrival {
 public:
  using Steady = std::chrono::steady_clock;

  // The ends of all partitions, as they were at some time between the two.
  struct Look {
    Steady::time_point asked;
    std::vector<TopicEnd> ends;
    Steady::time_point answered;
  };

  // To be made once the slot has confirmed `end` of the log. `silence`: how long nothing must have
  // come into a partition until what the producer had in hand for it is taken to have come.
  Arrival(Lsn end, std::chrono::milliseconds silence) : end_(end), silence_(silence) {}

  // The ends were read after what `applied` holds was, or at most a moment before. To be asked
  // again and again, as silence counts from the first answer on until the last question: a broker
  // that takes its time to answer must not pass for a silent producer.
  bool complete(const Look& look, const AppliedOffsets& applied);

 private:
  struct Silent {
    Offset high;
    Steady::time_point since;
  };

  Lsn end_;
  std::chrono::milliseconds silence_;
  std::map<TopicPartition, Silent> silent_;
};

}  // namespace tidemark
