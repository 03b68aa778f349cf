#include "consumer/kafka/say_once.h"

#include <algorithm>

namespace tidemark {
namespace {

// Often enough for someone who has just begun to look.
constexpr std::chrono::seconds kAgainAfter{60};
// More kinds of trouble at a time than this repeat themselves in the log, and cost no more memory.
constexpr std::size_t kRememberedMax = 64;

}  // namespace

bool SayOnce::worth_saying(int code, std::string_view topic, std::int32_t partition,
                           TimePoint now) {
  std::erase_if(said_, [now](const Said& said) { return now - said.at >= kAgainAfter; });
  const bool known = std::ranges::any_of(said_, [&](const Said& said) {
    return said.code == code && said.partition == partition && said.topic == topic;
  });
  if (known) return false;
  if (said_.size() == kRememberedMax) said_.erase(said_.begin());
  said_.push_back({code, std::string(topic), partition, now});
  return true;
}

}  // namespace tidemark
