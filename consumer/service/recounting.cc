#include "consumer/service/recounting.h"

#include <chrono>
#include <optional>
#include <set>

#include "consumer/kafka/topic_reader.h"
#include "consumer/service/postgres.h"

namespace tidemark {
namespace {

// For asking the brokers where the topics end.
constexpr std::chrono::milliseconds kEndsPatience{5'000};
constexpr std::chrono::milliseconds kTailWait{100};

KafkaOptions kafka_options(const Config& config, const Declaration& declaration) {
  KafkaOptions kafka;
  kafka.properties = config.kafka;
  for (const auto& [topic, tables] : resolve_topics(config.topics, declaration)) {
    kafka.topics.push_back(topic);
  }
  return kafka;
}

// Read by a client of its own: this is asked for seldom.
std::vector<Tail> without_records(const KafkaOptions& kafka, const std::vector<Tail>& tails) {
  std::vector<ReadRange> ranges;
  for (const Tail& tail : tails) ranges.push_back({tail.where, tail.from, tail.to});
  std::set<std::size_t> left;
  for (std::size_t i = 0; i < tails.size(); ++i) left.insert(i);
  std::vector<Tail> empty;
  TopicReader reader(kafka, ranges);
  const auto deadline = std::chrono::steady_clock::now() + kEndsPatience;
  try {
    while (!left.empty() && std::chrono::steady_clock::now() < deadline) {
      const std::optional<Record> record = reader.next(kTailWait);
      if (record) left.erase(record->slot);
      std::erase_if(left, [&](std::size_t i) {
        if (reader.next_offset(i) < tails[i].to) return false;
        empty.push_back(tails[i]);
        return true;
      });
    }
  } catch (const WorldError& error) {  // an open transaction: the partition can't be read on
    if (error.kind() != ErrorKind::kRetry) throw;
  }
  return empty;
}

}  // namespace

Recounting::Recounting(const Config& config, const Declaration& declaration,
                       RecountObserver& observer)
    : kafka_(kafka_options(config, declaration)),
      end_offsets_(kafka_),
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
  return {ends, [this] { return end_offsets_.partitions(kEndsPatience); },
          [this](const std::vector<Tail>& tails) { return without_records(kafka_, tails); }};
}

}  // namespace tidemark
