// Named places at which a test build dies or stops on purpose (FAULTS: X1 to X13).
//
// TIDEMARK_KILL=X5:kill or X5:stop, optionally :N for the N-th time that the place is reached
// (default 1). kill is SIGKILL, stop is SIGSTOP. Only in builds with TIDEMARK_KILL_POINTS; nothing
// at all otherwise.
#pragma once

#ifdef TIDEMARK_KILL_POINTS
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

namespace tidemark {

inline void kill_point(std::string_view name) {
  static const char* const armed = std::getenv("TIDEMARK_KILL");
  if (armed == nullptr) return;
  const std::string_view spec(armed);
  const auto colon = spec.find(':');
  if (spec.substr(0, colon) != name || colon == std::string_view::npos) return;
  const std::string_view rest = spec.substr(colon + 1);
  const auto second = rest.find(':');
  const int wanted = second == std::string_view::npos
                         ? 1
                         : std::atoi(std::string(rest.substr(second + 1)).c_str());
  static std::atomic<int> reached{0};
  if (++reached != wanted) return;
  std::raise(rest.substr(0, second) == "stop" ? SIGSTOP : SIGKILL);
}

}  // namespace tidemark
#define TIDEMARK_KILL_POINT(name) ::tidemark::kill_point(name)
#else
#define TIDEMARK_KILL_POINT(name) static_cast<void>(0)
#endif
