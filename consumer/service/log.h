// Logs by spdlog, one line each on standard error.
#pragma once

#include <string>

namespace tidemark {

// `level`: trace, debug, info, warn or error.
void set_up_log(const std::string& level);

}  // namespace tidemark
