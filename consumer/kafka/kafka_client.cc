#include "consumer/kafka/kafka_client.h"

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <thread>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/kafka/kafka_conf.h"
#include "consumer/kafka/kafka_errors.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;

// How long a client's end waits for librdkafka's threads.
constexpr std::chrono::milliseconds kDestroyPatience{1'000};
// What librdkafka has to say between two calls; more than that waits for the next one.
constexpr int kServedMax = 1'000;

}  // namespace

// librdkafka's destroy has no bound: it waits for requests that no broker answers, and 2.0.2 waits
// for ever when a topic was deleted and made anew (seen). So it runs on a thread that may be left
// to the process's end. Nothing of ours is called from there: events and messages are only queued.
void DestroyKafkaClient::operator()(rd_kafka_s* client) const noexcept {
  // Shared, as either side may be the last.
  const auto done = std::make_shared<std::promise<void>>();
  const std::future<void> ended = done->get_future();
  std::thread([client, done] {
    rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    done->set_value();
  }).detach();
  ended.wait_for(kDestroyPatience);
}

void DestroyKafkaMessage::operator()(rd_kafka_message_s* message) const noexcept {
  rd_kafka_message_destroy(message);
}

// All are called by librdkafka inside our own calls, on our thread.
struct LoneKafkaClient::Callbacks {
  static void error(rd_kafka_t*, int code, const char* text, void* opaque) {
    static_cast<LoneKafkaClient*>(opaque)->take_error(code, text == nullptr ? "" : text);
  }

  static void log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
    const std::string_view word(facility);
    if (is_told_as_error(word)) return;
    static_cast<LoneKafkaClient*>(rd_kafka_opaque(client))->say(level_of_syslog(level), word, text);
  }
};

LoneKafkaClient::LoneKafkaClient(KafkaOptions options, LoneUse use)
    : options_(std::move(options)), watch_(options_.auth_patience) {
  throw_when_unusable(validate_kafka_properties(options_.properties));
  KafkaConf conf = make_conf(options_.properties);
  const bool reads = use == LoneUse::kRead;
  TIDEMARK_CHECK(rd_kafka_conf_set(conf.get(), reads ? "enable.partition.eof" : "isolation.level",
                                   reads ? "true" : "read_uncommitted", nullptr,
                                   0) == RD_KAFKA_CONF_OK);
  rd_kafka_conf_set_opaque(conf.get(), this);
  rd_kafka_conf_set_error_cb(conf.get(), &Callbacks::error);
  rd_kafka_conf_set_log_cb(conf.get(), &Callbacks::log);
  waker_ = FetchWaker(conf_number(conf.get(), "queued.max.messages.kbytes"));
  client_ = make_client(std::move(conf), options_.properties);
}

// From a callback: nothing is thrown here.
void LoneKafkaClient::take_error(int code, std::string_view text) {
  const auto error = static_cast<rd_kafka_resp_err_t>(code);
  const Steady::time_point now = Steady::now();
  const ErrorFate fate = fate_of(error);
  if (fate == ErrorFate::kAct) {
    failure_ = error_to_act(client_.get(), {code, {}, -1, -1, text}, options_.properties);
    return;
  }
  if (fate == ErrorFate::kMissing) missing_ = text;
  if (fate == ErrorFate::kRefused) watch_.refused(std::string(text), now);
  if (is_no_connection(error)) watch_.unreachable();
  // librdkafka begins with the broker: "sasl_ssl://host:9092/1: ...".
  if (say_once_.worth_saying(code, text.substr(0, text.find(' ')), -1, now)) {
    say(KafkaLogLevel::kWarning, "broker", std::string(text));
  }
}

void LoneKafkaClient::check() {
  if (failure_) throw *failure_;
  if (!watch_.probe_due(Steady::now())) return;
  if (broker_answers(client_.get())) return heard();
  if (watch_.probed(false, Steady::now()) == ConnectionWatch::Verdict::kRefused) {
    throw error_of_refusal(watch_.why(), options_.properties);
  }
}

void LoneKafkaClient::fail(const KafkaTrouble& trouble) {
  const auto code = static_cast<rd_kafka_resp_err_t>(trouble.code);
  if (fate_of(code) == ErrorFate::kAct) {
    throw error_to_act(client_.get(), trouble, options_.properties);
  }
  check();
  throw WorldError(ErrorKind::kRetry, describe_trouble(trouble, options_.properties));
}

void LoneKafkaClient::serve() {
  for (int i = 0; i < kServedMax; ++i) {
    // Callbacks are called inside; a message is only an error that they tell as well.
    if (!KafkaMessage(rd_kafka_consumer_poll(client_.get(), 0))) return;
  }
}

void LoneKafkaClient::say_once(std::string_view facility, const KafkaTrouble& trouble) {
  if (!say_once_.worth_saying(trouble.code, trouble.topic, trouble.partition, Steady::now())) {
    return;
  }
  say(KafkaLogLevel::kWarning, facility, describe_trouble(trouble, options_.properties));
}

void LoneKafkaClient::say(KafkaLogLevel level, std::string_view facility,
                          std::string message) const {
  if (!options_.on_log) return;
  const std::string safe = without_secrets(std::move(message), options_.properties);
  options_.on_log({level, facility, safe});
}

}  // namespace tidemark
