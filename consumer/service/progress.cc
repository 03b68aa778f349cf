#include "consumer/service/progress.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds kSayOnTerminal{500};
constexpr milliseconds kSayInLog{5'000};

}  // namespace

Progress::Progress() : terminal_(isatty(STDERR_FILENO) != 0) {}

void Progress::say(const std::string& text) {
  const auto now = Steady::now();
  if (now < next_) return;
  next_ = now + (terminal_ ? kSayOnTerminal : kSayInLog);
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[K{}", text);
  } else {
    spdlog::info("{}", text);
  }
  said_ = true;
}

void Progress::end() {
  if (terminal_ && said_) fmt::print(stderr, "\r\x1b[K");
  said_ = false;
}

double rate_of(std::uint64_t done, Steady::time_point begun) {
  const double seconds = std::chrono::duration<double>(Steady::now() - begun).count();
  return seconds > 0 ? static_cast<double>(done) / seconds : 0;
}

std::string time_left_text(std::uint64_t done, std::uint64_t left, Steady::time_point begun) {
  const double rate = rate_of(done, begun);
  if (rate < 1 || left == 0) return {};
  const auto seconds = static_cast<std::int64_t>(static_cast<double>(left) / rate);
  return fmt::format(", {} left", duration_text(std::chrono::seconds(seconds)));
}

std::string duration_text(std::chrono::seconds duration) {
  const auto seconds = duration.count();
  if (seconds >= 3600) return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
  if (seconds >= 60) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  return fmt::format("{} s", seconds);
}

}  // namespace tidemark
