// Logs by spdlog, one line each on standard error.
#pragma once

#include <spdlog/formatter.h>

#include <memory>
#include <string>

namespace tidemark {

// `level`: trace, debug, info, warn or error. `format`: logfmt, json, or auto: logfmt on a
// terminal, json otherwise.
void set_up_log(const std::string& level, const std::string& format);

// {"ts":"2026-11-21T16:00:00.000Z","level":"info","msg":"..."}: whatever the text holds, one line
// of valid JSON in UTF-8; a byte that is none becomes U+FFFD.
std::unique_ptr<spdlog::formatter> json_formatter();
// ts=2026-11-21T16:00:00.000Z level=info msg="...", the text escaped in the same way.
std::unique_ptr<spdlog::formatter> logfmt_formatter();

}  // namespace tidemark
