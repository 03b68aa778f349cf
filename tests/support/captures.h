// Records that a real Debezium wrote, from shared/captures beside the repository.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/change.h"

namespace tidemark::testing {

// A captured record, with its own storage.
struct CapturedRecord {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;

  // The table's name in the topic <prefix>.<schema>.<table>; empty for other topics.
  std::string_view table() const;
  // Views into this, which must stay where it is.
  Record record(std::uint32_t slot = 0) const;
};

// Reads a file such as "b-schemas-false.jsonl" or "e4-kill.jsonl.gz", in the file's order. Throws
// std::runtime_error with the path when it can't be read.
std::vector<CapturedRecord> read_capture(std::string_view file);

}  // namespace tidemark::testing
