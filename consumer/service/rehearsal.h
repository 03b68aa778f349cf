// Whether a recount slice should read its rows once before it takes its turn.
#pragma once

#include <chrono>

namespace tidemark {

// Rows that come from the disk make a slice hold the turn many times as long as it computes, and
// batches wait for it. Read beforehand they are in memory; where they are there anyway, that is
// work for nothing. So it is tried after a slice that held the turn for too long, and goes on as
// long as the second reading is much the faster one; where it isn't, some slices go without.
class Rehearsal {
 public:
  bool wanted() const { return wanted_; }

  // A slice that didn't rehearse: how long it held the turn, and how long it should have at most.
  void was_left_out(std::chrono::microseconds hold, std::chrono::microseconds goal) {
    if (resting_ > 0) --resting_;
    wanted_ = hold > goal && resting_ == 0;
  }
  // One that did: how long the rows took beforehand, and again with the turn.
  void was_held(std::chrono::microseconds before, std::chrono::microseconds again) {
    wanted_ = before > again + again / 2;
    if (!wanted_) resting_ = kRest;
  }

 private:
  static constexpr int kRest = 16;

  bool wanted_ = false;
  int resting_ = 0;
};

}  // namespace tidemark
