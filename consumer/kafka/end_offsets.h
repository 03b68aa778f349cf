// Asks the brokers where topics begin and end, beside the group: for fences (DESIGN F9), replay and
// verify.
//
// Answers are those of read_committed: an end is the last stable offset, so an open transaction
// hides what follows. Each call asks anew, and asks each broker once, however many partitions.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "consumer/core/ports.h"
#include "consumer/kafka/kafka_client.h"
#include "consumer/kafka/kafka_options.h"

namespace tidemark {

// First and next offset that a partition holds; records of open transactions count.
struct EndOffset {
  TopicPartition where;
  Offset low;
  Offset high;

  friend bool operator==(const EndOffset&, const EndOffset&) = default;
};

// One thread. The calls throw WorldError: kRetry when a broker can't be reached in time or says
// what passes by itself; kDenied (no right to a topic; log-in or TLS refused for longer than
// auth_patience, which the call before may have begun), kConfig or kFatal as KafkaSource. After a
// refusal a call may take half a second more than its timeout.
class EndOffsets {
 public:
  // Throws WorldError(kConfig) when properties or topics can't be used: the topics are exact names
  // here. Waits for no broker.
  explicit EndOffsets(KafkaOptions options);

  // How many partitions each topic has. A topic that is missing is absent.
  std::map<std::string, std::int32_t> partitions(std::chrono::milliseconds timeout);
  // All partitions of all topics that exist, by topic and partition.
  std::vector<EndOffset> read(std::chrono::milliseconds timeout);
  // Where to start reading each of them to have all records of `time` or later: at the first of
  // these, at the end when there is none yet.
  std::vector<StartAt> at_time(KafkaTimestamp time, std::chrono::milliseconds timeout);
  // Asks for what the group has committed of a partition, for the right to do so alone: kDenied
  // when the group may not be used.
  void ask_group(const TopicPartition& where, std::chrono::milliseconds timeout);

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  std::int32_t partitions_of(const std::string& topic, Deadline deadline);
  std::map<std::string, std::int32_t> count_partitions(Deadline deadline);
  std::vector<TopicPartition> list_partitions(Deadline deadline);
  std::vector<Offset> ask(const std::vector<TopicPartition>& partitions, std::int64_t what,
                          Deadline deadline);

  LoneKafkaClient client_;
};

}  // namespace tidemark
