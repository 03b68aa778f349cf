// Bytes of a Kafka record to a Change, or the reason why it is none. Pure and total: any bytes give
// an answer, none crashes it.
//
// Reads Debezium's JSON envelope as JsonConverter writes it, with and without schemas (told apart
// per record), with or without a schema registry's five-byte prefix before JSON; fields in any
// order. Values that nobody reads (undeclared columns, most of `source`) are checked no further
// than that strings end, the text is UTF-8 and brackets balance.
//
// Timestamps: ISO text says what it is, and so does the name in a record's schema. An integer
// without a schema is taken in the declared unit (Column::timestamp_in_millis), so without schemas
// the connector must run with time.precision.mode adaptive, microseconds or isostring; under
// connect, declare every timestamp in milliseconds; nanoseconds needs schemas. The format:
// https://debezium.io/documentation/reference/stable/connectors/postgresql.html
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "consumer/core/change.h"
#include "consumer/core/declaration.h"

namespace tidemark {

struct DecodeLimits {
  // A record that is longer is parked: one record must not take the memory budget.
  std::size_t message_bytes_max = 16 * 1024 * 1024;
  // JSON nested deeper is parked: nothing that Debezium sends comes near.
  std::size_t depth_max = 64;
};

// The watched tables whose events a topic may carry.
struct TopicTables {
  std::vector<TableIndex> tables;  // one, but where several tables are routed into one topic
  bool heartbeat = false;          // a heartbeat topic: every record is skipped as such
};

// The decoder took the record: `change` is filled.
struct Decoded {
  friend bool operator==(Decoded, Decoded) = default;
};

using DecodeResult = std::variant<Decoded, SkipReason, BadRecord>;

// One per thread: keeps its parser and buffers between records.
class Decoder {
 public:
  Decoder(const Declaration& declaration, DecodeLimits limits);
  ~Decoder();
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;

  // Decodes one record of a topic that may carry `tables` into `change`, which is reused so that
  // its buffers are. Text values point into the decoder and live until the next call.
  //
  // The table is the event's own (source.schema, source.table) when it is among `tables`; when the
  // topic carries one table only, an event of another table is that table's too: a partition that
  // a snapshot named. Only with several is it skipped as kOtherTable.
  //
  // A declared column's value is Unknown when it is the unavailable-value placeholder. A `before`
  // in which a column that can't be null is null, or in which all columns beside the primary key
  // are null or their type's zero, is partial (REPLICA IDENTITY DEFAULT): then all of its columns
  // but those of the primary key are Unknown. So they are, too, when the table is declared with
  // replica_full == false. The absent before of an update or a delete is empty.
  DecodeResult decode(const Record& record, const TopicTables& tables, Change& change);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
