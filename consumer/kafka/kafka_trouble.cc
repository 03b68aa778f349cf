// KafkaSource when something is wrong: what is said, what is mended, what is thrown.
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/kafka/kafka_errors.h"
#include "consumer/kafka/kafka_source.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A batch that arrives damaged so often is damaged where it is stored.
constexpr int kBrokenReadsMax = 5;
// Waits before positioning again, doubling: a partition without an answer must not keep the others
// from reading.
constexpr milliseconds kRereadWaitMin{100};
constexpr milliseconds kRereadWaitMax{5'000};
// One answer from any broker, over a slow line.
constexpr int kProbeTimeoutMs = 500;
// Each partition of a vanished topic is an error of its own; together they are one event.
constexpr milliseconds kVerifyAfter{500};
constexpr std::size_t kErrorTextBytes = 512;

rd_kafka_resp_err_t to_code(int code) { return static_cast<rd_kafka_resp_err_t>(code); }

}  // namespace

SourceEvent KafkaSource::take_trouble(const Trouble& trouble) {
  const ErrorFate fate = fate_of(to_code(trouble.code));
  if (fate != ErrorFate::kQuiet) ++counts_.errors;
  switch (fate) {
    case ErrorFate::kQuiet:
      break;
    case ErrorFate::kOutOfRange:
      return take_out_of_range(trouble);
    case ErrorFate::kBrokenBatch:
      take_broken_batch(trouble);
      break;
    case ErrorFate::kMissing:
      // It is told of the topic as a whole, with a partition of 0.
      say_once(KafkaLogLevel::kWarning, "topic_missing",
               {trouble.code, trouble.topic, -1, -1, trouble.text});
      break;
    case ErrorFate::kAct:
      throw_to_act(trouble);
    case ErrorFate::kUnreachable:
    case ErrorFate::kRefused:
    case ErrorFate::kPassing:
      say_once(KafkaLogLevel::kWarning, "passing", trouble);
      break;
  }
  return Idle{};
}

SourceEvent KafkaSource::take_out_of_range(const Trouble& trouble) {
  const std::int32_t slot = slots_.find(trouble.topic, trouble.partition);
  if (slot == Slots::kNone) return Idle{};
  const auto index = static_cast<std::size_t>(slot);
  const std::int64_t next = slots_.next(index);
  // Two cases are no loss, but stop the partition: the earliest offset could not be asked for, or
  // was purged between the answer and the fetch.
  if (trouble.offset < 0 || next == Slots::kNothing) {
    say_once(KafkaLogLevel::kWarning, "position", trouble);
    reread_later();
    return Idle{};
  }
  return OutOfRange{slots_.where(index)};
}

// librdkafka goes on behind a batch that it could not read. What is behind it is not delivered: we
// go back to where we were.
void KafkaSource::take_broken_batch(const Trouble& trouble) {
  const std::int32_t slot = slots_.find(trouble.topic, trouble.partition);
  if (slot == Slots::kNone) {
    say_once(KafkaLogLevel::kWarning, "passing", trouble);
    return;
  }
  const std::int64_t next = slots_.next(static_cast<std::size_t>(slot));
  const bool again =
      slot == std::exchange(broken_slot_, slot) && next == std::exchange(broken_next_, next);
  broken_reads_ = again ? broken_reads_ + 1 : 1;
  if (broken_reads_ >= kBrokenReadsMax) {
    throw WorldError(
        ErrorKind::kFatal,
        describe(trouble) + fmt::format("; {} times in a row: the batch is damaged where "
                                        "it is stored, or of an unknown format",
                                        kBrokenReadsMax));
  }
  say(KafkaLogLevel::kWarning, "broken_batch", describe(trouble) + "; reading it again");
  reread();
}

void KafkaSource::reread_later() {
  if (reread_at_) return;
  reread_wait_ = std::clamp(reread_wait_ * 2, kRereadWaitMin, kRereadWaitMax);
  reread_at_ = Steady::now() + reread_wait_;
}

void KafkaSource::reread() {
  reread_at_.reset();
  if (!reading_ || revoke_pending()) return;
  ++counts_.rereads;
  stop_reading();
  if (!revoke_pending()) start_reading();
}

std::optional<Assigned> KafkaSource::verify() {
  verify_at_.reset();
  if (!reading_ || slots_.empty()) return std::nullopt;
  ++counts_.verifications;
  Assigned again;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    again.partitions.push_back(slots_.where(slot));
  }
  return again;
}

// From a callback: nothing is thrown here.
void KafkaSource::take_client_error(int code, std::string_view text) {
  ++counts_.errors;
  // librdkafka begins with the broker: "sasl_ssl://host:9092/1: ...".
  const Trouble trouble{code, text.substr(0, text.find(' ')), -1, -1, text};
  const Steady::time_point now = Steady::now();
  switch (fate_of(to_code(code))) {
    case ErrorFate::kUnreachable:
      sign_of_life_wanted_ = true;
      if (!watch_.all_down(now)) return;
      if (options_.on_reachable) options_.on_reachable(false);
      return say(KafkaLogLevel::kWarning, "unreachable",
                 fmt::format("{}; trying again until one answers", text));
    case ErrorFate::kRefused:
      sign_of_life_wanted_ = true;
      watch_.refused(std::string(text), now);
      break;
    case ErrorFate::kAct:
      try {
        throw_to_act({code, {}, -1, -1, text});
      } catch (const WorldError& error) {
        failure_ = error;
      }
      return;
    case ErrorFate::kMissing:
      if (reading_ && !verify_at_) verify_at_ = now + kVerifyAfter;
      break;
    case ErrorFate::kQuiet:
    case ErrorFate::kOutOfRange:
    case ErrorFate::kBrokenBatch:
    case ErrorFate::kPassing:
      if (code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__RESOLVE) {
        watch_.unreachable();
      }
      break;
  }
  if (say_once_.worth_saying(code, trouble.topic, -1, now)) {
    say(KafkaLogLevel::kWarning, "broker", std::string(text));
  }
}

void KafkaSource::throw_to_act(const Trouble& trouble) {
  rd_kafka_resp_err_t code = to_code(trouble.code);
  std::string message = describe(trouble);
  std::array<char, kErrorTextBytes> text{};
  if (code == RD_KAFKA_RESP_ERR__FATAL) {
    code = rd_kafka_fatal_error(client_.get(), text.data(), text.size());
    message += fmt::format(": {}", text.data());
  }
  if (!advice(code).empty()) message += fmt::format("; {}", advice(code));
  throw WorldError(error_kind(code), without_secrets(std::move(message), options_.properties));
}

void KafkaSource::heard() {
  sign_of_life_wanted_ = false;
  reread_wait_ = milliseconds(0);
  if (!watch_.heard()) return;
  say(KafkaLogLevel::kInfo, "reachable", "a broker answers again");
  if (options_.on_reachable) options_.on_reachable(true);
}

// Records are no sign of life: they may have been fetched long ago.
void KafkaSource::probe_when_due() {
  if (!watch_.probe_due(Steady::now())) return;
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t error =
      rd_kafka_metadata(client_.get(), 0, nullptr, &metadata, kProbeTimeoutMs);
  if (metadata != nullptr) rd_kafka_metadata_destroy(metadata);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return heard();
  if (watch_.probed(false, Steady::now()) != ConnectionWatch::Verdict::kRefused) return;
  throw WorldError(
      ErrorKind::kDenied,
      without_secrets(fmt::format("kafka: no broker lets us in: {}; look at security.protocol, "
                                  "sasl.* and ssl.* (user, password, certificates and their dates)",
                                  watch_.why()),
                      options_.properties));
}

std::string KafkaSource::describe(const Trouble& trouble) const {
  std::string where = fmt::format("kafka: group {}", group_);
  if (!trouble.topic.empty()) where += fmt::format(", topic {}", trouble.topic);
  if (trouble.partition >= 0) where += fmt::format(" [{}]", trouble.partition);
  if (trouble.offset >= 0) where += fmt::format(" at offset {}", trouble.offset);
  return fmt::format("{}: {} ({})", where, trouble.text, rd_kafka_err2name(to_code(trouble.code)));
}

void KafkaSource::say(KafkaLogLevel level, std::string_view facility, std::string message) const {
  if (!options_.on_log) return;
  const std::string safe = without_secrets(std::move(message), options_.properties);
  options_.on_log({level, facility, safe});
}

void KafkaSource::say_once(KafkaLogLevel level, std::string_view facility, const Trouble& trouble) {
  if (!say_once_.worth_saying(trouble.code, trouble.topic, trouble.partition, Steady::now()))
    return;
  std::string message = describe(trouble);
  if (trouble.code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) message += "; waiting for it";
  say(level, facility, std::move(message));
}

}  // namespace tidemark
