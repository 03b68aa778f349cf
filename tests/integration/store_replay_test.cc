// PgReplay: what a replay makes suspect, and where it goes on, on a real database.
#include <gmock/gmock.h>

#include <limits>
#include <string>
#include <vector>

#include "consumer/core/fold.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_recount.h"
#include "consumer/store/pg_replay.h"
#include "tests/support/follows_fixture.h"

namespace tidemark::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kSuspects =
    "select counter, key, cause from tidemark.suspects order by counter, key collate \"C\"";
const std::string kPlaces =
    "select partition, next_offset, end_offset from tidemark.replays order by partition";

class StoreReplay : public StoreTest {
 protected:
  StoreReplay() {
    sql(kFollowsSchema);
    migrate({options(), "counters", ""}, follows_);
    // As if the state had run for long: nothing suspect.
    PgStoreOptions member = store_options();
    member.recounted = true;
    PgStore(follows_, member).claim(std::vector{at(0), at(1)});
    sql("delete from tidemark.suspect_ranges");
    begin(replay_);
  }

  std::vector<ReplayPart> begin(PgReplay& replay, const std::string& from = "beginning") {
    const std::vector<ReplayPart> parts =
        replay.begin(from, std::vector<ReplayPart>{{at(0), Offset(0), kNotStarted, Offset(10)},
                                                   {at(1), Offset(0), kNotStarted, Offset(10)}});
    std::vector<FoldPartition> partitions;
    for (const ReplayPart& part : parts) {
      partitions.push_back({part.where, Epoch(0), part.next, {}, {.below = Offset(kAll)}});
    }
    fold_.reset(partitions);
    return parts;
  }

  // A new follow of `followee`, as its event comes.
  void fold(std::int64_t offset, int followee, std::uint32_t partition = 0) {
    Change change;
    change.table = TableIndex(0);
    change.op = Op::kCreate;
    change.tx_id = tx_id_;
    change.position = Position{Lsn(1'000), Lsn(1'000 + static_cast<std::uint64_t>(offset))};
    change.after = {std::int64_t{offset}, std::int64_t{followee}, true};
    fold_.add_change(record(offset, partition), change);
  }
  static Record record(std::int64_t offset, std::uint32_t partition = 0) {
    Record record;
    record.slot = partition;
    record.topic = "t";
    record.offset = Offset(offset);
    return record;
  }

  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
  const Declaration follows_ = with_follows();
  PgReplay replay_{follows_, {options(), "counters"}};
  Fold fold_{follows_, NotNewPolicy::kSuspect};
  std::uint32_t tx_id_ = 3;  // long ended
};

TEST_F(StoreReplay, ChangesReadAgainMakeTheirCellsSuspectAndCountNothing) {
  const std::string progress = sql("select * from tidemark.progress order by partition");
  fold(0, 7);
  fold(1, 7);
  fold(0, 8, 1);
  const Touched stored = replay_.store(fold_.take());
  EXPECT_EQ(stored.cells, 2U);
  EXPECT_EQ(sql(kSuspects), "followers|7|replay,followers|8|replay");
  EXPECT_EQ(sql("select * from public.aggregate_user"), "");
  EXPECT_EQ(sql("select * from tidemark.progress order by partition"), progress)
      << "the group's progress is not a replay's";
}

TEST_F(StoreReplay, AStoppedReplayGoesOnWhereItsLastBatchWasStored) {
  fold(4, 7);
  replay_.store(fold_.take());
  fold(5, 8);  // read, but never stored
  PgReplay again(follows_, {options(), "counters"});
  EXPECT_THAT(begin(again), ElementsAre(ReplayPart{at(0), Offset(0), Offset(5), Offset(10)},
                                        ReplayPart{at(1), Offset(0), kNotStarted, Offset(10)}));
}

TEST_F(StoreReplay, WhatABatchMadeSuspectAndHowFarItWentAreStoredTogether) {
  sql("alter table tidemark.suspects add constraint broken check (key <> '8')");
  fold(4, 7);
  fold(5, 8);
  error_of([&] { replay_.store(fold_.take()); });
  EXPECT_EQ(sql(kSuspects), "");
  EXPECT_EQ(sql(kPlaces), "0|-1|10,1|-1|10");
}

TEST_F(StoreReplay, AChangeIsNotTakenBeforeARecountCouldSeeIt) {
  PgConnection writer(options());
  PgTransaction open(writer);
  tx_id_ = static_cast<std::uint32_t>(
      open.run_sql({"write", ""}, "select pg_current_xact_id()::xid").integer(0, 0));
  fold(0, 7);
  const Delta batch = fold_.take();
  EXPECT_EQ(error_of([&] { replay_.store(batch); }).kind(), ErrorKind::kRetry);
  EXPECT_EQ(sql(kSuspects), "") << "a recount now would take it off the list and miss the change";
  open.commit();
  replay_.store(batch);
  EXPECT_EQ(sql(kSuspects), "followers|7|replay");
}

TEST_F(StoreReplay, AReplayWaitsForTheSliceWhoseTurnItIs) {
  PgConnection slice(options());
  PgTransaction turn(slice);
  turn.run_sql({"turn", ""}, "select pg_advisory_xact_lock(8388346167862588014)");
  PgOptions impatient = options();
  impatient.lock_timeout = milliseconds(50);
  PgReplay replay(follows_, {impatient, "counters"});
  begin(replay);
  fold(0, 7);
  const Delta batch = fold_.take();
  EXPECT_EQ(error_of([&] { replay.store(batch); }).kind(), ErrorKind::kRetry);
  turn.commit();
  EXPECT_EQ(replay.store(batch).cells, 1U);
}

TEST_F(StoreReplay, ACellThatAReplayFoundWrongIsARepairAndNoDrift) {
  sql("insert into public.follows values (1, 7, true)");
  sql("insert into public.aggregate_user (user_id, followers) values (7, 99)");
  fold(0, 7);
  replay_.store(fold_.take());
  PgRecount recount(follows_, {options(), "no_such_slot"});
  ASSERT_TRUE(
      recount
          .recount(AggregateIndex(kUsers), KeySet{.listed = {{"7"}}}, milliseconds(2'000), nullptr)
          .taken);
  EXPECT_EQ(sql("select followers from public.aggregate_user"), "1");
  EXPECT_EQ(sql(kSuspects), "");
  EXPECT_THAT(recount.drop_fences(std::vector{recount.fences().at(0).id}), IsEmpty());
}

TEST_F(StoreReplay, ABadRecordMakesItsTablesCountersSuspectAndIsNotParkedAgain) {
  const std::vector<TableIndex> tables{TableIndex(0)};
  fold_.add_bad(record(0), {BadCode::kBadJson, "cut off"}, tables);
  EXPECT_EQ(replay_.store(fold_.take()).ranges, 1U);
  EXPECT_EQ(sql("select counter, cause, not_before is not null from tidemark.suspect_ranges"),
            "followers|parked|t");
  EXPECT_EQ(sql("select count(*) from tidemark.parked"), "0");
  EXPECT_EQ(sql(kPlaces), "0|1|10,1|-1|10");
}

TEST_F(StoreReplay, OfTwoReplaysOfOnePartitionOneGoesOn) {
  fold(0, 7);
  const Delta batch = fold_.take();
  PgReplay other(follows_, {options(), "counters"});
  begin(other);
  fold(1, 8);
  other.store(fold_.take());
  const WorldError error = error_of([&] { replay_.store(batch); });
  EXPECT_EQ(error.kind(), ErrorKind::kFatal);
  EXPECT_THAT(error.what(), HasSubstr("another replay"));
  EXPECT_EQ(sql(kSuspects), "followers|8|replay");
}

TEST_F(StoreReplay, AnUnfinishedReplayIsNotTakenForOneFromSomewhereElse) {
  PgReplay other(follows_, {options(), "counters"});
  const WorldError error = error_of([&] { begin(other, "42"); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), HasSubstr("--restart"));
  other.drop(std::vector<std::string>{"t"});
  EXPECT_THAT(begin(other, "42"), ElementsAre(::testing::Field(&ReplayPart::next, kNotStarted),
                                              ::testing::Field(&ReplayPart::next, kNotStarted)));
}

TEST_F(StoreReplay, AReplayThatIsThroughIsForgottenAndTheNextBeginsAnew) {
  std::vector<ReplayPart> parts = begin(replay_);
  fold(9, 7);
  replay_.store(fold_.take());
  parts[0].next = Offset(10);
  replay_.finish(parts);
  EXPECT_EQ(sql(kPlaces), "");
  EXPECT_EQ(begin(replay_)[0].next, kNotStarted);
}

TEST_F(StoreReplay, AMemberOfAnotherGroupOrDeclarationCannotReplay) {
  PgReplay stranger(follows_, {options(), "another"});
  EXPECT_EQ(error_of([&] { begin(stranger); }).kind(), ErrorKind::kConfig);
  const Declaration older = small_declaration();
  PgReplay old(older, {options(), "counters"});
  EXPECT_EQ(error_of([&] { begin(old); }).kind(), ErrorKind::kConfig);
}

TEST_F(StoreReplay, TheServicesRoleMayReplay) {
  sql("do $$ begin if not exists (select from pg_roles where rolname = 'replayer') then"
      " create role replayer login; end if; end $$");
  migrate({options(), "counters", "replayer"}, follows_);
  PgReplay replay(follows_, {options_as("replayer"), "counters"});
  std::vector<ReplayPart> parts = begin(replay);
  fold(0, 7);
  replay.store(fold_.take());
  parts[0].next = Offset(1);
  replay.finish(parts);
  EXPECT_EQ(sql(kPlaces), "");
}

}  // namespace
}  // namespace tidemark::testing
