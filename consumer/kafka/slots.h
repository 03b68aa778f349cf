// What is being read: the assigned partitions by slot, how far each was delivered, and the way from
// a message to its slot, which is taken for each message and must not allocate or hash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/ports.h"

struct rd_kafka_topic_s;
struct rd_kafka_message_s;

namespace tidemark {

class Slots {
 public:
  static constexpr std::int32_t kNone = -1;
  static constexpr std::int64_t kNothing = -1;  // no offset yet

  // A message's partition, found.
  struct Found {
    std::int32_t slot = kNone;
    std::string_view topic;  // lives until the next reset or clear
  };

  Slots() = default;
  Slots(const Slots&) = delete;  // last_ points into topics_
  Slots& operator=(const Slots&) = delete;

  // Forgets everything, and takes these partitions: slot i is starts[i].
  void reset(std::span<const StartAt> starts);
  void clear() { reset({}); }

  bool empty() const { return partitions_.empty(); }
  std::size_t size() const { return partitions_.size(); }
  const TopicPartition& where(std::size_t slot) const { return partitions_[slot].where; }

  // The slot of a message of librdkafka's topic object, which lives as long as the assignment.
  // kNone: not ours.
  Found find(const rd_kafka_topic_s* topic, std::int32_t partition);
  // The slow way, by name.
  std::int32_t find(std::string_view topic, std::int32_t partition) const;

  // The offset after the last delivered record; where reading started when there was none yet;
  // kNothing when that was the earliest.
  std::int64_t next(std::size_t slot) const { return partitions_[slot].next; }
  void delivered(std::size_t slot, std::int64_t offset) { partitions_[slot].next = offset + 1; }

 private:
  struct OfTopic {
    const rd_kafka_topic_s* handle = nullptr;  // known with the first message
    std::string name;
    std::vector<std::int32_t> slot_of_partition;
  };
  struct OfPartition {
    TopicPartition where;
    std::int64_t next = kNothing;
  };

  OfTopic* find_topic(const rd_kafka_topic_s* topic);

  std::vector<OfPartition> partitions_;
  std::vector<OfTopic> topics_;
  OfTopic* last_ = nullptr;
};

// A message that is no error, as a record. Its views live as long as the message and the slots.
Record to_record(const rd_kafka_message_s& message, const Slots::Found& found);

}  // namespace tidemark
