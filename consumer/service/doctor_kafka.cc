#include "consumer/service/doctor_kafka.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "consumer/kafka/topic_reader.h"
#include "consumer/service/doctor_retention.h"

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
KafkaDoctorOptions impatient(KafkaDoctorOptions options) {
  options.kafka.auth_patience = options.patience / kTries;
  return options;
}

constexpr const char* kHeartbeatMend =
    "heartbeat.interval.ms=10000 and heartbeat.action.query=\"select "
    "pg_logical_emit_message(false, "
    "'heartbeat', now()::varchar)\" in the connector";

}  // namespace

KafkaDoctor::KafkaDoctor(const Declaration& declaration, KafkaDoctorOptions options)
    : declaration_(declaration), options_(impatient(std::move(options))), ends_(options_.kafka) {}

std::vector<DoctorCheck> KafkaDoctor::checks() {
  return {{"kafka", "brokers", [this] { return look_at_brokers(); }, true},
          {"kafka", "topics", [this] { return look_at_topics(); }},
          {"kafka", "group", [this] { return look_at_group(); }},
          {"kafka", "topic settings", [this] { return look_at_settings(); }},
          {"kafka", "retention", [this] { return look_at_retention(); }},
          {"kafka", "samples", [this] { return look_at_samples(); }},
          {"kafka", "heartbeats", [this] { return look_at_heartbeats(); }},
          {"kafka", "clock", [this] { return look_at_clock(); }}};
}

std::vector<Finding> KafkaDoctor::look_at_brokers() {
  // A refused log-in looks like a broker that restarts until it lasts (auth_patience).
  const auto until = Steady::now() + options_.patience;
  while (true) {
    try {
      seen_ = ends_.read(options_.patience / kTries);
      return {};
    } catch (const WorldError& error) {
      if (error.kind() != ErrorKind::kRetry || Steady::now() >= until) throw;
      std::this_thread::sleep_for(kLook);
    }
  }
}

std::vector<Finding> KafkaDoctor::look_at_topics() const {
  std::vector<Finding> findings;
  for (const auto& [topic, tables] : options_.topics) {
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
  if (!seen_.empty()) ends_.ask_group(seen_.front().where, options_.patience);
  return {};
}

std::vector<Finding> KafkaDoctor::look_at_settings() {
  settings_ = options_.settings(options_.kafka, options_.patience);
  return judge_settings(settings_);
}

std::vector<Finding> KafkaDoctor::look_at_retention() {
  RetentionLook look;
  // In this order: members go on meanwhile, and are never past an end that was read later.
  look.stored = options_.stored();
  std::erase_if(look.stored,
                [this](const StartAt& one) { return !options_.topics.contains(one.where.topic); });
  seen_ = ends_.read(options_.patience);
  look.ends = seen_;
  look.settings = settings_;
  look.since = [this](milliseconds age) {
    return ends_.at_time(KafkaTimestamp(now_ms() - age.count()), options_.patience);
  };
  return judge_retention(look);
}

std::vector<Finding> KafkaDoctor::look_at_samples() {
  std::vector<Finding> findings;
  for (const auto& [topic, tables] : options_.topics) {
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
  TopicReader reader(options_.kafka, std::move(ranges));
  Decoder decoder(declaration_, options_.limits);
  Change change;
  const bool done = read_all(reader, options_.patience, [&](const Record& record) {
    sampled.newest_ms = std::max(sampled.newest_ms, record.timestamp.value);
    const DecodeResult result = decoder.decode(record, options_.topics.at(topic), change);
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
                               options_.patience.count() / 1'000));
}

// No broker tells its time: only a stamp from the future shows a clock, and one that is behind
// stays unseen.
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
  if (options_.prefix.empty()) return {};
  const std::string topic = "__debezium-heartbeat." + options_.prefix;
  const std::string why =
      "where nothing that is watched is written, Debezium's slot stands still: fences are never "
      "dropped, and the server's log piles up";
  KafkaOptions options = options_.kafka;
  options.topics = {topic};
  std::vector<ReadRange> ranges;
  try {
    for (const EndOffset& end : EndOffsets(options).read(options_.patience)) {
      if (end.high > end.low) ranges.push_back({end.where, Offset(end.high.value - 1), end.high});
    }
    std::int64_t newest = 0;
    if (!ranges.empty()) {
      TopicReader reader(options, std::move(ranges));
      read_all(reader, options_.patience,
               [&](const Record& record) { newest = std::max(newest, record.timestamp.value); });
    }
    newest_ms_ = std::max(newest_ms_, newest);
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
