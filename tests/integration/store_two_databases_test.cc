// Source and target in two databases, on two servers (DESIGN F10): ids, the log and the rows are
// the source's, cells and fences the target's.
#include <gmock/gmock.h>

#include <functional>
#include <string>
#include <vector>

#include "consumer/store/catalog.h"
#include "consumer/store/grants.h"
#include "consumer/store/source_database.h"
#include "tests/support/follows_fixture.h"
#include "tests/support/scratch_postgres.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

PgOptions source() {
  PgOptions options;
  options.connection = ScratchPostgres::another().make_database("source");
  return options;
}

class TwoDatabases : public FollowsTest {
 protected:
  TwoDatabases() : TwoDatabases(source()) {}

  PgOptions source_;

 private:
  explicit TwoDatabases(const PgOptions& options) : FollowsTest(options), source_(options) {}
};

TEST_F(TwoDatabases, ARecountAndTheStreamAgreeThoughRowsAndCellsAreApart) {
  apply(follow(1, 7));
  const Change counted_ahead = follow(2, 7);
  settle();  // the first pass sees it
  EXPECT_EQ(sql(kFollowers), "7|2");
  recount_all();
  const ApplyResult late = apply(counted_ahead);
  EXPECT_EQ(late.skipped_changes, 1U);
  apply(follow(3, 7));
  apply(follow(4, 8));
  EXPECT_EQ(sql(kFollowers), "7|3,8|1");
}

TEST_F(TwoDatabases, APassWalksOverKeysThatOnlyOneOfThemHas) {
  for (int user = 10; user < 30; ++user) follow(user, user);
  sql("insert into public.aggregate_user (user_id, followers) values (5, 3), (99, 4)");
  while (const auto pass = pass_in_hand()) move(*pass, 3);
  EXPECT_EQ(sql("select count(*), sum(followers) from public.aggregate_user where user_id between"
                " 10 and 29"),
            "20|20");
  EXPECT_EQ(sql("select user_id, followers from public.aggregate_user where user_id in (5, 99)"
                " order by 1"),
            "5|0,99|0");
}

TEST_F(TwoDatabases, ABatchWaitsForWhatTheSourceDoesNotShowYet) {
  settle();
  PgConnection writer(source_);
  PgTransaction open(writer);
  const SqlResult id = open.run_sql({"take an id", ""}, "select pg_current_xact_id()::text");
  Change change = follow(1, 7);
  change.tx_id = static_cast<std::uint64_t>(id.integer(0, 0));
  fold(change);
  EXPECT_EQ(error_of([&] { apply(); }).kind(), ErrorKind::kRetry);
}

TEST_F(TwoDatabases, WhatIsLookedUpIsReadWhereItsTableIs) {
  settle();
  rows_sql("insert into public.playlists values (4, 'a', true, true), (5, 'b', false, true)");
  const Epoch epoch = store_.claim(std::vector{at(1)})[0].epoch;
  store_.apply(DeltaBuilder(follows_)
                   .row(kPlaylists, 4, {1, 0})
                   .row(kPlaylists, 5, {0, 2})
                   .row(kPlaylists, 6, {3, 0})
                   .advance(epoch, -1, 9, 1)
                   .build());
  EXPECT_EQ(sql("select * from public.aggregate_playlist order by 1"),
            "4|t|1|0,5|f|0|2,6|null|3|0");
  rows_sql("update public.playlists set is_album = false where playlist_id = 4");
  sql("update public.aggregate_playlist set save_count = 5 where playlist_id = 4");
  recount_.recount(AggregateIndex(kPlaylists), KeySet{}, std::chrono::milliseconds(2'000), nullptr);
  EXPECT_EQ(sql("select * from public.aggregate_playlist where playlist_id = 4"), "4|f|0|0");
  sql("update public.aggregate_playlist set is_album = null where playlist_id = 5");
  recount_.recount(AggregateIndex(kPlaylists), KeySet{}, std::chrono::milliseconds(2'000), nullptr);
  EXPECT_EQ(sql("select * from public.aggregate_playlist order by 1"),
            "4|f|0|0,5|f|0|0,6|null|0|0");
}

TEST_F(TwoDatabases, AFenceIsNotStoredBeforeWhatItCountedIsOnTheSourcesDisk) {
  settle();
  rows_sql("set synchronous_commit = off");
  // One that the source has put to its disk by itself shows nothing.
  std::string on_disk = "t";
  int follows = 0;
  while (on_disk == "t" && follows < 20) {
    const Change change = follow(++follows, 7);
    on_disk = rows_sql("select pg_current_wal_flush_lsn() - '0/0' > " +
                       std::to_string(change.position->lsn.value));
  }
  ASSERT_EQ(on_disk, "f");
  recount_all();
  EXPECT_EQ(sql(kFollowers), "7|" + std::to_string(follows));
  const std::string flushed = rows_sql("select pg_current_wal_flush_lsn() - '0/0'");
  EXPECT_EQ(sql("select bool_and(inserted <= " + flushed + ") from tidemark.fences"), "t");
}

TEST_F(TwoDatabases, AParkedRecordWaitsForTheTransactionsOfTheSource) {
  settle();
  PgConnection writer(source_);
  PgTransaction open(writer);
  open.run_sql({"take an id", ""}, "select pg_current_xact_id()");
  Delta delta = DeltaBuilder(follows_).build();
  delta.suspect_ranges = {{AggregateIndex(kUsers), CounterIndex(0), SuspectCause::kParked}};
  delta.advances = DeltaBuilder(follows_)
                       .advance(store_.claim(std::vector{at(1)})[0].epoch, -1, 1, 1)
                       .build()
                       .advances;
  store_.apply(delta);
  EXPECT_FALSE(recount_.begin_due_pass(std::chrono::milliseconds(3'600'000)));
  open.commit();
  EXPECT_TRUE(recount_.begin_due_pass(std::chrono::milliseconds(3'600'000)));
}

TEST_F(TwoDatabases, AnotherHistoryOfTheSourceIsNoticed) {
  settle();
  apply(follow(1, 7));
  sql("update tidemark.turn set history = '1/00000001'");  // as if the source had been another
  EXPECT_EQ(apply(follow(2, 7)).outcome, ApplyOutcome::kFenced);
  claim();
  EXPECT_EQ(sql("select distinct cause from tidemark.suspect_ranges"), "new_history");
  const std::string history = sql("select history from tidemark.turn");
  EXPECT_EQ(history.substr(0, history.find('/')),
            rows_sql("select system_identifier from pg_control_system()"));
}

// The primary is gone, and nothing has told us yet.
TEST_F(TwoDatabases, AConnectionThatDiedTellsNoHistory) {
  settle();
  apply(follow(1, 7));
  const auto fail_over = [&] {
    rows_sql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where pid <> pg_backend_pid() and datname = current_database()");
    sql("update tidemark.turn set history = 'another/00000001'");
  };
  fail_over();
  fold(follow(2, 7));
  const Delta batch = fold_.take();
  EXPECT_EQ(error_of([&] { store_.apply(batch); }).kind(), ErrorKind::kRetry);
  EXPECT_EQ(store_.apply(batch).outcome, ApplyOutcome::kFenced);
  fail_over();
  EXPECT_EQ(error_of([&] { claim(); }).kind(), ErrorKind::kRetry);
  EXPECT_EQ(sql("select history from tidemark.turn"), "another/00000001");
}

TEST_F(TwoDatabases, VerifyTellsDriftFromLagAcrossThem) {
  settle();
  apply(follow(1, 7));
  apply(follow(2, 8));
  const Change coming = follow(3, 7);
  sql("update public.aggregate_user set followers = 5 where user_id = 8");
  PgVerify verify(follows_, {options(), "no_such_slot", source_});
  const Verdict verdict = verification_of(look(verify), {{coming}}).judge();
  ASSERT_THAT(verdict.drift, SizeIs(1));
  EXPECT_EQ(verdict.drift[0].key, "8");
  EXPECT_EQ(verdict.drift[0].difference, -4);
  EXPECT_EQ(verdict.lagging, 1U);
}

TEST_F(TwoDatabases, EachDatabaseIsCheckedForItsOwnTables) {
  Declaration declaration = follows_;
  PgConnection reader(source_);
  EXPECT_THAT(check_catalog(superuser_, declaration, &reader), IsEmpty());
  rows_sql("drop table public.playlists");
  const std::vector<CatalogProblem> problems = check_catalog(superuser_, declaration, &reader);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].table, "public.playlists");
}

TEST_F(TwoDatabases, RightsAreGrantedWhereTheyAreNeeded) {
  EXPECT_THAT(source_grants_sql(follows_, "service"), HasSubstr("on table \"public\".\"follows\""));
  EXPECT_THAT(source_grants_sql(follows_, "service"), Not(HasSubstr("aggregate_user")));
  EXPECT_THAT(target_grants_sql(follows_, "service"), HasSubstr("aggregate_user"));
  EXPECT_THAT(target_grants_sql(follows_, "service"), Not(HasSubstr("follows\"")));
}

TEST(TwoDatabasesDeclaration, WhatNeedsOneDatabaseIsRefusedByName) {
  Declaration declaration = with_follows();
  EXPECT_EQ(refused_with_a_source(declaration), "");
  declaration.rules.emplace_back();
  EXPECT_THAT(refused_with_a_source(declaration), HasSubstr("[derive] enabled"));
  declaration.rules.clear();
  declaration.aggregates[kUsers].milestones.counters.emplace_back();
  EXPECT_THAT(refused_with_a_source(declaration), HasSubstr("aggregate_user.toml"));
}

}  // namespace
}  // namespace tidemark::testing
