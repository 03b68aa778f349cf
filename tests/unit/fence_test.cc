// Which changes a recount has counted (DESIGN 4.4), and what a batch adds beyond.
#include "consumer/core/fence.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/fold_tester.h"

namespace tidemark {
namespace {

using testing::Cells;
using testing::FoldTester;

constexpr std::uint64_t kEpochIds = 1ULL << 32U;

// Ids 10 and 12 were open, 14 was the newest that had ended; 17 was given out afterwards.
SourceSnapshot snapshot_at(std::uint64_t base = 0) {
  return {.xmax = base + 15,
          .running = {base + 10, base + 12},
          .next = base + 17,
          .inserted = Lsn(1000),
          .restart = Lsn(100)};
}

bool saw(const SourceSnapshot& snapshot, std::uint64_t tx_id, std::uint64_t lsn) {
  return SeenTest(snapshot).saw(static_cast<std::uint32_t>(tx_id), Lsn(lsn));
}

// --- one snapshot -------------------------------------------------------------------------------

TEST(SeenTest, SawWhatHadEndedAndStoodBelowTheEndOfTheLog) {
  EXPECT_TRUE(saw(snapshot_at(), 9, 999));
  EXPECT_TRUE(saw(snapshot_at(), 11, 999));
  EXPECT_TRUE(saw(snapshot_at(), 14, 999));
  EXPECT_FALSE(saw(snapshot_at(), 9, 1000));
}

TEST(SeenTest, DidNotSeeATransactionThatWasOpen) {
  EXPECT_FALSE(saw(snapshot_at(), 10, 999));
  EXPECT_FALSE(saw(snapshot_at(), 12, 999));
}

// xmax is the newest *completed* id + 1: the newest open ones are not in the list.
TEST(SeenTest, DidNotSeeATransactionThatBeganLastAndWasStillOpen) {
  EXPECT_FALSE(saw(snapshot_at(), 15, 999));
  EXPECT_FALSE(saw(snapshot_at(), 16, 999));
  EXPECT_TRUE(saw(snapshot_at(), 17, 999)) << "an id from the window's end on is an old one";
}

TEST(SeenTest, TakesAnIdOfAnyAgeByItsLow32Bits) {
  const SourceSnapshot late = snapshot_at(3 * kEpochIds);
  EXPECT_FALSE(saw(late, 12, 999));
  EXPECT_FALSE(saw(late, 16, 999));
  EXPECT_TRUE(saw(late, 11, 999));
}

TEST(SeenTest, KeepsItsWindowAndListAcrossTheWrapOf32Bits) {
  const SourceSnapshot wrapping{.xmax = 2 * kEpochIds - 1,
                                .running = {2 * kEpochIds - 9},
                                .next = 2 * kEpochIds + 2,
                                .inserted = Lsn(1000),
                                .restart = {}};
  for (const std::uint64_t open : {0xFFFF'FFFFULL, 0ULL, 1ULL, 0xFFFF'FFF7ULL}) {
    EXPECT_FALSE(saw(wrapping, open, 999)) << open;
  }
  for (const std::uint64_t ended : {0xFFFF'FFFEULL, 2ULL, 0xFFFF'FFF8ULL}) {
    EXPECT_TRUE(saw(wrapping, ended, 999)) << ended;
  }
}

TEST(SeenTest, FindsEachOfAListThatWrapsInTheMiddle) {
  const SourceSnapshot wrapping{
      .xmax = kEpochIds + 9,
      .running = {kEpochIds - 2, kEpochIds - 1, kEpochIds + 1, kEpochIds + 5},
      .next = kEpochIds + 9,
      .inserted = Lsn(1000),
      .restart = {}};
  for (const std::uint64_t open : {0xFFFF'FFFEULL, 0xFFFF'FFFFULL, 1ULL, 5ULL}) {
    EXPECT_FALSE(saw(wrapping, open, 999)) << open;
  }
  EXPECT_TRUE(saw(wrapping, 0, 999));
  EXPECT_TRUE(saw(wrapping, 9, 999)) << "no id was given out since: the window is empty";
}

// 2^32 transactions ago the ids of now were used before.
TEST(SeenTest, BelowTheRestartLsnSawWhateverTheIdSays) {
  EXPECT_TRUE(saw(snapshot_at(), 12, 99));
  EXPECT_TRUE(saw(snapshot_at(), 16, 99));
  EXPECT_FALSE(saw(snapshot_at(), 12, 100));
}

TEST(SeenTest, WithoutASlotNoLsnIsLowEnough) {
  SourceSnapshot snapshot = snapshot_at();
  snapshot.restart = Lsn(0);
  EXPECT_FALSE(saw(snapshot, 12, 0));
}

// --- fences over keys ---------------------------------------------------------------------------

// "owners" with integer keys and two counters, "tags" with text keys and one.
const Declaration& declaration() {
  static const Declaration declared = testing::DeclarationBuilder()
                                          .aggregate("owners", "id", {"things", "loud"})
                                          .aggregate("tags", "tag", {"things"}, ColumnType::kText)
                                          .table("things")
                                          .key_column("id", ColumnType::kInteger)
                                          .column("owner", ColumnType::kInteger)
                                          .column("tag", ColumnType::kText)
                                          .enum_column("kind", {"quiet", "loud"})
                                          .adds("owners", "things", "owner")
                                          .adds_when("owners", "loud", "owner", "kind", {"loud"})
                                          .adds("tags", "things", "tag")
                                          .build();
  return declared;
}

constexpr AggregateIndex kOwners{0};
constexpr AggregateIndex kTags{1};

// Saw the transactions below `newest` that stood below LSN 1000.
SourceSnapshot saw_below(std::uint64_t newest) {
  return {.xmax = newest, .running = {}, .next = 1'000, .inserted = Lsn(1000), .restart = Lsn(0)};
}

KeySet range(std::optional<std::string> from, std::optional<std::string> to,
             std::vector<std::string> except = {}) {
  KeySet keys;
  keys.from = std::move(from);
  keys.to = std::move(to);
  keys.except = std::move(except);
  return keys;
}

KeySet listed(std::vector<std::string> keys) {
  KeySet set;
  set.listed = std::move(keys);
  return set;
}

Fence fence(std::int64_t id, AggregateIndex aggregate, KeySet keys, std::uint64_t newest,
            std::vector<bool> repairs = {false, false}) {
  return {id, aggregate, std::move(keys), saw_below(newest), std::move(repairs)};
}

// A batch of changes that each name their transaction; all stand below LSN 1000.
class Batch {
 public:
  Batch() : fold_(declaration(), NotNewPolicy::kSuspect) {}

  Batch& adds(std::uint32_t tx_id, int owner, const char* tag = "x", const char* kind = "quiet") {
    return change(tx_id, Op::kCreate, owner, tag, kind);
  }
  Batch& removes(std::uint32_t tx_id, int owner, const char* tag = "x",
                 const char* kind = "quiet") {
    return change(tx_id, Op::kDelete, owner, tag, kind);
  }
  Delta take() { return fold_.fold.take(); }
  const FoldTester& names() const { return fold_; }

 private:
  Batch& change(std::uint32_t tx_id, Op op, int owner, const char* tag, const char* kind) {
    RowImage row =
        fold_.row("things", {{"id", ++id_}, {"owner", owner}, {"tag", tag}, {"kind", kind}});
    Change change = op == Op::kCreate ? fold_.change(op, "things", {}, std::move(row))
                                      : fold_.change(op, "things", std::move(row), {});
    change.tx_id = tx_id;
    fold_.add(change);
    return *this;
  }

  FoldTester fold_;
  int id_ = 0;
};

// What is added, by name; the fences are in no order.
Cells let_through(const Delta& delta, std::vector<Fence> fences) {
  const FencedDelta fenced = FenceSet(declaration(), std::move(fences)).let_through(delta);
  Delta left = delta;
  if (!fenced.aggregates.empty()) left.aggregates = fenced.aggregates;
  return Batch().names().cells(left);
}

Delta adds_to(std::initializer_list<int> owners, std::uint32_t tx_id = 5) {
  Batch batch;
  for (const int owner : owners) batch.adds(tx_id, owner);
  return batch.take();
}

Delta tags(std::initializer_list<const char*> tags, std::uint32_t tx_id = 5) {
  Batch batch;
  for (const char* tag : tags) batch.adds(tx_id, 1, tag);
  return batch.take();
}

Cells owners(std::initializer_list<int> keys, int times = 1) {
  Cells cells{{"tags.things[x]", 0}};
  for (const int key : keys) cells["owners.things[" + std::to_string(key) + "]"] = times;
  return cells;
}

// Of the owners only: the tags have no fence here.
Cells owners_let_through(const Delta& delta, std::vector<Fence> fences) {
  Cells cells = let_through(delta, std::move(fences));
  cells["tags.things[x]"] = 0;
  return cells;
}

TEST(FenceKeys, ARangeHoldsItsBeginningAndNotItsEnd) {
  const Delta delta = adds_to({1, 2, 9, 10, 11});
  EXPECT_EQ(owners_let_through(delta, {fence(1, kOwners, range("2", "10"), 99)}),
            owners({1, 10, 11}));
}

// As texts 10 comes before 9, and a negative one after neither.
TEST(FenceKeys, IntegerKeysAreOrderedAsNumbers) {
  const Delta delta = adds_to({-5, -40, 9, 10, 100});
  EXPECT_EQ(owners_let_through(delta, {fence(1, kOwners, range("9", "100"), 99)}),
            owners({-5, -40, 100}));
  EXPECT_EQ(owners_let_through(delta, {fence(1, kOwners, range("-5", "9"), 99)}),
            owners({-40, 9, 10, 100}));
}

TEST(FenceKeys, AnOpenEndHoldsAllKeysThatWillEverBe) {
  const Delta delta = adds_to({-7, 1, 2'000'000'000});
  EXPECT_EQ(owners_let_through(delta, {fence(1, kOwners, range("1", {}), 99)}), owners({-7}));
  EXPECT_EQ(owners_let_through(delta, {fence(1, kOwners, range({}, "1"), 99)}),
            owners({1, 2'000'000'000}));
  EXPECT_EQ(owners_let_through(delta, {fence(1, kOwners, range({}, {}), 99)}), owners({}));
}

TEST(FenceKeys, TextKeysAreOrderedBytewise) {
  const Delta delta = tags({"", "B", "a", "b", "\xc3\xa9"});
  Cells left = let_through(delta, {fence(1, kTags, range("B", "b"), 99)});
  left.erase("owners.things[1]");
  EXPECT_EQ(left,
            (Cells{{"tags.things[]", 1}, {"tags.things[b]", 1}, {"tags.things[\xc3\xa9]", 1}}));
}

TEST(FenceKeys, AListHoldsJustItsKeys) {
  const Delta delta = adds_to({1, 2, 3});
  EXPECT_EQ(owners_let_through(delta, {fence(1, kOwners, listed({"3", "1"}), 99)}), owners({2}));
  Cells left = let_through(tags({"a", "b"}), {fence(1, kTags, listed({"b"}), 99)});
  left.erase("owners.things[1]");
  EXPECT_EQ(left, (Cells{{"tags.things[a]", 1}}));
}

TEST(FenceKeys, AnEmptyListHoldsNone) {
  const Delta delta = adds_to({1});
  EXPECT_EQ(owners_let_through(delta, {fence(1, kOwners, listed({}), 99)}), owners({1}));
}

TEST(FenceKeys, AFenceIsOverOneAggregateOnly) {
  const Delta delta = tags({"a"});
  EXPECT_EQ(let_through(delta, {fence(1, kTags, range({}, {}), 99)}),
            (Cells{{"owners.things[1]", 1}}));
}

// --- several fences over a key ------------------------------------------------------------------

// The older fence saw transactions below 4, the newer one those below 8; the change is of 5.
TEST(FenceOrder, TheNewestOverAKeyDecidesWhateverTheirOrder) {
  const Delta delta = adds_to({1, 2, 3, 4});
  const Fence older = fence(1, kOwners, range("1", "4"), 4);
  const Fence newer = fence(2, kOwners, range("2", "3"), 8);
  EXPECT_EQ(owners_let_through(delta, {older, newer}), owners({1, 3, 4}));
  EXPECT_EQ(owners_let_through(delta, {newer, older}), owners({1, 3, 4}));
}

TEST(FenceOrder, AnOlderListIsUnderANewerRangeAndTheOtherWayRound) {
  const Delta delta = adds_to({1, 2});
  EXPECT_EQ(owners_let_through(
                delta, {fence(1, kOwners, listed({"1"}), 4), fence(2, kOwners, range({}, {}), 8)}),
            owners({}));
  EXPECT_EQ(owners_let_through(
                delta, {fence(1, kOwners, range({}, {}), 4), fence(2, kOwners, listed({"1"}), 8)}),
            owners({2}));
}

TEST(FenceOrder, RangesThatOverlapAreCutAtEachOthersEnds) {
  const Delta delta = adds_to({1, 3, 5, 7, 9});
  // Only the fences 2 and 4 saw the change.
  EXPECT_EQ(
      owners_let_through(
          delta, {fence(1, kOwners, range({}, {}), 4), fence(2, kOwners, range("3", "9"), 8),
                  fence(3, kOwners, range("5", "7"), 4), fence(4, kOwners, range("9", {}), 8)}),
      owners({1, 5}));
}

TEST(FenceOrder, AKeyThatWasLeftOutIsUnderTheFenceOfBefore) {
  const Delta delta = adds_to({1, 2, 3});
  const Fence newer = fence(3, kOwners, range({}, {}, {"2", "3"}), 4);
  EXPECT_EQ(owners_let_through(delta, {newer}), owners({1, 2, 3}));
  EXPECT_EQ(owners_let_through(delta, {newer, fence(1, kOwners, range("2", "3"), 8)}),
            owners({1, 3}));
  // The one before left it out as well; the one before that did not.
  EXPECT_EQ(owners_let_through(delta, {newer, fence(2, kOwners, range({}, {}, {"3"}), 8),
                                       fence(1, kOwners, range("3", {}), 4)}),
            owners({1, 3}));
}

TEST(FenceOrder, ATextKeyThatWasLeftOutIsUnderTheFenceOfBefore) {
  const Delta delta = tags({"a", "b"});
  Cells left = let_through(
      delta, {fence(1, kTags, range({}, {}), 4), fence(2, kTags, range("a", "c", {"b"}), 8)});
  left.erase("owners.things[1]");
  EXPECT_EQ(left, (Cells{{"tags.things[b]", 1}}));
}

TEST(FenceOrder, AKeyThatWasLeftOutCanBeUnderAnOlderList) {
  const Delta delta = adds_to({1, 2});
  EXPECT_EQ(owners_let_through(delta, {fence(1, kOwners, listed({"2"}), 8),
                                       fence(2, kOwners, range({}, {}, {"2"}), 4)}),
            owners({1}));
}

// --- what a batch adds, and what it tells the ledger --------------------------------------------

TEST(LetThrough, WithoutFencesTheDeltaIsItsOwn) {
  const Delta delta = adds_to({1});
  const FencedDelta fenced = FenceSet(declaration(), {}).let_through(delta);
  EXPECT_TRUE(fenced.aggregates.empty());
  EXPECT_TRUE(fenced.skipped.empty());
  EXPECT_EQ(fenced.skipped_changes, 0U);
}

TEST(LetThrough, SkipsOnlyWhatWasSeenOfACellThatTookSeveralChanges) {
  Batch batch;
  batch.adds(3, 1).adds(5, 1).removes(6, 1).adds(3, 2).adds(9, 1);
  const Delta delta = batch.take();
  const FenceSet fences(declaration(), {fence(1, kOwners, listed({"1"}), 5)});
  const FencedDelta fenced = fences.let_through(delta);
  Delta left = delta;
  left.aggregates = fenced.aggregates;
  EXPECT_EQ(batch.names().cells(left),
            (Cells{{"owners.things[1]", 1}, {"owners.things[2]", 1}, {"tags.things[x]", 3}}));
  ASSERT_EQ(fenced.skipped.size(), 1U);
  EXPECT_EQ(fenced.skipped[0].delta, 1);
  EXPECT_EQ(fenced.skipped[0].fence, 1);
  EXPECT_EQ(fenced.skipped_changes, 1U);
}

TEST(LetThrough, ARowOfWhichAllWasSeenStaysWithZero) {
  Batch batch;
  const Delta delta = batch.adds(3, 1).take();
  const FencedDelta fenced =
      FenceSet(declaration(), {fence(1, kOwners, listed({"1"}), 5)}).let_through(delta);
  EXPECT_EQ(fenced.aggregates[kOwners.value].integer_keys, std::vector<std::int64_t>{1});
  EXPECT_EQ(fenced.aggregates[kOwners.value].deltas, (std::vector<std::int32_t>{0, 0}));
}

// Rule F3: under the fences of another version it is asked again.
TEST(LetThrough, LeavesTheDeltaAsItIs) {
  const Delta delta = adds_to({1, 2});
  const std::vector<AggregateDelta> before = delta.aggregates;
  const FenceSet fences(declaration(), {fence(1, kOwners, range({}, {}), 99)});
  const auto first = fences.let_through(delta).skipped.size();
  EXPECT_EQ(fences.let_through(delta).skipped.size(), first);
  for (std::size_t a = 0; a < before.size(); ++a) {
    EXPECT_EQ(delta.aggregates[a].deltas, before[a].deltas);
    EXPECT_EQ(delta.aggregates[a].integer_keys, before[a].integer_keys);
  }
  EXPECT_EQ(owners_let_through(delta, {}), owners({1, 2}));
}

// The lag of a counter that was suspect as a whole is in no ledger.
TEST(LetThrough, TellsTheLedgerNothingOfARepairedCounter) {
  Batch batch;
  const Delta delta = batch.adds(3, 1, "x", "loud").take();
  const FencedDelta fenced =
      FenceSet(declaration(), {fence(1, kOwners, listed({"1"}), 5, {true, false})})
          .let_through(delta);
  ASSERT_EQ(fenced.skipped.size(), 1U);
  EXPECT_EQ(fenced.skipped[0].counter, CounterIndex(1));
  EXPECT_EQ(fenced.skipped_changes, 2U);
  EXPECT_EQ(fenced.aggregates[kOwners.value].deltas, (std::vector<std::int32_t>{0, 0}));
}

// It is 0 in sum, but the ledger must not wait for either alone.
TEST(LetThrough, TellsTheLedgerNothingOfWhatCancelsOut) {
  Batch batch;
  const Delta delta = batch.adds(3, 1).removes(4, 1).take();
  const FencedDelta fenced =
      FenceSet(declaration(), {fence(1, kOwners, listed({"1"}), 5)}).let_through(delta);
  EXPECT_TRUE(fenced.skipped.empty());
  EXPECT_EQ(fenced.skipped_changes, 2U);
}

// Rule P2: the order in which the ledger's rows are locked.
TEST(LetThrough, TellsTheLedgerByAggregateCounterAndKey) {
  Batch batch;
  batch.adds(3, 20, "b", "loud").adds(3, 3, "a", "loud").adds(3, 100, "a", "loud");
  const Delta delta = batch.take();
  const FencedDelta fenced = FenceSet(declaration(), {fence(1, kOwners, range({}, "50"), 5),
                                                      fence(2, kTags, range({}, {}), 5),
                                                      fence(3, kOwners, range("50", {}), 5)})
                                 .let_through(delta);
  std::vector<std::string> told;
  for (const SkippedDelta& skip : fenced.skipped) {
    const AggregateDelta& rows = delta.aggregates[skip.aggregate.value];
    const std::string key = rows.text_keys.empty() ? std::to_string(rows.integer_keys[skip.row])
                                                   : rows.text_keys[skip.row];
    told.push_back(std::to_string(skip.aggregate.value) + "." + std::to_string(skip.counter.value) +
                   "[" + key + "] " + std::to_string(skip.delta) + " of " +
                   std::to_string(skip.fence));
  }
  EXPECT_EQ(told, (std::vector<std::string>{"0.0[3] 1 of 1", "0.0[20] 1 of 1", "0.0[100] 1 of 3",
                                            "0.1[3] 1 of 1", "0.1[20] 1 of 1", "0.1[100] 1 of 3",
                                            "1.0[a] 2 of 2", "1.0[b] 1 of 2"}));
}

// --- rule F2 ------------------------------------------------------------------------------------

TEST(SawAll, WaitsForEachTransactionOfTheBatch) {
  const SourceSnapshot snapshot = snapshot_at();
  Delta delta;
  EXPECT_TRUE(saw_all(snapshot, delta)) << "a batch of heartbeats waits for nobody";
  delta.transactions = {9, 14, 11};
  EXPECT_TRUE(saw_all(snapshot, delta));
  delta.transactions = {9, 12, 14};
  EXPECT_FALSE(saw_all(snapshot, delta)) << "in the list";
  delta.transactions = {9, 16};
  EXPECT_FALSE(saw_all(snapshot, delta)) << "in the window";
}

// What was skipped of owner 1's things, by fence.
std::map<std::int64_t, std::int64_t> booked(const Delta& delta, std::vector<Fence> fences) {
  std::map<std::int64_t, std::int64_t> sums;
  const FencedDelta fenced = FenceSet(declaration(), std::move(fences)).let_through(delta);
  for (const SkippedDelta& skip : fenced.skipped) {
    if (skip.aggregate == kOwners && skip.counter == CounterIndex(0))
      sums[skip.fence] += skip.delta;
  }
  return sums;
}

// The repair's correction has the first change already; the newer fence's ledger the second alone.
TEST(FenceRepairs, WhatARepairSawIsBookedByNoNewerFence) {
  const std::vector<bool> repairs{true, false};
  Batch batch;
  batch.adds(5, 1).adds(15, 1);
  const Delta delta = batch.take();
  using Sums = std::map<std::int64_t, std::int64_t>;
  EXPECT_EQ(booked(delta, {fence(1, kOwners, {}, 10, repairs), fence(2, kOwners, {}, 99)}),
            (Sums{{2, 1}}));
  EXPECT_EQ(
      booked(delta, {fence(1, kOwners, {}, 10, repairs), fence(2, kOwners, listed({"1"}), 99)}),
      (Sums{{2, 1}}));
  EXPECT_EQ(booked(delta, {fence(1, kOwners, listed({"1"}), 10, repairs),
                           fence(2, kOwners, range("0", "2"), 50), fence(3, kOwners, {}, 99)}),
            (Sums{{3, 1}}));
}

TEST(FenceRepairs, ARepairElsewhereHidesNothing) {
  const std::vector<bool> repairs{true, false};
  const Delta delta = adds_to({1});
  using Sums = std::map<std::int64_t, std::int64_t>;
  const Fence newer = fence(2, kOwners, {}, 99);
  EXPECT_EQ(booked(delta, {fence(1, kOwners, range("2", {}), 10, repairs), newer}), (Sums{{2, 1}}));
  EXPECT_EQ(booked(delta, {fence(1, kOwners, range({}, {}, {"1"}), 10, repairs), newer}),
            (Sums{{2, 1}}));
  EXPECT_EQ(booked(delta, {fence(1, kOwners, {}, 10, {false, true}), newer}), (Sums{{2, 1}}));
  EXPECT_EQ(booked(delta, {fence(1, kOwners, {}, 10, repairs)}), Sums{});
}

}  // namespace
}  // namespace tidemark
