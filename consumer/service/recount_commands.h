// The subcommands about recounts; as commands.h says.
#pragma once

#include <string>
#include <vector>

#include "consumer/service/commands.h"

namespace tidemark {

struct RecountCommand {
  std::vector<std::string> aggregates;  // schema.table; none with `full`
  std::vector<std::string> keys;        // of the one aggregate; empty: all of it
  bool full = false;                    // all aggregates
};

struct DriftListCommand {
  std::size_t limit = 100;
  bool json = false;
};

// Recounts beside the running members, or by itself when none runs, and waits until it is done.
ExitCode recount_command(const CommonOptions& common, const RecountCommand& command);
ExitCode drift_list_command(const CommonOptions& common, const DriftListCommand& command);

}  // namespace tidemark
