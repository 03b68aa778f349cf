// What a replayed seed tells of its steps, and what a run came to.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

namespace tidemark::sim {

// A promise of DESIGN 4 did not hold.
struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What schedules must come to, to prove anything.
enum class Happened : std::uint8_t {
  kRedelivered,   // a change came again
  kZombieFenced,  // P1 refused a batch
  kWaited,        // F2 waited
  kSkipped,       // a fence took out a change
  kCommitsLost,   // a crash took back commits
  kReplyLost,     // a commit's reply was lost
  kFenceDropped,
  kDriftBooked,    // by hand, and found
  kRepaired,       // a row of the ledger that was no drift as its cell was suspect
  kCleanDrift,     // a cell that was never suspect and was touched by hand
  kRangePass,      // a pass over a counter that was suspect as a whole
  kKeysHeld,       // by another writer, at a slice
  kIdsCameAgain,   // 2^32 ids passed
  kVerifiedLag,    // verify met cells whose events were on their way
  kVerifiedDrift,  // verify met a cell that was touched by hand, and found just that
  kCamePast,       // a fence went as what was applied stood past it, though the producer had more
};
inline constexpr std::size_t kEventsReached = 16;
const char* happened_name(Happened event);

class Reached {
 public:
  void note(Happened event) { ++times_[static_cast<std::size_t>(event)]; }
  std::size_t of(Happened event) const { return times_[static_cast<std::size_t>(event)]; }

 private:
  std::array<std::size_t, kEventsReached> times_{};
};

struct Trace {
  bool on = false;
  Reached* reached = nullptr;

  void note(Happened event) const { reached->note(event); }

  template <class... Args>
  void say(fmt::format_string<Args...> text, Args&&... args) const {
    if (on) fmt::print("{}\n", fmt::format(text, std::forward<Args>(args)...));
  }
};

}  // namespace tidemark::sim
