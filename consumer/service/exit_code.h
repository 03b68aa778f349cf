// Exit codes by sysexits.h, so that scripts and supervisors can tell failures apart.
#pragma once

#include "consumer/core/ports.h"

namespace tidemark {

enum class ExitCode : int {
  kOk = 0,
  kFound = 1,         // `verify` found cells that are wrong, `doctor` what must be mended
  kUsage = 64,        // EX_USAGE: the command line
  kData = 65,         // EX_DATAERR: what was asked for isn't there, or can't be used
  kUnreachable = 69,  // EX_UNAVAILABLE: Kafka or Postgres can't be reached
  kBug = 70,          // EX_SOFTWARE
  kTryAgain = 75,     // EX_TEMPFAIL: a lock, a deadlock, a database that restarts
  kDenied = 77,       // EX_NOPERM: password, role or privilege
  kConfig = 78,       // EX_CONFIG: configuration, declarations, or a database they don't fit
};

// What a failure of the world exits with.
ExitCode exit_code(const WorldError& error);

}  // namespace tidemark
