#include "consumer/kafka/kafka_errors.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "consumer/kafka/kafka_conf.h"
#include "consumer/kafka/rereads.h"

namespace tidemark {
namespace {

// One answer from any broker, over a slow line.
constexpr int kProbeTimeoutMs = 500;
constexpr std::size_t kErrorTextBytes = 512;

}  // namespace

// librdkafka has some 180 codes, and every one that is not named here passes by itself or is never
// seen by a consumer: hence the default, which the style else forbids.
ErrorFate fate_of(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
      return ErrorFate::kQuiet;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      return ErrorFate::kOutOfRange;
    // The three that the message set reader raises, after which it skips what it could not read.
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
      return ErrorFate::kBrokenBatch;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return ErrorFate::kMissing;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
      return ErrorFate::kUnreachable;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
      return ErrorFate::kRefused;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
      return ErrorFate::kAct;
    default:
      return ErrorFate::kPassing;
  }
}

ErrorKind error_kind(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      return ErrorKind::kDenied;
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
      return ErrorKind::kConfig;
    default:
      return ErrorKind::kFatal;
  }
}

std::string_view advice(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      return "allow the user Read and Describe on the topic";
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      return "allow the user Read on the group";
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      return "allow the user on the cluster";
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
      return "choose another group.id";
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
      return "all members of the group must share a partition.assignment.strategy; is group.id "
             "another program's?";
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
      return "session.timeout.ms must lie between the broker's group.min.session.timeout.ms and "
             "group.max.session.timeout.ms";
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
      return "the broker doesn't take this as a topic's name";
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
      return "another process runs with the same group.instance.id";
    default:
      return {};
  }
}

bool is_no_connection(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__RESOLVE;
}

KafkaTrouble trouble_of(const rd_kafka_message_t& message) {
  const auto* text = static_cast<const char*>(message.payload);
  return {message.err, message.rkt == nullptr ? "" : rd_kafka_topic_name(message.rkt),
          message.partition, message.offset, text == nullptr ? "" : text};
}

std::string describe_trouble(const KafkaTrouble& trouble, const KafkaProperties& properties) {
  std::string where = fmt::format("kafka: group {}", kafka_property(properties, "group.id"));
  if (!trouble.topic.empty()) where += fmt::format(", topic {}", trouble.topic);
  if (trouble.partition >= 0) where += fmt::format(" [{}]", trouble.partition);
  if (trouble.offset >= 0) where += fmt::format(" at offset {}", trouble.offset);
  const auto code = static_cast<rd_kafka_resp_err_t>(trouble.code);
  return without_secrets(fmt::format("{}: {} ({})", where, trouble.text, rd_kafka_err2name(code)),
                         properties);
}

WorldError error_to_act(rd_kafka_t* client, const KafkaTrouble& trouble,
                        const KafkaProperties& properties) {
  auto code = static_cast<rd_kafka_resp_err_t>(trouble.code);
  std::string message = describe_trouble(trouble, properties);
  std::array<char, kErrorTextBytes> text{};
  if (code == RD_KAFKA_RESP_ERR__FATAL) {
    code = rd_kafka_fatal_error(client, text.data(), text.size());
    message += fmt::format(": {}", text.data());
  }
  if (!advice(code).empty()) message += fmt::format("; {}", advice(code));
  return {error_kind(code), without_secrets(std::move(message), properties)};
}

namespace {

// Before 2.6.1 librdkafka sends its nonce twice, which Kafka from 4.0 on refuses as a wrong
// password: https://github.com/confluentinc/librdkafka/pull/4895
constexpr int kScramMended = 0x020601ff;

std::string scram_advice(const KafkaProperties& properties) {
  const std::string mechanism =
      kafka_property(properties, "sasl.mechanism") + kafka_property(properties, "sasl.mechanisms");
  if (rd_kafka_version() >= kScramMended || !mechanism.starts_with("SCRAM")) return {};
  return fmt::format(
      "; librdkafka {} can't log in by SCRAM to Kafka 4.0 or newer: use 2.6.1, or "
      "PLAIN over TLS, OAUTHBEARER or a client certificate",
      rd_kafka_version_str());
}

}  // namespace

WorldError error_of_refusal(std::string_view why, const KafkaProperties& properties) {
  return {
      ErrorKind::kDenied,
      without_secrets(fmt::format("kafka: no broker lets us in: {}; look at security.protocol, "
                                  "sasl.* and ssl.* (user, password, certificates and their dates)"
                                  "{}",
                                  why, scram_advice(properties)),
                      properties)};
}

WorldError error_of_damage(const KafkaTrouble& trouble, const KafkaProperties& properties) {
  return {ErrorKind::kFatal,
          fmt::format("{}; {} times in a row: the batch is damaged where it is stored, or of an "
                      "unknown format",
                      describe_trouble(trouble, properties), Rereads::kDamagedMax)};
}

bool broker_answers(rd_kafka_t* client) {
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t error =
      rd_kafka_metadata(client, 0, nullptr, &metadata, kProbeTimeoutMs);
  if (metadata != nullptr) rd_kafka_metadata_destroy(metadata);
  return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

}  // namespace tidemark
