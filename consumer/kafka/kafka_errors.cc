#include "consumer/kafka/kafka_errors.h"

namespace tidemark {

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

}  // namespace tidemark
