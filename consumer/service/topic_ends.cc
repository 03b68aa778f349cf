#include "consumer/service/topic_ends.h"

#include <chrono>
#include <utility>

namespace tidemark {
namespace {

// Lag is worth no longer wait: other figures stand beside it.
constexpr std::chrono::milliseconds kPatience{1'000};

}  // namespace

TopicEnds::TopicEnds(KafkaProperties properties, std::vector<std::string> topics) {
  options_.properties = std::move(properties);
  options_.topics = std::move(topics);
}

std::map<TopicPartition, Offset> TopicEnds::read() {
  if (options_.topics.empty()) return {};
  if (!client_) client_.emplace(options_);
  std::map<TopicPartition, Offset> ends;
  for (const EndOffset& end : client_->read(kPatience)) ends[end.where] = end.high;
  return ends;
}

}  // namespace tidemark
