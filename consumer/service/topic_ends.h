// Asks where topics end, for who looks at lag.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/types.h"
#include "consumer/kafka/end_offsets.h"
#include "consumer/kafka/kafka_options.h"

namespace tidemark {

// One thread.
class TopicEnds {
 public:
  TopicEnds(KafkaProperties properties, std::vector<std::string> topics);

  const std::vector<std::string>& topics() const { return options_.topics; }
  // Of all partitions of those topics that exist. The client is made at the first call. Throws
  // WorldError, soon when no broker answers.
  std::map<TopicPartition, Offset> read();

 private:
  KafkaOptions options_;
  std::optional<EndOffsets> client_;
};

}  // namespace tidemark
