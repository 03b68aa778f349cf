#include "consumer/kafka/slots.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "consumer/core/check.h"

namespace tidemark {

void Slots::reset(std::span<const StartAt> starts) {
  partitions_.clear();
  topics_.clear();
  last_ = nullptr;
  for (const StartAt& start : starts) {
    const auto slot = static_cast<std::int32_t>(partitions_.size());
    const std::int32_t partition = start.where.partition.value;
    TIDEMARK_CHECK(partition >= 0 && start.offset.value >= kNothing);
    partitions_.push_back({start.where, start.offset.value});
    auto topic = std::ranges::find(topics_, start.where.topic, &OfTopic::name);
    if (topic == topics_.end()) {
      topics_.push_back({nullptr, start.where.topic, {}});
      topic = topics_.end() - 1;
    }
    const auto index = static_cast<std::size_t>(partition);
    if (topic->slot_of_partition.size() <= index) topic->slot_of_partition.resize(index + 1, kNone);
    TIDEMARK_CHECK(topic->slot_of_partition[index] == kNone);
    topic->slot_of_partition[index] = slot;
  }
}

Slots::Found Slots::find(const rd_kafka_topic_s* topic, std::int32_t partition) {
  if (last_ == nullptr || last_->handle != topic) last_ = find_topic(topic);
  if (last_ == nullptr) return {};
  const auto index = static_cast<std::size_t>(partition);
  if (index >= last_->slot_of_partition.size()) return {};
  return {last_->slot_of_partition[index], last_->name};
}

std::int32_t Slots::find(std::string_view topic, std::int32_t partition) const {
  for (std::size_t slot = 0; slot < partitions_.size(); ++slot) {
    const TopicPartition& where = partitions_[slot].where;
    if (where.topic == topic && where.partition.value == partition) {
      return static_cast<std::int32_t>(slot);
    }
  }
  return kNone;
}

Slots::OfTopic* Slots::find_topic(const rd_kafka_topic_s* topic) {
  const auto known = std::ranges::find(topics_, topic, &OfTopic::handle);
  if (known != topics_.end()) return &*known;
  const auto named = std::ranges::find(topics_, rd_kafka_topic_name(topic), &OfTopic::name);
  if (named == topics_.end()) return nullptr;
  named->handle = topic;
  return &*named;
}

Record to_record(const rd_kafka_message_s& message, const Slots::Found& found) {
  Record record;
  record.slot = static_cast<std::uint32_t>(found.slot);
  record.topic = found.topic;
  record.partition = Partition(message.partition);
  record.offset = Offset(message.offset);
  record.timestamp = KafkaTimestamp(rd_kafka_message_timestamp(&message, nullptr));
  if (message.key != nullptr) {
    record.key.emplace(static_cast<const char*>(message.key), message.key_len);
  }
  if (message.payload != nullptr) {
    record.value.emplace(static_cast<const char*>(message.payload), message.len);
  }
  return record;
}

}  // namespace tidemark
