// One decoded change event, and the ways a record can be none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "consumer/core/position.h"
#include "consumer/core/types.h"

namespace tidemark {

// A column's value that the event does not carry: the image is partial (REPLICA IDENTITY not FULL)
// or the value is Debezium's unavailable-value placeholder (unchanged TOAST).
struct Unknown {
  friend bool operator==(Unknown, Unknown) = default;
};
// SQL NULL.
struct Null {
  friend bool operator==(Null, Null) = default;
};

// One column's value, in the form of its declared type: boolean -> bool; integers -> int64_t;
// timestamp -> int64_t microseconds since 1970; date -> int64_t days since 1970; everything else
// -> text, unescaped. A text view lives as long as the decoder's buffers: until its next decode.
using Value = std::variant<Unknown, Null, bool, std::int64_t, std::string_view>;

// A row before or after a change: the declared columns, in declaration order. Empty: no image.
using RowImage = std::vector<Value>;

// What happened to the row. Debezium's letters: c, u, d, r (snapshot), t (truncate).
enum class Op : std::uint8_t { kCreate, kUpdate, kDelete, kRead, kTruncate };

// Debezium's letter for an op; part of what is stored (identities at a mark): never renumber.
constexpr char op_letter(Op op) {
  switch (op) {
    case Op::kCreate:
      return 'c';
    case Op::kUpdate:
      return 'u';
    case Op::kDelete:
      return 'd';
    case Op::kRead:
      return 'r';
    case Op::kTruncate:
      return 't';
  }
  return '?';
}

// One change of one watched table.
struct Change {
  TableIndex table;
  Op op = Op::kRead;
  std::optional<Position> position;    // none: source.sequence is missing or has no LSN
  std::optional<std::uint64_t> tx_id;  // source.txId: 32 bits when streamed, 64 in a snapshot
  std::int64_t source_time_us = 0;     // source commit time, microseconds since 1970; 0 unknown
  bool has_key = true;                 // false: the record's key is null (rule N3)
  RowImage before;                     // empty when the event has none
  RowImage after;                      // empty when the event has none
};

// Why a record is rightly passed over.
enum class SkipReason : std::uint8_t {
  kTombstone,            // null value: the compaction marker behind a delete
  kHeartbeat,            // a heartbeat topic's record
  kLogicalMessage,       // op=m, pg_logical_emit_message
  kTransactionMetadata,  // BEGIN and END records of the transaction topic
  kOtherTable,           // a table that is not watched, on a topic that several tables share
};

// Why a record can't be taken. Stored as text in tidemark.parked (see code_name): never rename.
enum class BadCode : std::uint8_t {
  kTooLarge,           // longer than the limit
  kTooDeep,            // nested deeper than the limit
  kBadJson,            // not JSON, or cut off
  kBadEncoding,        // not UTF-8, or a NUL or lone surrogate in a text that Postgres can't hold
  kNotAnEnvelope,      // JSON, but no Debezium change envelope (unwrapped, say)
  kUnknownOp,          // an op that this version doesn't know
  kMissingSource,      // no source block, or one without schema and table
  kUnknownTable,       // a table that the topic isn't declared for
  kMissingImage,       // an op without the image that it must have
  kMissingColumn,      // a declared column is not in the image
  kDoubledField,       // a field stands twice
  kWrongType,          // a value of another JSON type than the column's
  kOutOfRange,         // an integer beyond the column's type
  kUnknownEnumValue,   // a text that is not among the column's declared values
  kNullNotAllowed,     // null in a column that is declared not null, in a full image
  kUnsupportedFormat,  // a schema registry's binary format (Avro, Protobuf), say
  kRefusedByDatabase,  // decoded well, but Postgres refuses it (class 22), alone in its batch
};

// The stored name of a code, e.g. "bad_json".
std::string_view code_name(BadCode code);
// A skip reason's name in metrics, e.g. "tombstone".
std::string_view skip_name(SkipReason reason);

// A record that can't be taken: which code, and a reason that names the field or byte and says
// what was expected. The reason never holds a value of the record (user data).
struct BadRecord {
  BadCode code;
  std::string reason;
};

// A record as it comes from Kafka. Views live until the source's next poll.
struct Record {
  std::uint32_t slot = 0;  // which assigned partition: an index given by the pipeline
  std::string_view topic;
  Partition partition;
  Offset offset;
  KafkaTimestamp timestamp;
  std::optional<std::string_view> key;    // none: null key
  std::optional<std::string_view> value;  // none: null value (tombstone)
};

}  // namespace tidemark
