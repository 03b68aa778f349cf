#include "tests/sim/trace.h"

namespace tidemark::sim {

const char* happened_name(Happened event) {
  constexpr std::array<const char*, kEventsReached> kNames = {
      "changes redelivered",      "batches of zombies refused",
      "waits for visibility",     "changes skipped",
      "commits lost in a crash",  "replies lost",
      "fences dropped",           "drift booked",
      "repairs told from drift",  "clean drifts by hand",
      "counters recounted whole", "keys held by others",
      "ids that come again",      "lag seen by verify",
      "drift found by verify",    "fences come past"};
  return kNames[static_cast<std::size_t>(event)];
}

}  // namespace tidemark::sim
