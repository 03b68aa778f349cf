// The subcommand that has users' challenges derived again; as commands.h says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "consumer/service/commands.h"

namespace tidemark {

struct DeriveCommand {
  std::vector<std::string> rules;
  // One of these: rows above a block, these users, or all that the rules concern.
  std::optional<std::int64_t> since_block;
  std::vector<std::int64_t> users;
  bool all = false;
};

// Only marks: the running members derive. With `since_block` the checkpoints of the rules come down
// to it when they are higher, so that later changes of these rows mark users, too (rule C5).
ExitCode derive_command(const CommonOptions& common, const DeriveCommand& command);

}  // namespace tidemark
