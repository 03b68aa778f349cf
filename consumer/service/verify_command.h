// `tidemark verify`; as commands.h says.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "consumer/service/commands.h"

namespace tidemark {

struct VerifyCommand {
  std::vector<std::string> aggregates;  // schema.table; none: all
  bool json = false;
  // How long to wait for Debezium to have sent what the database held. Connect confirms each minute
  // by default (offset.flush.interval.ms), and only what has come before.
  std::chrono::seconds patience{180};
};

// Recounts every cell without writing anything, beside the running members and the writers, and
// takes the lag out by reading what is still on its way. kOk: all that isn't suspect is right;
// kFound: something is wrong; kTryAgain: whole counters wait for their recount, or a stop came.
ExitCode verify_command(const CommonOptions& common, const VerifyCommand& command);

}  // namespace tidemark
