// KafkaSource when something is wrong: what is said, what is mended, what is thrown.
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <utility>

#include "consumer/core/check.h"
#include "consumer/kafka/kafka_errors.h"
#include "consumer/kafka/kafka_source.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Each partition of a vanished topic is an error of its own; together they are one event.
constexpr milliseconds kVerifyAfter{500};

rd_kafka_resp_err_t to_code(int code) { return static_cast<rd_kafka_resp_err_t>(code); }

}  // namespace

SourceEvent KafkaSource::take_trouble(const KafkaTrouble& trouble) {
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

SourceEvent KafkaSource::take_out_of_range(const KafkaTrouble& trouble) {
  const std::int32_t slot = slots_.find(trouble.topic, trouble.partition);
  if (slot == Slots::kNone) return Idle{};
  const auto index = static_cast<std::size_t>(slot);
  const std::int64_t next = slots_.next(index);
  // Two cases are no loss, but stop the partition: the earliest offset could not be asked for, or
  // was purged between the answer and the fetch.
  if (trouble.offset < 0 || next == Slots::kNothing) {
    say_once(KafkaLogLevel::kWarning, "position", trouble);
    rereads_.later(Steady::now());
    return Idle{};
  }
  return OutOfRange{slots_.where(index)};
}

// librdkafka goes on behind a batch that it could not read. What is behind it is not delivered: we
// go back to where we were.
void KafkaSource::take_broken_batch(const KafkaTrouble& trouble) {
  const std::int32_t slot = slots_.find(trouble.topic, trouble.partition);
  if (slot == Slots::kNone) {
    say_once(KafkaLogLevel::kWarning, "passing", trouble);
    return;
  }
  if (!rereads_.damaged(slot, slots_.next(static_cast<std::size_t>(slot)))) {
    throw error_of_damage(trouble, options_.properties);
  }
  say(KafkaLogLevel::kWarning, "broken_batch",
      describe_trouble(trouble, options_.properties) + "; reading it again");
  reread();
}

void KafkaSource::reread() {
  rereads_.cancel();
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
  const KafkaTrouble trouble{code, text.substr(0, text.find(' ')), -1, -1, text};
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
      failure_ = error_to_act(client_.get(), {code, {}, -1, -1, text}, options_.properties);
      return;
    case ErrorFate::kMissing:
      if (reading_ && !verify_at_) verify_at_ = now + kVerifyAfter;
      break;
    case ErrorFate::kQuiet:
    case ErrorFate::kOutOfRange:
    case ErrorFate::kBrokenBatch:
    case ErrorFate::kPassing:
      if (is_no_connection(to_code(code))) watch_.unreachable();
      break;
  }
  if (say_once_.worth_saying(code, trouble.topic, -1, now)) {
    say(KafkaLogLevel::kWarning, "broker", std::string(text));
  }
}

void KafkaSource::throw_to_act(const KafkaTrouble& trouble) {
  throw error_to_act(client_.get(), trouble, options_.properties);
}

void KafkaSource::heard() {
  sign_of_life_wanted_ = false;
  rereads_.heard();
  if (!watch_.heard()) return;
  say(KafkaLogLevel::kInfo, "reachable", "a broker answers again");
  if (options_.on_reachable) options_.on_reachable(true);
}

// Records are no sign of life: they may have been fetched long ago.
void KafkaSource::probe_when_due() {
  if (!watch_.probe_due(Steady::now())) return;
  if (broker_answers(client_.get())) return heard();
  if (watch_.probed(false, Steady::now()) != ConnectionWatch::Verdict::kRefused) return;
  throw error_of_refusal(watch_.why(), options_.properties);
}

void KafkaSource::say(KafkaLogLevel level, std::string_view facility, std::string message) const {
  if (!options_.on_log) return;
  const std::string safe = without_secrets(std::move(message), options_.properties);
  options_.on_log({level, facility, safe});
}

void KafkaSource::say_once(KafkaLogLevel level, std::string_view facility,
                           const KafkaTrouble& trouble) {
  if (!say_once_.worth_saying(trouble.code, trouble.topic, trouble.partition, Steady::now()))
    return;
  std::string message = describe_trouble(trouble, options_.properties);
  if (trouble.code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) message += "; waiting for it";
  say(level, facility, std::move(message));
}

}  // namespace tidemark
