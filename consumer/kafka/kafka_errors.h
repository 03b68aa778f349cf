// What each of librdkafka's errors means for us. Included by this folder's .cc files only.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <string>

#include "consumer/core/ports.h"
#include "consumer/kafka/kafka_client.h"

namespace tidemark {

// What to do about an error.
enum class ErrorFate : std::uint8_t {
  kPassing,      // librdkafka goes on by itself: say it once
  kQuiet,        // as kPassing, and not worth a word
  kOutOfRange,   // the offset is not there (or could not be looked up)
  kBrokenBatch,  // librdkafka could not read a batch and would skip it: it must be read again
  kMissing,      // topic or partition is not there (yet)
  kUnreachable,  // no broker answers
  kRefused,      // log-in or TLS failed: an error when it lasts
  kAct,          // a person must act: see error_kind, advice
};

ErrorFate fate_of(rd_kafka_resp_err_t code);

// For fate kAct: which kind of WorldError.
ErrorKind error_kind(rd_kafka_resp_err_t code);

// For fate kAct: what a person should do; empty when there is nothing to add.
std::string_view advice(rd_kafka_resp_err_t code);

// A broker could not be reached, for another reason than a refusal.
bool is_no_connection(rd_kafka_resp_err_t code);

// The error that a polled message is. Its views live as long as the message.
KafkaTrouble trouble_of(const rd_kafka_message_t& message);

// One line that names group, topic, partition and offset, without secrets.
std::string describe_trouble(const KafkaTrouble& trouble, const KafkaProperties& properties);

// For fate kAct: the error to throw.
WorldError error_to_act(rd_kafka_t* client, const KafkaTrouble& trouble,
                        const KafkaProperties& properties);

// For fate kRefused, when it lasts: the error to throw. `why` is the last refusal.
WorldError error_of_refusal(std::string_view why, const KafkaProperties& properties);

// For fate kBrokenBatch, when it lasts: the error to throw.
WorldError error_of_damage(const KafkaTrouble& trouble, const KafkaProperties& properties);

// Asks any broker for a sign of life, for half a second at most.
bool broker_answers(rd_kafka_t* client);

}  // namespace tidemark
