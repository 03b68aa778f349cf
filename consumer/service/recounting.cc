#include "consumer/service/recounting.h"

#include <chrono>

#include "consumer/service/postgres.h"

namespace tidemark {
namespace {

// For asking the brokers where the topics end.
constexpr std::chrono::milliseconds kEndsPatience{5'000};

KafkaOptions kafka_options(const Config& config, const Declaration& declaration) {
  KafkaOptions kafka;
  kafka.properties = config.kafka;
  for (const auto& [topic, tables] : resolve_topics(config.topics, declaration)) {
    kafka.topics.push_back(topic);
  }
  return kafka;
}

}  // namespace

Recounting::Recounting(const Config& config, const Declaration& declaration,
                       RecountObserver& observer)
    : end_offsets_(kafka_options(config, declaration)),
      store_(declaration, {.pg = pg_options(config, Role::kService),
                           .slot = config.recount.slot,
                           .source = source_options(config)}),
      recounter_(store_, look(), observer,
                 {.every = config.recount.every,
                  .producers = config.recount.producers,
                  .silence = config.recount.silence}) {}

TopicLook Recounting::look() {
  const auto ends = [this] {
    std::vector<TopicEnd> list;
    for (const EndOffset& end : end_offsets_.read(kEndsPatience)) {
      list.push_back({end.where, end.low, end.high});
    }
    return list;
  };
  return {ends, [this] { return end_offsets_.partitions(kEndsPatience); }};
}

}  // namespace tidemark
