// The target's PostgreSQL: commits, the locks that steps wait for, and crashes.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "tests/sim/random.h"
#include "tests/sim/stored.h"
#include "tests/sim/trace.h"

namespace tidemark::sim {

class Target {
 public:
  Target(Random& random, const Trace& trace, std::size_t partitions);

  const Stored& stored() const { return now_; }

  // One commit. Synchronous ones flush the log, and so all that was committed before.
  template <class Change>
  void commit(bool synchronous, Change change) {
    unflushed_.push_back(now_);
    change(now_);
    if (synchronous) flush();
    changed_ = true;
  }
  void flush() { unflushed_.clear(); }
  // Some of what was not flushed is gone, newest first. Connections and locks are gone.
  void crash();
  // Raised by each crash: who was connected before is not any more.
  std::uint64_t life() const { return life_; }

  // Whether something was committed or lost since the last call.
  bool take_changed();

  // Locks. Nobody waits here: a step that can't have its lock does nothing.
  std::vector<bool> row_locked;                     // of progress, by partition
  std::size_t sharing = 0;                          // the turn, by batches
  bool alone = false;                               // the turn, by a slice
  std::array<std::size_t, kCells> ledger_locked{};  // rows: by how many batches in hand

 private:
  Random& random_;
  const Trace& trace_;
  Stored now_;
  std::deque<Stored> unflushed_;  // before each commit that is not flushed
  std::uint64_t life_ = 0;
  bool changed_ = false;
};

}  // namespace tidemark::sim
