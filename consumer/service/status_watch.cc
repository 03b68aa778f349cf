#include "consumer/service/status_watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "consumer/service/live_status.h"
#include "consumer/service/postgres.h"
#include "consumer/service/service.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;

// How soon a signal is noticed.
constexpr std::chrono::milliseconds kLook{100};

// ANSI: the alternate screen and no cursor, so that what stood on the terminal comes back.
constexpr const char* kEnter = "\x1b[?1049h\x1b[?25l";
constexpr const char* kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

bool draws() {
  const char* kind = std::getenv("TERM");
  return isatty(STDOUT_FILENO) != 0 && kind != nullptr && std::string_view(kind) != "dumb";
}

// As it is now: windows change. Unknown: without bound.
TerminalSize terminal_size() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return {.columns = size.ws_col, .rows = size.ws_row};
}

// False: nobody reads it any more.
bool put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
}

// Standard output, whatever it is.
class Screen {
 public:
  Screen() : terminal_(draws()) {
    if (!terminal_) return;
    set_last_words(kLeave);
    put(kEnter);
  }
  ~Screen() {
    if (!terminal_) return;
    put(kLeave);
    set_last_words(nullptr);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // False: nobody reads it any more.
  bool show(const std::vector<std::string>& lines) {
    return put(terminal_ ? drawn(fitted(lines, terminal_size())) : block(lines));
  }

 private:
  // Over what stands there, in one piece, so that nothing flickers.
  static std::string drawn(const std::vector<std::string>& lines) {
    std::string text(kHome);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (i > 0) text += '\n';  // none behind the last line: it would scroll
      text.append(lines[i]).append(kClearLine);
    }
    return text.append(kClearBelow);
  }

  std::string block(const std::vector<std::string>& lines) {
    std::string text = first_ ? "" : "\n";
    first_ = false;
    for (const std::string& line : lines) text.append(line).append("\n");
    return text;
  }

  const bool terminal_;
  bool first_ = true;
};

void wait_until(Steady::time_point at) {
  while (!stop_was_asked() && Steady::now() < at) std::this_thread::sleep_for(kLook);
}

}  // namespace

ExitCode watch_status(const Config& config, std::chrono::seconds interval) {
  install_stop_signals();
  LiveStatus status({.pg = pg_options(config, Role::kService),
                     .kafka = config.kafka,
                     .group = group_id(config),
                     .interval = interval,
                     .source = source_options(config),
                     .slot = config.recount.slot});
  auto looked_at = Steady::now();
  std::vector<std::string> lines = status.look();  // what it throws is to stay on the terminal
  Screen screen;
  while (screen.show(lines)) {
    wait_until(looked_at + interval);
    if (stop_was_asked()) break;
    looked_at = Steady::now();
    lines = status.look();
  }
  return ExitCode::kOk;
}

}  // namespace tidemark
