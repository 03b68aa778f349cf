#include "consumer/core/change.h"

#include "consumer/core/check.h"

namespace tidemark {

std::string_view code_name(BadCode code) {
  switch (code) {
    case BadCode::kTooLarge:
      return "too_large";
    case BadCode::kTooDeep:
      return "too_deep";
    case BadCode::kBadJson:
      return "bad_json";
    case BadCode::kBadEncoding:
      return "bad_encoding";
    case BadCode::kNotAnEnvelope:
      return "not_an_envelope";
    case BadCode::kUnknownOp:
      return "unknown_op";
    case BadCode::kMissingSource:
      return "missing_source";
    case BadCode::kUnknownTable:
      return "unknown_table";
    case BadCode::kMissingImage:
      return "missing_image";
    case BadCode::kMissingColumn:
      return "missing_column";
    case BadCode::kDoubledField:
      return "doubled_field";
    case BadCode::kWrongType:
      return "wrong_type";
    case BadCode::kOutOfRange:
      return "out_of_range";
    case BadCode::kUnknownEnumValue:
      return "unknown_enum_value";
    case BadCode::kNullNotAllowed:
      return "null_not_allowed";
    case BadCode::kUnsupportedFormat:
      return "unsupported_format";
    case BadCode::kRefusedByDatabase:
      return "refused_by_database";
  }
  TIDEMARK_CHECK(false && "code is one of BadCode");
}

std::string_view skip_name(SkipReason reason) {
  switch (reason) {
    case SkipReason::kTombstone:
      return "tombstone";
    case SkipReason::kHeartbeat:
      return "heartbeat";
    case SkipReason::kLogicalMessage:
      return "logical_message";
    case SkipReason::kTransactionMetadata:
      return "transaction_metadata";
    case SkipReason::kOtherTable:
      return "other_table";
  }
  TIDEMARK_CHECK(false && "reason is one of SkipReason");
}

}  // namespace tidemark
