// Checks of a record's bytes around and before JSON. Internal to the decoder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "consumer/core/position.h"

namespace tidemark {

// The JSON in a record's value: without a schema registry's five-byte prefix (a zero byte and a
// schema id). None: the prefix stands before something else than a JSON object (Avro, Protobuf).
std::optional<std::string_view> json_in(std::string_view value);

// True when the first byte that is no white space does not open an object.
bool is_other_json(std::string_view json);

// True when the JSON `text` opens more than `depth_max` brackets within each other. Brackets in
// strings don't count. Takes any bytes.
bool deeper_than(std::string_view text, std::size_t depth_max);

// Whether `source.sequence` could be read.
enum class SequenceForm {
  kRead,    // `position` is set, or none where the sequence has no LSN
  kOther,   // not the form that Debezium writes; it may be written with other white space
  kTooBig,  // a number beyond 64 bits
};

// The position in the raw JSON string of `source.sequence`, in the one form that Debezium writes:
// ["27013384","27013400"] or [null,"27013384"], with the inner quotes escaped.
SequenceForm sequence_of(std::string_view raw, std::optional<Position>& position);

}  // namespace tidemark
