// Whether Kafka keeps long enough what is not read yet: what `tidemark doctor` makes of what the
// brokers say. Asks nobody by itself.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "consumer/core/diagnosis.h"
#include "consumer/core/ports.h"
#include "consumer/kafka/end_offsets.h"
#include "consumer/kafka/topic_settings.h"

namespace tidemark {

// Topics that lose records by what they are set to, whether the group is behind or not.
std::vector<Finding> judge_settings(const TopicSettingsMap& settings);

struct RetentionLook {
  std::vector<StartAt> stored;  // what is read next
  std::vector<EndOffset> ends;  // asked for after `stored`
  TopicSettingsMap settings;    // of topics that are absent nothing is known
  // Of all partitions, the first record that is no older than this; their ends when none is. May
  // throw.
  std::function<std::vector<StartAt>(std::chrono::milliseconds age)> since;
};

// Stored offsets that are not there any more, or that may be gone soon.
std::vector<Finding> judge_retention(const RetentionLook& look);

}  // namespace tidemark
