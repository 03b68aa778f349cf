#include "tests/support/envelope.h"

#include <nlohmann/json.hpp>

namespace tidemark::testing {
namespace {

// Any moment does; those of one event lie close together.
constexpr std::int64_t kEventTimeMs = 1'767'225'600'000;

nlohmann::ordered_json sequence_of(const EventSource& source) {
  nlohmann::ordered_json pair = nlohmann::ordered_json::array();
  pair.push_back(nullptr);
  if (source.last_commit) pair[0] = std::to_string(*source.last_commit);
  pair.push_back(std::to_string(source.lsn));
  return pair;
}

}  // namespace

std::string envelope(const EventSource& source, char op, const nlohmann::json& before,
                     const nlohmann::json& after) {
  nlohmann::ordered_json event;
  event["before"] = before;
  event["after"] = after;
  event["source"] = {{"version", "3.7.0.Final"},
                     {"connector", "postgresql"},
                     {"name", "app"},
                     {"ts_ms", kEventTimeMs},
                     {"snapshot", source.snapshot ? "true" : "false"},
                     {"db", "app"},
                     {"sequence", sequence_of(source).dump()},
                     {"ts_us", kEventTimeMs * 1000},
                     {"ts_ns", kEventTimeMs * 1'000'000},
                     {"schema", source.schema},
                     {"table", source.table},
                     {"txId", source.tx_id},
                     {"lsn", source.lsn},
                     {"xmin", nullptr},
                     {"origin", nullptr},
                     {"origin_lsn", nullptr}};
  event["transaction"] = nullptr;
  event["op"] = std::string(1, op);
  event["ts_ms"] = kEventTimeMs + 5;
  event["ts_us"] = (kEventTimeMs + 5) * 1000;
  event["ts_ns"] = (kEventTimeMs + 5) * 1'000'000;
  return event.dump();
}

}  // namespace tidemark::testing
