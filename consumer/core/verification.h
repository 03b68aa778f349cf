// Tells drift from lag without writing anything (DESIGN 4.6, verify).
//
// One snapshot of the database shows cells, stored offsets, fences and suspects, and what the rows
// behind count to. What a cell lacks must be what comes after the offsets: those changes that the
// snapshot saw and that no fence of it has counted in already. What doesn't add up is drift.
// Nothing that is stored can be unseen by the snapshot: apply waited for that (rule F2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/core/fence.h"

namespace tidemark {

// A cell that isn't what was counted in the same snapshot. For recounted columns, which have no
// size, 1 was counted and 0 stands.
struct CellDifference {
  AggregateIndex aggregate;
  CounterIndex counter;
  std::string key;
  std::int64_t counted = 0;
  std::int64_t stored = 0;
};

struct VerifiedDrift {
  AggregateIndex aggregate;
  CounterIndex counter;
  std::string key;
  std::int64_t difference = 0;  // what must be added to the cell, lag apart
  std::int64_t stored = 0;      // as the snapshot saw it; with `lag`, what the stream makes of it
  std::int64_t lag = 0;         // on its way
};

struct Verdict {
  std::vector<VerifiedDrift> drift;    // by aggregate, counter and key
  std::vector<VerifiedDrift> suspect;  // the same of cells that wait for a recount: not judged
  std::size_t lagging = 0;  // cells that differ as their events are on their way, and only so
};

class Verification {
 public:
  // What the snapshot held beside the cells. `inserted` and `next` of the snapshot are read after
  // it, as for a fence (rule F1). `declaration` must outlive it.
  Verification(const Declaration& declaration, const SourceSnapshot& snapshot,
               std::vector<Fence> fences, const std::vector<SuspectCell>& suspects,
               const std::vector<SuspectRange>& ranges);

  void add_difference(CellDifference difference);
  // A batch of what follows the stored offsets, folded from their marks with
  // NotNewPolicy::kSuspect. All up to where the slot has confirmed `inserted` must be added (rule
  // F9).
  void add_lag(const Delta& delta);
  Verdict judge() const;
  // False: the cell waits for a recount, or will once what is on its way has come.
  bool judges(AggregateIndex aggregate, CounterIndex counter, const std::string& key) const;

 private:
  using Cell = std::tuple<AggregateIndex, CounterIndex, std::string>;
  struct Sum {
    std::int64_t difference = 0;
    std::int64_t stored = 0;
    std::int64_t lag = 0;
  };

  void add_skipped(const FenceSet& fences, const Delta& delta, std::int64_t sign);

  FenceSet counted_in_;  // the snapshot's own fences
  FenceSet seen_;        // a fence over everything that saw what the snapshot saw
  std::map<Cell, Sum> cells_;
  std::set<Cell> suspects_;
  std::set<std::tuple<AggregateIndex, CounterIndex>> ranges_;
};

}  // namespace tidemark
