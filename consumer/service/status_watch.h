// `tidemark status --watch`; as commands.h says.
#pragma once

#include <chrono>

#include "consumer/service/config.h"
#include "consumer/service/exit_code.h"

namespace tidemark {

// Shows the group's state until SIGINT or SIGTERM, or until nobody reads it any more: in place on a
// terminal, as blocks with an empty line between them elsewhere. A first look that fails is thrown
// as WorldError.
ExitCode watch_status(const Config& config, std::chrono::seconds interval);

}  // namespace tidemark
