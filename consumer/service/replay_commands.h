// `tidemark replay`; as commands.h says.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "consumer/service/commands.h"

namespace tidemark {

// What the topics still hold.
struct FromBeginning {
  friend bool operator==(FromBeginning, FromBeginning) = default;
};
// An offset is meant in each partition; a time is that of Kafka's records.
using ReplayFrom = std::variant<FromBeginning, Offset, KafkaTimestamp>;

// "beginning", an offset, or a time like 2026-11-21T16:00:00Z (UTC without a zone). None: neither.
std::optional<ReplayFrom> parse_replay_from(std::string_view text);

struct ReplayCommand {
  std::vector<std::string> topics;  // none: all that are read
  std::string from;      // for parse_replay_from; also what an unfinished one is known by
  bool restart = false;  // drops an unfinished one instead of going on with it
};

// Reads the topics again beside the group: what the changes name becomes suspect, and the running
// members recount it. Goes on where an unfinished replay stopped.
ExitCode replay_command(const CommonOptions& common, const ReplayCommand& command);

}  // namespace tidemark
