// PgRecount beside PgStore: slices, fences, passes and the ledger, on a real database.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "consumer/store/pg_recount.h"
#include "tests/support/follows_fixture.h"

namespace tidemark::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr milliseconds kPatience{2'000};

using StoreRecount = FollowsTest;

TEST_F(StoreRecount, ANewStateIsSuspectUntilItsFirstPass) {
  sql("insert into public.follows values (1, 7, true), (2, 7, true), (3, 8, false)");
  EXPECT_NE(sql("select count(*) from tidemark.suspect_ranges"), "0");
  first_pass();
  EXPECT_EQ(sql(kFollowers), "7|2");
  EXPECT_EQ(sql("select count(*) from tidemark.suspect_ranges"), "0");
  EXPECT_THAT(drop_all(), IsEmpty()) << "a start is no drift";
}

// The topics aren't there yet, or the group takes its time: the recounter is first.
TEST_F(StoreRecount, APassBeforeTheFirstClaimFindsNoDrift) {
  sql("delete from tidemark.suspect_ranges; delete from tidemark.progress;"
      "update tidemark.turn set started = false, history = null");
  sql("insert into public.follows values (1, 7, true), (2, 7, true)");
  first_pass();
  EXPECT_EQ(sql(kFollowers), "7|2");
  EXPECT_THAT(drop_all(), IsEmpty());
  EXPECT_EQ(sql("select count(*) from tidemark.suspect_ranges"), "0");
  claim();
  EXPECT_NE(sql("select count(*) from tidemark.suspect_ranges"), "0");
}

TEST_F(StoreRecount, AChangeThatARecountSawIsNotCountedAgain) {
  settle();
  const Change seen = follow(1, 7);
  recount_all();
  EXPECT_EQ(sql(kFollowers), "7|1");
  const Change later = follow(2, 7);
  fold(seen);
  fold(later);
  EXPECT_EQ(apply().skipped_changes, 1U);
  EXPECT_EQ(sql(kFollowers), "7|2");
  EXPECT_THAT(drop_all(), IsEmpty()) << "lag is no drift";
  EXPECT_EQ(sql("select count(*) from tidemark.ledger"), "0");
}

// As a whole the batch changes no counter: what is left of it once the fence took its part does.
TEST_F(StoreRecount, ABatchThereAndBackOfWhichTheFenceSawTheHalfCountsTheOther) {
  settle();
  const Change seen = follow(1, 7);
  recount_all();
  EXPECT_EQ(sql(kFollowers), "7|1");
  fold(seen);
  fold(unfollow(1, 7));
  EXPECT_EQ(apply().skipped_changes, 1U);
  EXPECT_EQ(sql(kFollowers), "7|0");
  EXPECT_THAT(drop_all(), IsEmpty());
  recount_all();
  EXPECT_THAT(drop_all(), IsEmpty()) << "nor does the next recount find any";
}

TEST_F(StoreRecount, ABatchThatWasFoldedBeforeTheSliceMeetsItsFence) {
  settle();
  fold(follow(1, 7));
  recount_all();
  EXPECT_EQ(apply().skipped_changes, 1U);
  EXPECT_EQ(sql(kFollowers), "7|1");
}

TEST_F(StoreRecount, ATransactionThatWasOpenAtTheFenceIsCountedWhenItComes) {
  settle();
  PgConnection writer(options());
  PgTransaction open(writer);
  const SqlResult row =
      open.run_sql({"write", ""},
                   "insert into public.follows values (1, 7, true) returning"
                   " pg_current_xact_id()::xid, pg_current_wal_insert_lsn() - '0/0'");
  Change change = follow(2, 9);
  change.tx_id = static_cast<std::uint64_t>(row.integer(0, 0));
  change.after[0] = std::int64_t{1};
  change.after[1] = std::int64_t{7};
  change.position = Position{Lsn(1), Lsn(static_cast<std::uint64_t>(row.integer(0, 1)))};
  recount_all();
  EXPECT_EQ(sql(kFollowers), "9|1");
  fold(change);
  const Delta batch = fold_.take();
  EXPECT_EQ(error_of([&] { store_.apply(batch); }).kind(), ErrorKind::kRetry)
      << "not before its commit is visible";
  open.commit();
  EXPECT_EQ(store_.apply(batch).skipped_changes, 0U);
  EXPECT_EQ(sql(kFollowers), "7|1,9|1");
}

TEST_F(StoreRecount, TheNewestOpenTransactionIsNotTakenForSeen) {
  settle();
  PgConnection writer(options());
  PgTransaction open(writer);  // nothing is committed after it began: a snapshot's xmax is its id
  const SqlResult row =
      open.run_sql({"write", ""},
                   "insert into public.follows values (1, 7, true) returning"
                   " pg_current_xact_id()::xid, pg_current_wal_insert_lsn() - '0/0'");
  recount_all();
  open.commit();
  Change change;
  change.table = TableIndex(0);
  change.op = Op::kCreate;
  change.tx_id = static_cast<std::uint64_t>(row.integer(0, 0));
  change.position = Position{Lsn(1), Lsn(static_cast<std::uint64_t>(row.integer(0, 1)))};
  change.after = {std::int64_t{1}, std::int64_t{7}, true};
  EXPECT_EQ(apply(change).skipped_changes, 0U);
  EXPECT_EQ(sql(kFollowers), "7|1");
}

TEST_F(StoreRecount, APreparedTransactionIsCountedWhenItComes) {
  settle();
  PgConnection writer(options());
  writer.run_alone("begin", "begin");
  const SqlResult row =
      writer.run_alone("write",
                       "insert into public.follows values (1, 7, true) returning"
                       " pg_current_xact_id()::xid, pg_current_wal_insert_lsn() - '0/0'");
  writer.run_alone("prepare", "prepare transaction 'p'");
  recount_all();
  writer.run_alone("commit", "commit prepared 'p'");
  Change change;
  change.table = TableIndex(0);
  change.op = Op::kCreate;
  change.tx_id = static_cast<std::uint64_t>(row.integer(0, 0));
  change.position = Position{Lsn(1), Lsn(static_cast<std::uint64_t>(row.integer(0, 1)))};
  change.after = {std::int64_t{1}, std::int64_t{7}, true};
  apply(change);
  EXPECT_EQ(sql(kFollowers), "7|1");
}

TEST_F(StoreRecount, DriftIsReportedOnceWithItsExactSizeWhileEventsAreOnTheirWay) {
  settle();
  apply(follow(1, 7));
  sql("update public.aggregate_user set followers = followers + 10 where user_id = 7");
  const Change coming = follow(2, 7);
  recount_all();
  EXPECT_EQ(sql(kFollowers), "7|2");
  apply(coming);
  EXPECT_EQ(sql(kFollowers), "7|2");
  const std::vector<DriftRow> drift = drop_all();
  ASSERT_EQ(drift.size(), 1U);
  EXPECT_EQ(drift[0].aggregate, "public.aggregate_user");
  EXPECT_EQ(drift[0].counter, "followers");
  EXPECT_EQ(drift[0].key, "7");
  EXPECT_EQ(drift[0].difference, -10);
  recount_all();
  EXPECT_THAT(drop_all(), IsEmpty()) << "it was said already";
}

// A row of the ledger waits for the newest fence, also when that recount found the cell right.
TEST_F(StoreRecount, LagThatTwoRecountsSawIsNoDriftWhenTheFirstFenceGoes) {
  settle();
  const Change first = follow(1, 7);
  recount_all();
  const std::int64_t fence = recount_.fences().front().id;
  Change gone = follow(2, 7);  // its transaction and place serve the delete of row 1
  sql("delete from public.follows where id = 1");
  gone.op = Op::kDelete;
  gone.before = first.after;
  gone.after.clear();
  recount_all();
  EXPECT_EQ(sql(kFollowers), "7|1");
  fold(first);
  fold(gone);
  apply();
  EXPECT_THAT(recount_.drop_fences(std::vector{fence}), IsEmpty());
}

TEST_F(StoreRecount, ARepairOfASuspectCellIsNoDrift) {
  settle();
  const Change change = follow(1, 7);
  apply(change);
  apply(change);  // redelivered: not new
  EXPECT_EQ(sql("select counter, key, cause from tidemark.suspects"), "followers|7|not_new");
  sql("update public.aggregate_user set followers = 99 where user_id = 7");
  const auto keys = recount_.suspect_keys(10);
  ASSERT_TRUE(keys.has_value());
  EXPECT_THAT(keys->keys, ElementsAre("7"));
  recount_key("7");
  EXPECT_EQ(sql(kFollowers), "7|1");
  EXPECT_EQ(sql("select count(*) from tidemark.suspects"), "0");
  EXPECT_THAT(drop_all(), IsEmpty());
}

TEST_F(StoreRecount, ASliceTakesSomeKeysOfALongListWithAllTheirCounters) {
  settle();
  sql("insert into tidemark.suspects (aggregate, counter, key, cause)"
      " select 'public.aggregate_user', c, k, 'not_new'"
      " from unnest(array['followers', 'another']) as c, unnest(array['9', '7', '8']) as k");
  const auto keys = recount_.suspect_keys(2);
  ASSERT_TRUE(keys.has_value());
  EXPECT_THAT(keys->keys, ElementsAre("7", "8"));
  recount_key("7");
  EXPECT_EQ(sql("select key || ' ' || count(*) from tidemark.suspects group by key order by key"),
            "8 2,9 2");
}

TEST_F(StoreRecount, AnEventThatProvesNothingAfterARequestMakesItARepair) {
  settle();
  const Change change = follow(1, 7);
  apply(change);
  const std::vector<std::string> asked{"7"};
  recount_.request(AggregateIndex(kUsers), asked);
  sql("update public.aggregate_user set followers = 99 where user_id = 7");
  apply(change);  // redelivered: not new
  recount_key("7");
  EXPECT_EQ(sql(kFollowers), "7|1");
  EXPECT_THAT(drop_all(), IsEmpty());
}

TEST_F(StoreRecount, WhatARequestFindsIsDrift) {
  settle();
  apply(follow(1, 7));
  sql("update public.aggregate_user set followers = 99 where user_id = 7");
  const std::vector<std::string> asked{"7"};
  recount_.request(AggregateIndex(kUsers), asked);
  recount_key("7");
  EXPECT_EQ(recount_.requests_left(AggregateIndex(kUsers)), 0U);
  const std::vector<DriftRow> drift = drop_all();
  ASSERT_EQ(drift.size(), 1U);
  EXPECT_EQ(drift[0].difference, -98);
}

TEST_F(StoreRecount, ARowThatAnotherWriterHoldsStaysSuspectAndIsNotWaitedFor) {
  settle();
  sql("insert into public.aggregate_user (user_id) values (7), (8)");
  sql("insert into public.follows values (1, 7, true), (2, 8, true)");
  PgConnection other(options());
  PgTransaction holder(other);
  holder.run_sql({"hold", ""}, "update public.aggregate_user set score = 1 where user_id = 7");
  EXPECT_EQ(recount_all().held, 1U);
  EXPECT_EQ(sql(kFollowers), "7|0,8|1");
  EXPECT_EQ(sql("select distinct key, cause from tidemark.suspects"), "7|locked");
  holder.commit();
  recount_key("7");
  EXPECT_EQ(sql(kFollowers), "7|1,8|1");
  EXPECT_EQ(sql("select score from public.aggregate_user where user_id = 7"), "1");
}

// The event that would have had it looked up is lost.
TEST_F(StoreRecount, WhatIsLookedUpIsMadeRightThoughNoCounterDiffers) {
  settle();
  sql("insert into public.aggregate_playlist (playlist_id) values (4), (5), (6);"
      "insert into public.playlists values (4, 'a', true, true), (5, 'b', false, true)");
  const AggregateIndex playlists(kPlaylists);
  EXPECT_EQ(recount_.recount(playlists, KeySet{.listed = {{"4"}}}, kPatience, nullptr).corrected,
            1U);
  EXPECT_EQ(recount_.recount(playlists, {}, kPatience, nullptr).corrected, 1U);
  EXPECT_EQ(sql("select playlist_id, is_album from public.aggregate_playlist order by 1"),
            "4|t,5|f,6|null");
  EXPECT_EQ(recount_.recount(playlists, {}, kPatience, nullptr).corrected, 0U);
  EXPECT_THAT(drop_all(), IsEmpty());
}

TEST_F(StoreRecount, ABatchKeepsTheTurnUntilItIsDone) {
  settle();
  PgConnection batch(options());
  PgTransaction shared(batch);
  shared.run_sql({"turn", ""}, "select pg_advisory_xact_lock_shared(8388346167862588014)");
  EXPECT_FALSE(recount_.recount(AggregateIndex(kUsers), {}, milliseconds(20), nullptr).taken);
  shared.commit();
  EXPECT_TRUE(recount_all().taken);
}

TEST_F(StoreRecount, ABatchWaitsWhileASliceHasTheTurn) {
  settle();
  PgConnection slice(options());
  PgTransaction alone(slice);
  alone.run_sql({"turn", ""}, "select pg_advisory_xact_lock(8388346167862588014)");
  fold(follow(1, 7));
  const Delta batch = fold_.take();
  PgStoreOptions hasty = store_options();
  hasty.pg.lock_timeout = milliseconds(50);
  hasty.recounted = true;
  PgStore impatient(follows_, hasty);
  EXPECT_EQ(error_of([&] { impatient.apply(batch); }).sqlstate(), "55P03");
  alone.commit();
  EXPECT_EQ(store_.apply(batch).outcome, ApplyOutcome::kApplied);
  EXPECT_EQ(sql(kFollowers), "7|1");
}

// Another has the turn, and nothing is written.
TEST_F(StoreRecount, ARehearsalNeedsNoTurnAndChangesNothing) {
  settle();
  sql("insert into public.follows select i, 7, true from generate_series(1, 30) as i");
  PgConnection batch(options());
  PgTransaction alone(batch);
  alone.run_sql({"turn", ""}, "select pg_advisory_xact_lock(8388346167862588014)");
  EXPECT_GT(recount_.rehearse(AggregateIndex(kUsers), KeySet{}).count(), 0);
  recount_.rehearse(AggregateIndex(kUsers), KeySet{.listed = {{"7"}}});
  alone.roll_back();
  EXPECT_EQ(sql("select count(*) from tidemark.fences"), "0");
  EXPECT_EQ(sql(kFollowers), "");
  EXPECT_TRUE(recount_all().taken);
  EXPECT_EQ(sql(kFollowers), "7|30");
}

TEST_F(StoreRecount, APassGoesOnWhereAnotherMemberLeftIt) {
  settle();
  sql("insert into public.follows select i, i, true from generate_series(1, 30) as i");
  const AggregateIndex users(kUsers);
  const Pass pass = recount_.begin_pass("command", std::vector{users});
  move(pass, 10);
  PgRecount other(follows_, {options(), "no_such_slot"});
  const auto found = other.current_pass();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, pass.id);
  EXPECT_EQ(found->slices, 1U);
  ASSERT_TRUE(found->next_key.has_value());
  EXPECT_EQ(sql("select max(user_id) from public.aggregate_user"),
            std::to_string(std::stoi(*found->next_key) - 1));
  first_pass();
  EXPECT_EQ(sql("select count(*), min(followers), max(followers) from public.aggregate_user"),
            "30|1|1");
}

TEST_F(StoreRecount, ACounterThatBecomesSuspectDuringAPassGetsAnotherOne) {
  settle();
  const AggregateIndex users(kUsers);
  const Pass pass = recount_.begin_pass("command", std::vector{users});
  sql("insert into tidemark.suspect_ranges (aggregate, counter, cause)"
      " values ('public.aggregate_user', 'followers', 'truncate')");
  move(pass);
  EXPECT_FALSE(recount_.current_pass().has_value());
  EXPECT_EQ(sql("select count(*) from tidemark.suspect_ranges"), "1");
  first_pass();
  EXPECT_EQ(sql("select count(*) from tidemark.suspect_ranges"), "0");
}

TEST_F(StoreRecount, OnAnotherDatabaseHistoryNothingOldIsTrusted) {
  settle();
  apply(follow(1, 7));
  recount_all();
  sql("update tidemark.turn set history = 'another/00000001'");
  EXPECT_EQ(apply(follow(2, 7)).outcome, ApplyOutcome::kFenced);
  claim();
  EXPECT_EQ(sql("select count(*) from tidemark.fences"), "0");
  EXPECT_EQ(sql("select count(distinct cause) from tidemark.suspect_ranges"), "1");
  EXPECT_TRUE(recount_.unsettled());
  apply(follow(3, 7));
  EXPECT_EQ(sql(kFollowers), "7|1") << "changes only touch";
  const std::vector<StoredOffset> ends{{at(0), Offset(next_)}};
  recount_.settle(ends);
  EXPECT_FALSE(recount_.unsettled());
  claim();
  first_pass();
  EXPECT_EQ(sql(kFollowers), "7|3");
  apply(follow(4, 7));
  EXPECT_EQ(sql(kFollowers), "7|4") << "and count again from the ends on";
}

TEST_F(StoreRecount, OneRecounterLeads) {
  PgRecount other(follows_, {options(), "no_such_slot"});
  EXPECT_TRUE(recount_.lead());
  EXPECT_TRUE(recount_.lead());
  EXPECT_FALSE(other.lead());
}

}  // namespace
}  // namespace tidemark::testing
