// What brokers are set to keep of topics, asked for beside the group: for `tidemark doctor`.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "consumer/kafka/kafka_options.h"

namespace tidemark {

// By Kafka's own names.
struct TopicSettings {
  std::string cleanup_policy;         // "delete", "compact", or both with a comma
  std::int64_t retention_ms = -1;     // -1: for ever
  std::int64_t retention_bytes = -1;  // of each partition; -1: without bound

  bool deletes() const { return cleanup_policy.find("delete") != std::string::npos; }
  bool compacts() const { return cleanup_policy.find("compact") != std::string::npos; }
};

// By topic; none: the user may not describe its configuration. Topics that are missing are absent.
using TopicSettingsMap = std::map<std::string, std::optional<TopicSettings>>;

// Of the options' topics, which are exact names. Throws WorldError: kRetry when no broker answers
// in time or it can't be asked for this; kDenied, kConfig or kFatal as EndOffsets.
TopicSettingsMap read_topic_settings(KafkaOptions options, std::chrono::milliseconds timeout);

}  // namespace tidemark
