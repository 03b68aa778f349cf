// Remembers what was said lately, so that trouble that repeats is one line in the log and not a
// flood.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark {

class SayOnce {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Is this worth a line: not said within the last minute?
  bool worth_saying(int code, std::string_view topic, std::int32_t partition, TimePoint now);

 private:
  struct Said {
    int code;
    std::string topic;
    std::int32_t partition;
    TimePoint at;
  };
  std::vector<Said> said_;  // the oldest first
};

}  // namespace tidemark
