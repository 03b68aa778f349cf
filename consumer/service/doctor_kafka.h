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

namespace tidemark {

// One thread.
class KafkaDoctor {
 public:
  // `kafka` names the topics; `stored` gives the stored offsets, and may throw. `declaration` must
  // outlive it. Throws WorldError(kConfig) when properties can't be used.
  KafkaDoctor(const Declaration& declaration, const DecodeLimits& limits, KafkaOptions kafka,
              std::map<std::string, TopicTables> topics, std::string prefix,
              std::function<std::vector<StartAt>()> stored,
              std::chrono::milliseconds patience = std::chrono::seconds(10));

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
  std::vector<Finding> look_at_retention();
  std::vector<Finding> look_at_samples();
  std::vector<Finding> look_at_clock() const;
  std::vector<Finding> look_at_heartbeats();
  Sampled sample(const std::string& topic);

  const Declaration& declaration_;
  DecodeLimits limits_;
  KafkaOptions kafka_;
  std::map<std::string, TopicTables> topics_;
  std::string prefix_;
  std::function<std::vector<StartAt>()> stored_;
  std::chrono::milliseconds patience_;  // of each question
  EndOffsets ends_;
  std::vector<EndOffset> seen_;  // partitions of the topics that are there
  std::int64_t newest_ms_ = 0;   // timestamp of the newest sampled record
};

}  // namespace tidemark
