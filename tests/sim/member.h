// A member of the group: claims, polls, folds with the real Fold, and applies in the steps in which
// Postgres lets others in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "consumer/core/fence.h"
#include "consumer/core/fold.h"
#include "tests/sim/connector.h"
#include "tests/sim/target.h"

namespace tidemark::sim {

class Member {
 public:
  Member(std::size_t number, Source& source, const Connector& connector, Target& target,
         Random& random, const Trace& trace, const Rules& rules);

  // The group's news: from now on these are its partitions. Until then it goes on with the old.
  void assign(std::vector<std::size_t> partitions);
  void restart();

  // Each is one step; none does anything when it is not its turn.
  void claim();
  void poll();   // folds a few records, up to two batches ahead
  void begin();  // P1, then the shared turn
  void look();   // F2 and the fences, then all that the statements see and do
  void commit();
  void roll_back();

  bool idle() const { return !needs_claim_ && batches_.empty() && !applying_; }

 private:
  struct Slot {
    std::size_t partition;
    std::int64_t next;
    std::optional<Position> last;  // fed to the fold
  };
  enum class Stage : std::uint8_t { kWaitsForTurn, kHasTurn, kLooked };
  // What a batch's statements do, as of their snapshots.
  struct Effects {
    Counts deltas{};
    CellFlags takes_away{};
    CellFlags suspects{};
    CellFlags flags{};  // rows of the ledger that were there
    std::array<bool, kCounters> ranges{};
    struct Skip {
      std::size_t cell;
      std::int64_t delta;
      bool flagged;
      std::int64_t fence;
    };
    std::vector<Skip> skips;
  };
  struct Applying {
    Stage stage = Stage::kWaitsForTurn;
    Effects effects;
    CellFlags ledger_locked{};
  };

  bool connected();
  void forget();
  void release();
  bool locks_free() const;
  bool may_advance(const Delta& delta) const;
  void feed(Slot& slot, std::uint32_t index, const Message& message);
  SourceSnapshot snapshot_for_waiting();
  const FenceSet& fences_in_force();
  void lock_ledger();
  Effects effects_of(const Delta& delta, const FenceSet& fences) const;
  void carry_out(Stored& stored, const Delta& delta, const Effects& effects) const;

  std::size_t number_;
  Source& source_;
  const Connector& connector_;
  Target& target_;
  Random& random_;
  const Trace& trace_;
  const Rules& rules_;
  std::uint64_t life_ = 0;
  std::vector<std::size_t> assigned_;
  bool needs_claim_ = false;
  std::vector<Slot> slots_;
  Fold fold_;
  std::deque<Delta> batches_;
  std::optional<Applying> applying_;
  std::optional<FenceSet> fences_;  // as of `version_`
  std::uint64_t version_ = 0;
  std::uint64_t made_up_ = 1ULL << 60U;  // positions without rule kMark
};

}  // namespace tidemark::sim
