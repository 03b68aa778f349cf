// What `tidemark doctor` looks at in Kafka. Joins no group, and writes nothing.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/decode.h"
#include "consumer/core/diagnosis.h"
#include "consumer/core/ports.h"
#include "consumer/kafka/end_offsets.h"
#include "consumer/kafka/kafka_options.h"
#include "consumer/kafka/topic_settings.h"

namespace tidemark {

struct KafkaDoctorOptions {
  DecodeLimits limits;
  KafkaOptions kafka;  // names the topics
  std::map<std::string, TopicTables> topics;
  std::string prefix;  // Debezium's topic.prefix; empty: its heartbeats are not looked at
  // The offsets that are stored, and what brokers are set to keep; both may throw.
  std::function<std::vector<StartAt>()> stored;
  std::function<TopicSettingsMap(const KafkaOptions&, std::chrono::milliseconds)> settings =
      read_topic_settings;
  std::chrono::milliseconds patience = std::chrono::seconds(10);  // of each question
};

// One thread.
class KafkaDoctor {
 public:
  // `declaration` must outlive it. Throws WorldError(kConfig) when properties can't be used.
  KafkaDoctor(const Declaration& declaration, KafkaDoctorOptions options);

  // The first one is the gate; the others use what it has seen. They refer to this.
  std::vector<DoctorCheck> checks();

 private:
  // What a look at the ends of one topic gave.
  struct Sampled {
    std::size_t bad = 0;
    std::size_t good = 0;  // decoded, or rightly passed over
    std::string reason;    // of a bad one
    std::int64_t newest_ms = 0;
  };

  std::vector<Finding> look_at_brokers();
  std::vector<Finding> look_at_topics() const;
  std::vector<Finding> look_at_group();
  std::vector<Finding> look_at_settings();
  std::vector<Finding> look_at_retention();
  std::vector<Finding> look_at_samples();
  std::vector<Finding> look_at_clock() const;
  std::vector<Finding> look_at_heartbeats();
  Sampled sample(const std::string& topic);

  const Declaration& declaration_;
  KafkaDoctorOptions options_;
  EndOffsets ends_;
  std::vector<EndOffset> seen_;  // partitions of the topics that are there
  TopicSettingsMap settings_;    // of those that were told
  std::int64_t newest_ms_ = 0;   // timestamp of the newest sampled record, heartbeats included
};

}  // namespace tidemark
