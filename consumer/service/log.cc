#include "consumer/service/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string_view>

namespace tidemark {
namespace {

using nlohmann::ordered_json;

enum class LogFormat : std::uint8_t { kLogfmt, kJson };

// In UTC, to the millisecond.
std::string time_text(spdlog::log_clock::time_point time) {
  using std::chrono::milliseconds;
  const auto since = std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = since / 1'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     since % 1'000);
}

std::string_view view(spdlog::string_view_t text) { return {text.data(), text.size()}; }

std::string dumped(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

class LineFormatter : public spdlog::formatter {
 public:
  explicit LineFormatter(LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string time = time_text(message.time);
    const std::string_view level = view(spdlog::level::to_string_view(message.level));
    const std::string_view text = view(message.payload);
    const std::string line = format_ == LogFormat::kJson
                                 ? dumped({{"ts", time}, {"level", level}, {"msg", text}})
                                 : fmt::format("ts={} level={} msg={}", time, level, dumped(text));
    out.append(line.data(), line.data() + line.size());
    out.push_back('\n');
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

 private:
  LogFormat format_;
};

}  // namespace

std::unique_ptr<spdlog::formatter> json_formatter() {
  return std::make_unique<LineFormatter>(LogFormat::kJson);
}

std::unique_ptr<spdlog::formatter> logfmt_formatter() {
  return std::make_unique<LineFormatter>(LogFormat::kLogfmt);
}

void set_up_log(const std::string& level, const std::string& format) {
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const bool json = format == "json" || (format != "logfmt" && !terminal);
  auto logger = spdlog::stderr_logger_mt("tidemark");
  logger->set_formatter(json ? json_formatter() : logfmt_formatter());
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace tidemark
