// migrate: versions, checksums, groups, declarations, and the service's rights.
#include "consumer/store/migrate.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/support/pg_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Migrate : public StoreTest {
 protected:
  MigrateResult run() { return migrate({options(), "counters", ""}, declaration_); }
  MigrateResult run(const std::vector<Migration>& migrations) {
    return migrate({options(), "counters", ""}, declaration_, migrations);
  }
  static std::string known() { return std::to_string(embedded_migrations().size()); }
  static std::vector<Migration> with(std::string_view extra) {
    std::vector<Migration> migrations = embedded_migrations();
    migrations.push_back({static_cast<int>(migrations.size()) + 1, "extra.sql", extra});
    return migrations;
  }
};

TEST_F(Migrate, TwiceChangesNothing) {
  EXPECT_THAT(run().applied, ElementsAre("0001_state.sql", "0002_recount.sql", "0003_replay.sql",
                                         "0004_rebuild.sql", "0005_milestones.sql",
                                         "0006_dirty.sql", "0007_corrections.sql",
                                         "0008_suspect_keys.sql", "0009_booked.sql"));
  const std::string before = sql("select * from tidemark.state");
  const MigrateResult again = run();
  EXPECT_THAT(again.applied, IsEmpty());
  EXPECT_FALSE(again.declaration_changed);
  EXPECT_EQ(sql("select * from tidemark.state"), before);
  EXPECT_EQ(sql("select count(*) from tidemark.suspect_ranges"), "0");
}

TEST_F(Migrate, TwoAtOnceTakeTurns) {
  std::thread other([&] { run(); });
  run();
  other.join();
  EXPECT_EQ(sql("select count(*) from tidemark.migrations"), known());
}

TEST_F(Migrate, EveryTableAndColumnIsExplained) {
  run();
  EXPECT_EQ(sql("select c.relname || '.' || a.attname from pg_class c"
                " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not attisdropped"
                " where c.relnamespace = 'tidemark'::regnamespace and c.relkind = 'r'"
                " and (col_description(c.oid, a.attnum) is null"
                "      or obj_description(c.oid, 'pg_class') is null)"),
            "");
}

TEST_F(Migrate, LaterMigrationIsAppliedAndRaisesTheVersion) {
  run();
  EXPECT_THAT(run(with("create table tidemark.more ()")).applied, ElementsAre("extra.sql"));
  EXPECT_EQ(sql("select schema_version - 1 from tidemark.state"), known());
  PgStore older(declaration_, store_options());
  EXPECT_EQ(error_of([&] { claim_one(older); }).kind(), ErrorKind::kConfig);
}

TEST_F(Migrate, FailedMigrationLeavesNothing) {
  run();
  error_of([&] { run(with("create table tidemark.more (); select 1/0")); });
  EXPECT_EQ(sql("select to_regclass('tidemark.more') is null"), "t");
  EXPECT_EQ(sql("select schema_version from tidemark.state"), known());
}

TEST_F(Migrate, IndexIsMadeConcurrentlyOutsideOfATransaction) {
  run();
  run(
      with("-- tidemark: no-transaction\n"
           "create index concurrently if not exists more on tidemark.parked (parked_at)"));
  EXPECT_EQ(sql("select to_regclass('tidemark.more') is not null"), "t");
}

TEST_F(Migrate, NewerStateIsRefused) {
  run(with("create table tidemark.more ()"));
  const WorldError error = error_of([&] { run(); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), HasSubstr("newer binary"));
}

TEST_F(Migrate, ChangedMigrationIsRefused) {
  run(with("create table tidemark.more ()"));
  const WorldError error = error_of([&] { run(with("create table tidemark.other ()")); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), HasSubstr("extra.sql"));
}

TEST_F(Migrate, SecondGroupIsRefused) {
  run();
  const WorldError error = error_of([&] { migrate({options(), "another", ""}, declaration_); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
}

TEST_F(Migrate, ChangedDeclarationFencesMembersAndMakesTheNewCounterSuspect) {
  run();
  PgStore member(declaration_, store_options());
  const Epoch epoch = claim_one(member);
  const Declaration old = declaration_;
  sql("alter table public.aggregate_tag add column likes bigint default 0");
  declaration_.aggregates[kTags].counters.push_back({"likes"});
  const MigrateResult result = run();
  EXPECT_TRUE(result.declaration_changed);
  EXPECT_THAT(result.new_counters, ElementsAre("public.aggregate_tag.likes"));
  EXPECT_EQ(sql("select aggregate, counter, cause from tidemark.suspect_ranges"),
            "public.aggregate_tag|likes|new_counter");
  EXPECT_EQ(member.apply(DeltaBuilder(old).advance(epoch, -1, 5).build()).outcome,
            ApplyOutcome::kFenced);
  EXPECT_EQ(sql("select next_offset from tidemark.progress"), "-1");
}

TEST_F(Migrate, CounterThatCountsSomethingElseIsSuspect) {
  run();
  Table& playlists = declaration_.tables[0];
  playlists.contributions.push_back(
      {AggregateIndex(kUsers), CounterIndex(0), ColumnIndex(0), Predicate{}});
  EXPECT_THAT(run().new_counters, ElementsAre("public.aggregate_user.followers"));
}

TEST_F(Migrate, CounterThatCameBackIsSuspectAgain) {
  run();
  const Declaration full = declaration_;
  declaration_.aggregates[kUsers].counters.pop_back();
  EXPECT_THAT(run().new_counters, IsEmpty());
  declaration_ = full;
  EXPECT_THAT(run().new_counters, ElementsAre("public.aggregate_user.badges"));
}

TEST_F(Migrate, UnknownServiceRoleIsNamed) {
  const WorldError error = error_of([&] {
    migrate({options(), "counters", "nosuch"}, declaration_);
  });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), HasSubstr("nosuch"));
}

}  // namespace
}  // namespace tidemark::testing
