// `tidemark config show` and `config schema`; as commands.h says.
#pragma once

#include "consumer/service/commands.h"

namespace tidemark {

// What counts, and where each value comes from; no secret.
ExitCode config_show_command(const CommonOptions& common);
// For editors; reads no file.
ExitCode config_schema_command();

}  // namespace tidemark
