// The rules of DESIGN 4 that a run can be made to break, each to see that the simulator notices.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace tidemark::sim {

enum class Rule : std::uint8_t {
  kOffset,        // P1: the stored offset is the batch's
  kEpoch,         // P1: the epoch is mine
  kMark,          // N1: what is below the mark is not new
  kTie,           // N1: what is at the mark with another identity is new
  kNullStays,     // N2, of the connector: what came without a last commit comes so again
  kNotNew,        // N1: what is not new makes suspect (rather than being dropped)
  kVisible,       // F2: every transaction of the batch is visible
  kList,          // F1: the running list
  kWindow,        // F1: the ids from xmax to n
  kNext,          // F1: n is an id given out, not a second snapshot's xmax
  kInserted,      // F1: only what stood below L
  kFloor,         // F1: what is far below is seen, whatever its 32-bit id says
  kFloorEnded,    // F1: and "far" is: all ids given out until then have ended. Without: restart LSN
  kFloorFirst,    // F1: that restart LSN is read before the snapshot, not after it
  kFence,         // 4.4: a recount leaves a fence
  kTurns,         // F3: slices and batches exclude each other
  kVersion,       // F3: a batch takes the fences of its turn, not of its fold
  kSlot,          // F9: the slot's confirmed LSN is at L before the end offsets are read
  kEnd,           // F9: the end offsets are consumed
  kArrival,       // F9: where the producer may still have records, until what came stands past L
  kExcept,        // F5: what another writer held is not fenced
  kRaise,         // 4.5: a row waits for the newest fence over its cell, also when nothing differs
  kRepairSaw,     // 4.5: what a repair's fence saw is booked by none, not even by a newer fence
  kFlag,          // 4.5: what differs in a cell that was suspect is a repair
  kFlagAtApply,   // 4.5: a batch flags rows of cells that are suspect, or become so
  kFlagAtSlice,   // 4.5: each slice that clears a suspect leaves a flagged row, not only lists
  kFlagAtDrop,    // 4.5: a row whose cell is suspect at the drop is a repair
  kVerifySlot,    // 4.6, verify: reads the stream's end when the slot is at L
  kVerifyFences,  // 4.6, verify: what a fence has counted in is no lag
  kVerifyArrival,  // 4.6, verify: reads until all has arrived, as F9 does
};
inline constexpr std::size_t kRules = 30;

std::string_view rule_name(Rule rule);
std::optional<Rule> rule_named(std::string_view name);

// All rules, but those taken away.
class Rules {
 public:
  Rules() = default;
  Rules(std::initializer_list<Rule> without) {
    for (const Rule rule : without) without_.set(static_cast<std::size_t>(rule));
  }
  bool has(Rule rule) const { return !without_.test(static_cast<std::size_t>(rule)); }
  void take_away(Rule rule) { without_.set(static_cast<std::size_t>(rule)); }

 private:
  std::bitset<kRules> without_;
};

}  // namespace tidemark::sim
