// What `tidemark doctor` looks at, and what it finds: made by the layers that can see it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tidemark {

// One thing that is not as it should be. Never holds a secret or a value of a row.
struct Finding {
  enum class Level : std::uint8_t {
    kWarning,  // it works; slower, or not for ever
    kError,    // it doesn't work, or counts can go wrong
  };
  Level level = Level::kError;
  std::string what;  // names the thing
  std::string why;   // why it matters
  std::string mend;  // the command that mends it, or what to do
};

// One look. `look` throws WorldError when it can't see; others are looked at all the same.
struct DoctorCheck {
  std::string side;  // "postgres", "kafka"
  std::string name;  // unique in its side
  std::function<std::vector<Finding>()> look;
  // Without it nothing else of its side can be seen: an error here leaves those out.
  bool gate = false;
};

}  // namespace tidemark
