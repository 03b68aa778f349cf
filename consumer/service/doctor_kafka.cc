#include "consumer/service/doctor_kafka.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "consumer/kafka/topic_reader.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds kLook{200};
// How often brokers are asked within the patience.
constexpr int kTries = 4;
// So many of the last records of each partition are decoded: with tombstones and heartbeats among
// them, some change is.
constexpr std::int64_t kSampled = 5;
constexpr std::int64_t kAheadMaxMs = 1'000;
// Debezium's heartbeats come each few seconds, and by the minute where somebody saves.
constexpr std::int64_t kHeartbeatMaxMs = 300'000;

std::int64_t now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(now).count();
}

Finding found(Finding::Level level, std::string what, std::string why, std::string mend) {
  return {level, std::move(what), std::move(why), std::move(mend)};
}

constexpr auto kError = Finding::Level::kError;
constexpr auto kWarning = Finding::Level::kWarning;

// Reads until all is read; false: it doesn't come within the patience.
template <class Take>
bool read_all(TopicReader& reader, milliseconds patience, Take take) {
  const auto until = Steady::now() + patience;
  while (!reader.done() && Steady::now() < until) {
    if (const auto record = reader.next(milliseconds(200))) take(*record);
  }
  return reader.done();
}

// A refusal is to be told as such before the patience ends.
KafkaOptions impatient(KafkaOptions kafka, milliseconds patience) {
  kafka.auth_patience = patience / kTries;
  return kafka;
}

constexpr const char* kHeartbeatMend =
    "heartbeat.interval.ms=10000 and heartbeat.action.query=\"select "
    "pg_logical_emit_message(false, "
    "'heartbeat', now()::varchar)\" in the connector";

}  // namespace

KafkaDoctor::KafkaDoctor(const Declaration& declaration, const DecodeLimits& limits,
                         KafkaOptions kafka, std::map<std::string, TopicTables> topics,
                         std::string prefix, std::function<std::vector<StartAt>()> stored,
                         milliseconds patience)
    : declaration_(declaration),
      limits_(limits),
      kafka_(impatient(std::move(kafka), patience)),
      topics_(std::move(topics)),
      prefix_(std::move(prefix)),
      stored_(std::move(stored)),
      patience_(patience),
      ends_(kafka_) {}

std::vector<DoctorCheck> KafkaDoctor::checks() {
  return {{"kafka", "brokers", [this] { return look_at_brokers(); }, true},
          {"kafka", "topics", [this] { return look_at_topics(); }},
          {"kafka", "group", [this] { return look_at_group(); }},
          {"kafka", "retention", [this] { return look_at_retention(); }},
          {"kafka", "samples", [this] { return look_at_samples(); }},
          {"kafka", "clock", [this] { return look_at_clock(); }},
          {"kafka", "heartbeats", [this] { return look_at_heartbeats(); }}};
}

std::vector<Finding> KafkaDoctor::look_at_brokers() {
  // A refused log-in looks like a broker that restarts until it lasts (auth_patience).
  const auto until = Steady::now() + patience_;
  while (true) {
    try {
      seen_ = ends_.read(patience_ / kTries);
      return {};
    } catch (const WorldError& error) {
      if (error.kind() != ErrorKind::kRetry || Steady::now() >= until) throw;
      std::this_thread::sleep_for(kLook);
    }
  }
}

std::vector<Finding> KafkaDoctor::look_at_topics() const {
  std::vector<Finding> findings;
  for (const auto& [topic, tables] : topics_) {
    if (std::ranges::any_of(seen_, [&](const EndOffset& end) { return end.where.topic == topic; }))
      continue;
    std::vector<std::string> names;
    for (const TableIndex table : tables.tables) {
      names.push_back(declaration_.table(table).name.text());
    }
    findings.push_back(found(
        seen_.empty() ? kError : kWarning,
        fmt::format("there is no topic {}, of {}", topic, fmt::join(names, ", ")),
        "nothing of these tables is counted but by passes; Debezium makes it with its first change",
        "[topics] prefix must be the connector's topic.prefix, and its table.include.list must "
        "hold the table; kafka-topics.sh --list says what is there"));
  }
  return findings;
}

std::vector<Finding> KafkaDoctor::look_at_group() {
  if (!seen_.empty()) ends_.ask_group(seen_.front().where, patience_);
  return {};
}

std::vector<Finding> KafkaDoctor::look_at_retention() {
  std::vector<Finding> findings;
  const std::string mend =
      "nothing for the counts: the next member notices, and all is recounted. Give the topics a "
      "retention.ms that outlives your longest outage";
  // In this order: members go on meanwhile, and are never past an end that was read later.
  const std::vector<StartAt> all = stored_();
  seen_ = ends_.read(patience_);
  for (const StartAt& stored : all) {
    if (!topics_.contains(stored.where.topic)) continue;
    const std::string partition =
        fmt::format("{} [{}]", stored.where.topic, stored.where.partition.value);
    const auto end = std::ranges::find(seen_, stored.where, &EndOffset::where);
    if (end == seen_.end()) {
      findings.push_back(found(kError, fmt::format("{} is stored, and is not there", partition),
                               "the topic was deleted, or made anew with fewer partitions: what "
                               "was not read is lost",
                               mend));
    } else if (stored.offset != kNotStarted && stored.offset < end->low) {
      findings.push_back(found(kError,
                               fmt::format("{} begins at {}, and {} is read next", partition,
                                           end->low.value, stored.offset.value),
                               fmt::format("{} records were purged before they were read",
                                           end->low.value - stored.offset.value),
                               mend));
    } else if (stored.offset > end->high) {
      findings.push_back(found(kError,
                               fmt::format("{} ends at {}, and {} is read next", partition,
                                           end->high.value, stored.offset.value),
                               "the topic was deleted and made anew", mend));
    }
  }
  return findings;
}

std::vector<Finding> KafkaDoctor::look_at_samples() {
  std::vector<Finding> findings;
  for (const auto& [topic, tables] : topics_) {
    try {
      const Sampled sampled = sample(topic);
      newest_ms_ = std::max(newest_ms_, sampled.newest_ms);
      if (sampled.bad == 0) continue;
      findings.push_back(
          found(sampled.good == 0 ? kError : kWarning,
                fmt::format("{} of the last {} records of {} can't be decoded: {}", sampled.bad,
                            sampled.bad + sampled.good, topic, sampled.reason),
                "such records are parked; each costs a pass over its counters, and at [limits] "
                "parked_max the partition stands still",
                "mend converters and transforms of the connector, or the declaration; the "
                "RUNBOOK has a heading for the code"));
    } catch (const WorldError& error) {  // the other topics are looked at all the same
      if (!findings.empty() && findings.back().what == error.what()) continue;  // of the group
      findings.push_back(found(kError, error.what(), "its records can't be read",
                               "allow the user Read and Describe on the topic (kafka-acls.sh), or "
                               "mend what the error names"));
    }
  }
  return findings;
}

KafkaDoctor::Sampled KafkaDoctor::sample(const std::string& topic) {
  std::vector<ReadRange> ranges;
  for (const EndOffset& end : seen_) {
    if (end.where.topic != topic) continue;
    const Offset from(std::max(end.low.value, end.high.value - kSampled));
    if (from < end.high) ranges.push_back({end.where, from, end.high});
  }
  Sampled sampled;
  if (ranges.empty()) return sampled;
  TopicReader reader(kafka_, std::move(ranges));
  Decoder decoder(declaration_, limits_);
  Change change;
  const bool done = read_all(reader, patience_, [&](const Record& record) {
    sampled.newest_ms = std::max(sampled.newest_ms, record.timestamp.value);
    const DecodeResult result = decoder.decode(record, topics_.at(topic), change);
    if (const auto* bad = std::get_if<BadRecord>(&result)) {
      ++sampled.bad;
      sampled.reason = fmt::format("{}: {}", code_name(bad->code), bad->reason);
    } else {
      ++sampled.good;
    }
  });
  if (done) return sampled;
  throw WorldError(ErrorKind::kRetry,
                   fmt::format("kafka: the last records of {} don't come within {} s", topic,
                               patience_.count() / 1'000));
}

std::vector<Finding> KafkaDoctor::look_at_clock() const {
  const std::int64_t ahead = newest_ms_ - now_ms();
  if (ahead <= kAheadMaxMs) return {};
  return {found(kWarning,
                fmt::format("the newest record was stamped {:.1f} s from now: Connect's or the "
                            "broker's clock is ahead of this machine's",
                            static_cast<double>(ahead) / 1'000),
                "counts don't depend on clocks, but freshness and lag in seconds are off by it",
                "synchronise all by NTP: `chronyc tracking` or `timedatectl` on each")};
}

std::vector<Finding> KafkaDoctor::look_at_heartbeats() {
  if (prefix_.empty()) return {};
  const std::string topic = "__debezium-heartbeat." + prefix_;
  const std::string why =
      "where nothing that is watched is written, Debezium's slot stands still: fences are never "
      "dropped, and the server's log piles up";
  KafkaOptions options = kafka_;
  options.topics = {topic};
  std::vector<ReadRange> ranges;
  try {
    for (const EndOffset& end : EndOffsets(options).read(patience_)) {
      if (end.high > end.low) ranges.push_back({end.where, Offset(end.high.value - 1), end.high});
    }
    std::int64_t newest = 0;
    if (!ranges.empty()) {
      TopicReader reader(options, std::move(ranges));
      read_all(reader, patience_,
               [&](const Record& record) { newest = std::max(newest, record.timestamp.value); });
    }
    if (newest == 0) {
      return {found(kWarning, "the connector sends no heartbeats: no record of " + topic, why,
                    kHeartbeatMend)};
    }
    const std::int64_t age = now_ms() - newest;
    if (age <= kHeartbeatMaxMs) return {};
    return {
        found(kWarning, fmt::format("the last heartbeat came {} s ago", age / 1'000),
              "the connector has stopped, or sends heartbeats seldom: " + why,
              "look at the connector's status in Kafka Connect; " + std::string(kHeartbeatMend))};
  } catch (const WorldError& error) {
    if (error.kind() == ErrorKind::kDenied) return {};  // no member reads it: no right is needed
    throw;
  }
}

}  // namespace tidemark
