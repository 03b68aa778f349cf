// `tidemark rebuild`; as commands.h says.
#pragma once

#include <string>

#include "consumer/service/commands.h"

namespace tidemark {

struct RebuildCommand {
  std::string into;         // schema for the rebuilt tables; empty: in place
  bool restart = false;     // drops an unfinished one, and empties its tables
  bool incomplete = false;  // also when topics no longer hold their beginning
  bool yes = false;         // in place: do it; without it only says what would be done
};

// Counts from zero by all that the topics hold, without the source tables. Into other tables it
// reads beside the group, goes on where an unfinished one stopped, and leaves the tables. In place
// it zeroes the cells and has the group read everything again: only where [recount] is not enabled.
ExitCode rebuild_command(const CommonOptions& common, const RebuildCommand& command);

}  // namespace tidemark
