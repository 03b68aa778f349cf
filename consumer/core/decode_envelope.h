// The envelope of a record: its fields, and what they make of the record. Internal to the decoder;
// knows no JSON library.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/change.h"
#include "consumer/core/decode.h"
#include "consumer/core/decode_plan.h"

namespace tidemark {

// The fields of an envelope, of what is around it (schema, payload), and of the transaction topic's
// records. Those before kPassedOver are read, the others only known.
enum class Field : std::uint8_t {
  kBefore,
  kAfter,
  kSource,
  kOp,
  kStatus,
  kSchema,
  kPayload,
  kPassedOver,
  kTransaction = kPassedOver,
  kTsMs,
  kTsUs,
  kTsNs,
  kId,
  kEventCount,
  kDataCollections,
};
inline constexpr std::array<std::string_view, 14> kFieldNames = {
    "before",      "after", "source", "op",    "status", "schema",      "payload",
    "transaction", "ts_ms", "ts_us",  "ts_ns", "id",     "event_count", "data_collections"};

// The fields of the source block that are read.
enum class SourceField : std::uint8_t { kSchema, kTable, kSequence, kTxId, kTsUs, kTsMs };
inline constexpr std::array<std::string_view, 6> kSourceNames = {"schema", "table", "sequence",
                                                                 "txId",   "ts_us", "ts_ms"};

template <class Names>
std::vector<std::string> to_names(const Names& names) {
  return {names.begin(), names.end()};
}

constexpr std::uint32_t bit(Field field) { return std::uint32_t{1} << static_cast<int>(field); }
constexpr std::uint32_t bit(SourceField field) {
  return std::uint32_t{1} << static_cast<int>(field);
}
constexpr std::string_view name_of(Field field) {
  return kFieldNames[static_cast<std::size_t>(field)];
}
constexpr std::string_view name_of(SourceField field) {
  return kSourceNames[static_cast<std::size_t>(field)];
}

// What is known of a record beside what is in its Change.
struct Envelope {
  std::uint32_t fields = 0;         // bit(Field) of those that are there
  std::uint32_t source_fields = 0;  // bit(SourceField) of those that are there and not null
  bool other_fields = false;        // a field that is not in kFieldNames is there
  bool null_payload = false;
  bool is_boundary = false;  // `status` is BEGIN or END
  char op = 0;               // Debezium's letter; 0: none; '?': unknown
  std::string_view schema_name;
  std::string_view table_name;

  bool has(Field field) const { return (fields & bit(field)) != 0; }
};

// The letter for `op`, as Envelope::op.
char known_op(std::string_view text);

// What the record is, once it was read. `plan`: the table that it is taken for, or null; `topic`:
// those that it might be of. Sets the change's table and op, and clears the images that an event of
// its op does not have.
DecodeResult judge(const Envelope& envelope, const TablePlan* plan, const TopicTables& topic,
                   Change& change);

}  // namespace tidemark
