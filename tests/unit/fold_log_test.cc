// What a delta is the sum of, and whose transactions it tells: what fences decide by (DESIGN 4.4).
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "consumer/core/fold.h"
#include "tests/unit/fold_tester.h"

namespace tidemark {
namespace {

using testing::Causes;
using testing::Cells;
using testing::Fields;
using testing::FoldTester;

const Fields kFollow = {{"follower_user_id", 1}, {"followee_user_id", 2}};

class FoldLogTester : public FoldTester {
 public:
  FoldLogTester() : FoldTester(testing::shipped_declaration(), NotNewPolicy::kSuspect) {}

  FoldLogTester& at(std::uint64_t commit, std::uint64_t lsn) {
    FoldTester::at(commit, lsn);
    return *this;
  }
  // The next changes are of this transaction.
  FoldLogTester& in(std::uint64_t tx_id) {
    tx_id_ = tx_id;
    return *this;
  }
  void play(Op op, const std::string& table, const Fields& before, const Fields& after) {
    Change made = change(op, table, before.empty() ? RowImage{} : row(table, before),
                         after.empty() ? RowImage{} : row(table, after));
    made.tx_id = tx_id_;
    add(made);
  }
  void follow() { play(Op::kCreate, "follows", {}, kFollow); }

 private:
  std::uint64_t tx_id_ = 0;
};

std::vector<std::uint32_t> transactions(FoldLogTester& t) { return t.fold.take().transactions; }

// --- the log ------------------------------------------------------------------------------------

// The deltas, summed from the log.
std::vector<std::vector<std::int32_t>> summed(const Delta& delta) {
  std::vector<std::vector<std::int32_t>> sums;
  for (const AggregateDelta& rows : delta.aggregates) sums.emplace_back(rows.deltas.size(), 0);
  for (const LoggedDelta& logged : delta.log) {
    const AggregateDelta& rows = delta.aggregates.at(logged.aggregate);
    sums.at(logged.aggregate).at(rows.places.at(logged.row) * rows.counters + logged.counter) +=
        logged.delta;
  }
  return sums;
}

Fields random_row(const std::string& table) {
  const auto flag = [] { return *rc::gen::arbitrary<bool>(); };
  const auto key = [] { return *rc::gen::inRange(-3, 15); };
  if (table == "follows") {
    return {{"follower_user_id", key()}, {"followee_user_id", key()}, {"is_delete", flag()}};
  }
  if (table == "tracks") {
    return {{"track_id", key()}, {"owner_id", key()}, {"is_unlisted", flag()}};
  }
  return {{"user_id", key()},
          {"repost_item_id", key()},
          {"repost_type", *rc::gen::element("track", "playlist", "album")},
          {"is_delete", flag()}};
}

void play_random_change(FoldLogTester& t) {
  const std::string table = *rc::gen::element<std::string>("follows", "tracks", "reposts");
  t.on(*rc::gen::inRange<std::uint32_t>(0, 2));
  switch (*rc::gen::inRange(0, 4)) {
    case 0:
      return t.play(Op::kCreate, table, {}, random_row(table));
    case 1:
      return t.play(Op::kDelete, table, random_row(table), {});
    case 2:
      return t.play(Op::kUpdate, table, {}, random_row(table));  // only suspects
    default:
      return t.play(Op::kUpdate, table, random_row(table), random_row(table));
  }
}

TEST(FoldLog, SumsToTheDeltasWhateverTheChanges) {
  EXPECT_TRUE(rc::check("the log sums to the deltas", [] {
    FoldLogTester t;
    for (int batch = 0; batch < 2; ++batch) {
      for (int n = *rc::gen::inRange(0, 40); n > 0; --n) play_random_change(t);
      const Delta delta = t.fold.take();
      std::vector<std::vector<std::int32_t>> deltas;
      for (const AggregateDelta& rows : delta.aggregates) deltas.push_back(rows.deltas);
      RC_ASSERT(summed(delta) == deltas);
    }
  }));
}

TEST(FoldLog, NamesEachContributionsTransactionAndLsn) {
  FoldLogTester t;
  t.at(50, 100).in(7).follow();
  t.in(8).play(Op::kDelete, "follows", kFollow, {});
  std::vector<std::tuple<std::uint32_t, std::uint64_t, int>> told;
  for (const LoggedDelta& logged : t.fold.take().log) {
    told.emplace_back(logged.tx_id, logged.lsn.value, logged.delta);
  }
  std::ranges::sort(told);
  EXPECT_EQ(told, (decltype(told){{7, 100, 1}, {7, 100, 1}, {8, 110, -1}, {8, 110, -1}}));
}

// A fence must be able to take out one of two that are 0 in sum.
TEST(FoldLog, KeepsWhatCancelsOut) {
  FoldLogTester t;
  t.in(7).follow();
  t.in(8).play(Op::kDelete, "follows", kFollow, {});
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(delta.log.size(), 4U);
}

TEST(FoldLog, HasNothingOfSuspects) {
  FoldLogTester t;
  t.in(7).play(Op::kUpdate, "follows", {}, kFollow);
  t.at(1, 1).follow();  // below the mark
  EXPECT_TRUE(t.fold.take().log.empty());
}

TEST(FoldLog, IsEmptyAfterABatchThatWasDropped) {
  FoldLogTester t;
  t.in(7).follow();
  t.restart({{}, {}});
  const Delta delta = t.fold.take();
  EXPECT_TRUE(delta.log.empty());
  EXPECT_TRUE(delta.transactions.empty());
}

// A 64-bit id would meet no 32-bit one in a fence.
TEST(FoldLog, KeepsTheLow32BitsOfAnId) {
  FoldLogTester t;
  t.in((5ULL << 32U) + 7).follow();
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.log.front().tx_id, 7U);
  EXPECT_EQ(delta.transactions, std::vector<std::uint32_t>{7});
}

// --- the transactions (rule F2) -----------------------------------------------------------------

TEST(FoldTransactions, AreNotedOnceWhereNeighboursAgree) {
  FoldLogTester t;
  for (const std::uint64_t tx_id : {7, 7, 8, 8, 7}) t.in(tx_id).follow();
  EXPECT_EQ(transactions(t), (std::vector<std::uint32_t>{7, 8, 7}));
}

// Their recount must see the change as well.
TEST(FoldTransactions, AreNotedForSuspectsToo) {
  FoldLogTester t;
  t.at(500, 500).in(7).follow();
  EXPECT_EQ(transactions(t), std::vector<std::uint32_t>{7});
  t.at(1, 1).in(8).follow();
  EXPECT_EQ(transactions(t), std::vector<std::uint32_t>{8}) << "not new";
  t.at(600, 600).in(9).play(Op::kUpdate, "follows", {}, kFollow);
  EXPECT_EQ(transactions(t), std::vector<std::uint32_t>{9}) << "no image of before";
  t.in(10).play(Op::kTruncate, "follows", {}, {});
  EXPECT_EQ(transactions(t), std::vector<std::uint32_t>{10}) << "truncate";
  Change without_key = t.change(Op::kCreate, "follows", {}, t.row("follows", kFollow));
  without_key.tx_id = 11;
  without_key.has_key = false;
  t.add(without_key);
  EXPECT_EQ(transactions(t), std::vector<std::uint32_t>{11}) << "no key";
}

// What it makes exist, or has looked up again, must be visible when it is read.
TEST(FoldTransactions, AreNotedForRowsThatOnlyMustExist) {
  FoldLogTester t;
  t.in(7).play(Op::kCreate, "users", {}, {{"user_id", 3}});
  EXPECT_EQ(transactions(t), std::vector<std::uint32_t>{7});
}

// Its id is the snapshot's own, which may run for hours yet.
TEST(FoldTransactions, AreNotNotedForRowsOfASnapshot) {
  FoldLogTester t;
  t.in(7).play(Op::kRead, "follows", {}, kFollow);
  const Delta delta = t.fold.take();
  EXPECT_TRUE(delta.transactions.empty());
  EXPECT_EQ(t.suspects(delta).size(), 2U);
}

// --- changes that no fence or mark can tell about -----------------------------------------------

const Causes kBothUsers = {{"aggregate_user.following_count[1]", ""},
                           {"aggregate_user.follower_count[2]", ""}};

Causes both_users(const std::string& cause) {
  Causes causes = kBothUsers;
  for (auto& [cell, named] : causes) named = cause;
  return causes;
}

TEST(FoldWithoutTransaction, ANewChangeIsRecountedAsNoFenceCouldTellOfIt) {
  FoldLogTester t;
  Change change = t.change(Op::kCreate, "follows", {}, t.row("follows", kFollow));
  change.tx_id.reset();
  t.add(change);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_TRUE(delta.log.empty());
  EXPECT_TRUE(delta.transactions.empty());
  EXPECT_EQ(t.suspects(delta), both_users("no_position"));
}

// It is new all the same: the next one at its position is not.
TEST(FoldWithoutTransaction, StillMovesTheMark) {
  FoldLogTester t;
  Change change = t.change(Op::kCreate, "follows", {}, t.row("follows", kFollow));
  change.tx_id.reset();
  t.add(change);
  change.tx_id = 7;
  t.add(change);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(delta.figures.duplicates, 1U);
}

FoldPartition touching(TouchOnly touch_only) {
  return {{"t", Partition(0)}, Epoch(1), Offset(0), {}, touch_only};
}

TEST(FoldTouchOnly, BelowAnOffsetNewChangesAreRecounted) {
  FoldLogTester t;
  t.fold.reset(std::vector<FoldPartition>{touching({.below = Offset(2)})});
  t.in(7).follow();
  t.follow();
  Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(t.suspects(delta), both_users("not_new"));
  EXPECT_EQ(delta.transactions, std::vector<std::uint32_t>{7});
  t.follow();
  delta = t.fold.take();
  EXPECT_EQ(t.cells(delta).size(), 2U) << "from the offset on they count";
  EXPECT_TRUE(delta.suspect_cells.empty());
}

TEST(FoldTouchOnly, BelowAnLsnNewChangesAreRecounted) {
  FoldLogTester t;
  t.fold.reset(std::vector<FoldPartition>{touching({.until = Lsn(120)})});
  t.at(100, 119).in(7).follow();
  EXPECT_EQ(t.take_cells(), Cells{});
  t.at(100, 120).follow();
  EXPECT_EQ(t.take_cells().size(), 2U);
}

// A long transaction commits late with low LSNs.
TEST(FoldTouchOnly, GoesByTheChangesLsnNotByItsPlaceInTheStream) {
  FoldLogTester t;
  t.fold.reset(std::vector<FoldPartition>{touching({.until = Lsn(120)})});
  t.at(100, 500).in(7).follow();
  t.at(600, 110).in(8).follow();
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta).size(), 2U);
  EXPECT_EQ(t.suspects(delta), both_users("not_new"));
}

TEST(FoldTouchOnly, StillMovesTheMark) {
  FoldLogTester t;
  t.fold.reset(std::vector<FoldPartition>{touching({.below = Offset(1)})});
  t.at(100, 200).in(7).follow();
  t.at(100, 200).follow();  // at a later offset, and the same one again
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(delta.figures.duplicates, 1U);
}

}  // namespace
}  // namespace tidemark
