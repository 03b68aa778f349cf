// What each of librdkafka's errors means for us. Included by this folder's .cc files only.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <string>

#include "consumer/core/ports.h"

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

}  // namespace tidemark
