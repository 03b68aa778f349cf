// How a command that takes long tells how far it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tidemark {

// One line that is written over on a terminal; a log line now and then elsewhere.
class Progress {
 public:
  Progress();

  // Shows or drops the text: not too often.
  void say(const std::string& text);
  // Leaves a terminal's line empty; to be called before anything else is printed.
  void end();

 private:
  bool terminal_;
  bool said_ = false;
  std::chrono::steady_clock::time_point next_{};
};

// Per second since then.
double rate_of(std::uint64_t done, std::chrono::steady_clock::time_point begun);
// "2 h 05 min", "5 min 20 s", "12 s".
std::string duration_text(std::chrono::seconds duration);
// ", 12 s left" at the rate since then; empty while nothing can be said of it.
std::string time_left_text(std::uint64_t done, std::uint64_t left,
                           std::chrono::steady_clock::time_point begun);

}  // namespace tidemark
