// What every subcommand begins with. Both print what is wrong, by file, line and column, on
// standard error and throw WorldError(kConfig).
#pragma once

#include "consumer/core/declaration.h"
#include "consumer/service/commands.h"
#include "consumer/service/config.h"

namespace tidemark {

// Also sets up the log, at the command line's level or the configuration's.
Config read_config(const CommonOptions& common);
Declaration read_declaration(const Config& config);

}  // namespace tidemark
