// Debezium's change events, made for tests: the fields that it writes, in its order.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace tidemark::testing {

struct EventSource {
  std::string schema = "public";
  std::string table;
  std::optional<std::uint64_t> last_commit;  // none: null
  std::uint64_t lsn = 0;
  std::uint64_t tx_id = 1000;
  bool snapshot = false;
};

// The value of a change event as JsonConverter writes it without schemas. `before` and `after` are
// objects, or null.
std::string envelope(const EventSource& source, char op, const nlohmann::json& before,
                     const nlohmann::json& after);

}  // namespace tidemark::testing
