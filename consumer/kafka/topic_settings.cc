#include "consumer/kafka/topic_settings.h"

#include <array>
#include <charconv>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "consumer/core/check.h"
#include "consumer/kafka/kafka_client.h"
#include "consumer/kafka/kafka_errors.h"
#include "consumer/kafka/kafka_handles.h"

namespace tidemark {
namespace {

using Resource =
    std::unique_ptr<rd_kafka_ConfigResource_t, KafkaDeleter<rd_kafka_ConfigResource_destroy>>;
using AdminOptions =
    std::unique_ptr<rd_kafka_AdminOptions_t, KafkaDeleter<rd_kafka_AdminOptions_destroy>>;

constexpr std::string_view kText = "can't ask for the topics' configuration";
// Over the request's own timeout, which comes as an answer.
constexpr int kGraceMs = 1'000;

std::int64_t number_of(std::string_view text) {
  std::int64_t number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

TopicSettings settings_of(const rd_kafka_ConfigResource_t& topic) {
  TopicSettings settings;
  std::size_t count = 0;
  const rd_kafka_ConfigEntry_t** entries = rd_kafka_ConfigResource_configs(&topic, &count);
  for (const rd_kafka_ConfigEntry_t* entry : std::span(entries, count)) {
    const std::string_view name = rd_kafka_ConfigEntry_name(entry);
    const char* text = rd_kafka_ConfigEntry_value(entry);  // null: a secret
    const std::string_view value = text == nullptr ? "" : text;
    if (name == "cleanup.policy") settings.cleanup_policy = value;
    if (name == "retention.ms") settings.retention_ms = number_of(value);
    if (name == "retention.bytes") settings.retention_bytes = number_of(value);
  }
  return settings;
}

AdminOptions admin_options(rd_kafka_t* client, int timeout_ms) {
  AdminOptions options(rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS));
  std::array<char, 256> text{};
  TIDEMARK_CHECK(rd_kafka_AdminOptions_set_request_timeout(options.get(), timeout_ms, text.data(),
                                                           text.size()) ==
                 RD_KAFKA_RESP_ERR_NO_ERROR);
  return options;
}

// The answer to one request for all topics, on this queue; null: there was none at all.
KafkaEvent describe(rd_kafka_t* client, std::span<const std::string> topics, int timeout_ms,
                    const KafkaQueue& queue) {
  std::vector<Resource> owned;
  std::vector<rd_kafka_ConfigResource_t*> asked;
  for (const std::string& topic : topics) {
    owned.emplace_back(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
    asked.push_back(owned.back().get());
  }
  const AdminOptions options = admin_options(client, timeout_ms);
  rd_kafka_DescribeConfigs(client, asked.data(), asked.size(), options.get(), queue.get());
  return KafkaEvent(rd_kafka_queue_poll(queue.get(), timeout_ms + kGraceMs));
}

}  // namespace

TopicSettingsMap read_topic_settings(KafkaOptions options, std::chrono::milliseconds timeout) {
  if (options.topics.empty()) return {};
  LoneKafkaClient client(std::move(options), LoneUse::kAsk);
  const KafkaQueue queue(rd_kafka_queue_new(client.get()));
  const KafkaEvent event =
      describe(client.get(), client.options().topics, to_timeout_ms(timeout), queue);
  client.serve();
  if (!event) client.fail({RD_KAFKA_RESP_ERR__TIMED_OUT, {}, -1, -1, kText});
  if (const auto error = rd_kafka_event_error(event.get()); error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    client.fail({error, {}, -1, -1, kText});
  }
  std::size_t count = 0;
  const rd_kafka_ConfigResource_t** found = rd_kafka_DescribeConfigs_result_resources(
      rd_kafka_event_DescribeConfigs_result(event.get()), &count);
  TopicSettingsMap map;
  for (const rd_kafka_ConfigResource_t* topic : std::span(found, count)) {
    const std::string name = rd_kafka_ConfigResource_name(topic);
    const rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(topic);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      map[name] = settings_of(*topic);
    } else if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
               error == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED) {
      map[name] = std::nullopt;
    } else if (fate_of(error) != ErrorFate::kMissing) {
      client.fail({error, name, -1, -1, kText});
    }
  }
  return map;
}

}  // namespace tidemark
