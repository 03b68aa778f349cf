// The smallest schedules that break the ledger when one of its rules is gone (DESIGN 4.5): found by
// the simulator, played by hand.
#include <gtest/gtest.h>

#include <string>

#include "tests/sim/stored.h"

namespace tidemark::sim {
namespace {

constexpr std::size_t kCell = 0;  // users.n[9]
constexpr std::size_t kOfUsersN = 0;

class LedgerSchedule {
 public:
  explicit LedgerSchedule(Rules rules) : rules_(rules) { trace_.reached = &reached_; }

  // A recount of all keys that counts `value` in the cell; gives its fence.
  std::int64_t recount(std::int64_t value) {
    Slice slice;
    slice.aggregate = cell_name(kCell).aggregate;
    slice.counts[kCell] = value;
    carry_out(stored_, slice, rules_);
    return stored_.newest_fence;
  }
  // A batch of which the fence took out changes that sum to `delta`. As FenceSet::let_through
  // tells it: nothing of a sum of 0, nothing of a repaired counter.
  void skip(std::int64_t delta, std::int64_t fence) {
    for (const auto& one : stored_.fences) {
      if (one->id != fence || one->repairs[0] || delta == 0) continue;
      book(stored_, kCell, -delta, stored_.is_suspect(kCell), fence);
    }
  }
  void make_suspect() { sim::make_suspect(stored_, kCell); }
  // A batch that saw no suspects and is about to commit.
  void skip_unaware_of_suspects(std::int64_t delta, std::int64_t fence) {
    book(stored_, kCell, -delta, false, fence);
  }
  void make_range_suspect() { sim::make_range_suspect(stored_, kOfUsersN); }
  void end_pass() { stored_.ranges[kOfUsersN].reset(); }
  // What stays unexplained is drift, and nobody touched the cell: then this is wrong.
  std::string drop(std::int64_t fence) {
    try {
      drop_fence(stored_, fence, rules_, trace_);
      return {};
    } catch (const Broken& broken) {
      return broken.what();
    }
  }

 private:
  Rules rules_;
  Reached reached_;
  Trace trace_;
  Stored stored_;
};

// Three changes are on their way. The first recount saw +1; the second saw +1 -1 +1 and finds the
// cell right. One batch brings +1 -1: the newer fence takes out both, which is 0 in sum and tells
// the ledger nothing. The older fence has done its work and goes; the last +1 is still to come.
std::string second_recount_finds_the_cell_right(Rules rules) {
  LedgerSchedule ledger(rules);
  const std::int64_t older = ledger.recount(1);
  const std::int64_t newer = ledger.recount(1);
  ledger.skip(+1 - 1, newer);
  std::string drift = ledger.drop(older);
  ledger.skip(+1, newer);
  return drift + ledger.drop(newer);
}

TEST(Ledger, ARowWaitsForTheNewestFenceThoughItsRecountFoundNoDifference) {
  EXPECT_EQ(second_recount_finds_the_cell_right({}), "");
  EXPECT_NE(second_recount_finds_the_cell_right({Rule::kRaise}), "");
}

// A change of +1 came that proved nothing: the cell is suspect and stays at 0. One of -1 is on its
// way. A range's recount sees both, finds the cell right and takes it off the list.
std::string range_clears_a_suspect(Rules rules) {
  LedgerSchedule ledger(rules);
  ledger.make_suspect();
  const std::int64_t fence = ledger.recount(0);
  ledger.skip(-1, fence);
  return ledger.drop(fence);
}

TEST(Ledger, ARangeThatClearsASuspectLeavesAFlaggedRowLikeAList) {
  EXPECT_EQ(range_clears_a_suspect({}), "");
  EXPECT_NE(range_clears_a_suspect({Rule::kFlagAtSlice}), "");
}

// A recount saw +1 -1, which are on their way, and finds the cell right. Two batches at once: one
// brings +1 in a form that proves nothing, and makes the cell suspect; the other brings -1, which
// is skipped. Neither sees the other's row, as both are yet to commit.
std::string two_batches_at_once(Rules rules) {
  LedgerSchedule ledger(rules);
  const std::int64_t fence = ledger.recount(0);
  ledger.skip_unaware_of_suspects(-1, fence);
  ledger.make_suspect();
  return ledger.drop(fence);
}

TEST(Ledger, ARowWhoseCellIsSuspectAtTheDropIsARepair) {
  EXPECT_EQ(two_batches_at_once({}), "");
  EXPECT_NE(two_batches_at_once({Rule::kFlagAtDrop}), "");
}

}  // namespace
}  // namespace tidemark::sim
