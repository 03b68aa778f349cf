// Milestones that recounts find crossed, and the rights and tables that announcing needs.
#include "consumer/store/catalog.h"
#include "consumer/store/grants.h"
#include "tests/integration/milestone_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class StoreMilestonesRecount : public MilestoneTest {
 protected:
  std::vector<std::string> told(PgConnection& connection) {
    Declaration declaration = app();
    std::vector<std::string> lines;
    for (const CatalogProblem& problem : check_catalog(connection, declaration)) {
      lines.push_back(problem.table + "." + problem.column + ": " + problem.found);
    }
    return lines;
  }
};

// --- recounts -----------------------------------------------------------------------------------

TEST_F(StoreMilestonesRecount, ARecountThatRaisesACellAnnouncesWithTheNewestRow) {
  repost_unseen(1, 9);
  settle();
  repost_unseen(10, 26);
  recount_track();
  EXPECT_EQ(milestones(),
            "9|TRACK_REPOST_COUNT|10|26|1026|1970-01-01 00:00:26,"
            "9|TRACK_REPOST_COUNT|25|26|1026|1970-01-01 00:00:26");
  EXPECT_EQ(notifications(),
            "77|milestone:TRACK_REPOST_COUNT:id:9:threshold:10|milestone|null|26|"
            "1970-01-01 00:00:26|{\"type\": \"TRACK_REPOST_COUNT\", \"track_id\": 9, "
            "\"threshold\": 10}|{77},"
            "77|milestone:TRACK_REPOST_COUNT:id:9:threshold:25|milestone|null|26|"
            "1970-01-01 00:00:26|{\"type\": \"TRACK_REPOST_COUNT\", \"track_id\": 9, "
            "\"threshold\": 25}|{77}");
}

TEST_F(StoreMilestonesRecount, OnlyActiveRowsOfTheCounterAreLookedAtForTheNewest) {
  repost_unseen(1, 9);
  settle();
  repost_unseen(10, 11);
  repost(12);
  sql("update public.reposts set is_delete = true where user_id = 12");
  create("reposts", {{"user_id", 13},
                     {"repost_item_id", 9},
                     {"repost_type", "album"},
                     {"created_at", 99'000'000},
                     {"blocknumber", 99}});
  recount_track();
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 11");
}

TEST_F(StoreMilestonesRecount, TheNewestRowsUserDecides) {
  repost_unseen(1, 9);
  settle();
  sql("insert into public.aggregate_user (user_id, score) values (10, -1)");
  repost(10);
  recount_track();
  EXPECT_EQ(milestones(), "");
}

TEST_F(StoreMilestonesRecount, TheFirstRecountAnnouncesNothing) {
  repost_unseen(1, 30);
  recount_track();  // by name, before the pass comes along
  EXPECT_EQ(reposts(), "30");
  settle();
  EXPECT_EQ(milestones(), "");
}

TEST_F(StoreMilestonesRecount, APassBeforeTheFirstClaimAnnouncesNothing) {
  sql("delete from tidemark.suspect_ranges; update tidemark.turn set started = false");
  repost_unseen(1, 30);
  settle();
  EXPECT_EQ(reposts(), "30");
  EXPECT_EQ(milestones(), "");
}

TEST_F(StoreMilestonesRecount, WhatTheRecountAnnouncedItsEventsDontAnnounceAgain) {
  repost_unseen(1, 9);
  settle();
  const Change tenth = repost(10);
  const Change eleventh = repost(11);
  recount_track();
  apply({tenth, eleventh});
  EXPECT_EQ(reposts(), "11");
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 11");
  EXPECT_EQ(sql("select last_value from public.notification_id_seq"), "1");
}

// A first pass over millions of rows takes long: what it has been at announces at once.
TEST_F(StoreMilestonesRecount, BehindTheFirstPassCellsAnnounceAndBeforeItTheyDont) {
  const auto repost_track = [&](int track, int user) {
    Fields fields = repost_of(user);
    fields[1] = {"repost_item_id", track};
    return create("reposts", fields);
  };
  sql("insert into public.tracks (track_id, owner_id, is_current, is_delete, created_at,"
      " updated_at) values (100, 76, true, false, now(), now())");
  for (int user = 1; user <= 9; ++user) {
    repost_track(9, user);
    repost_track(100, user);
  }
  while (true) {  // up to key 10 of aggregate_track
    auto pass = recount_.current_pass();
    if (!pass) pass = recount_.begin_due_pass(std::chrono::milliseconds(3'600'000));
    ASSERT_TRUE(pass.has_value());
    const std::string name = app().aggregate(pass->aggregate).name.name;
    const bool there = name == "aggregate_track";
    recount(name, there ? KeySet{.to = "10"} : KeySet{.from = pass->next_key}, &*pass);
    if (there) break;
  }
  sql("insert into public.aggregate_track (track_id, repost_count) values (100, 9)");
  apply({repost_track(9, 10), repost_track(100, 10)});
  EXPECT_EQ(sql("select id, threshold from public.milestones"), "9|10");
  settle();
  EXPECT_EQ(sql("select track_id, repost_count from public.aggregate_track order by 1"),
            "9|10,100|10");
  EXPECT_EQ(sql("select id, threshold from public.milestones"), "9|10");
}

TEST_F(StoreMilestonesRecount, WhatIsSuspectAsAWholeAnnouncesWhenThePassComes) {
  repost_unseen(1, 9);
  settle();
  sql("insert into tidemark.suspect_ranges (aggregate, counter, cause)"
      " values ('public.aggregate_track', 'repost_count', 'data_loss')");
  apply({repost(10)});
  EXPECT_EQ(milestones(), "");
  settle();
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
}

TEST_F(StoreMilestonesRecount, ARowThatAnotherWriterHoldsIsAnnouncedWhenItIsRecounted) {
  repost_unseen(1, 9);
  settle();
  repost(10);
  PgConnection other(options());
  PgTransaction holder(other);
  holder.run_sql({"hold", ""}, "select from public.aggregate_track where track_id = 9 for update");
  EXPECT_EQ(recount_track().held, 1U);
  EXPECT_EQ(milestones(), "");
  holder.commit();
  recount_track();
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
}

TEST_F(StoreMilestonesRecount, ARecountThatLowersAnnouncesNothing) {
  repost_unseen(1, 12);
  settle();
  sql("update public.aggregate_track set repost_count = 30");
  recount_track();
  EXPECT_EQ(reposts(), "12");
  EXPECT_EQ(milestones(), "");
}

// --- rights and tables --------------------------------------------------------------------------

TEST_F(StoreMilestonesRecount, TheServicesRoleCanAnnounceWithThePrintedGrantsAlone) {
  const std::string role = "milestone_run";
  sql("do $$ begin if not exists (select from pg_roles where rolname = 'milestone_run') then"
      " create role milestone_run login; end if; end $$");
  sql(grants_sql(app(), role) + state_grants_sql(role));
  PgConnection as_role(options_as(role));
  EXPECT_THAT(told(as_role), IsEmpty());
  repost_unseen(1, 9);
  settle();
  PgStoreOptions options = recounted();
  options.pg = options_as(role);
  PgStore least(app(), options);
  claim(least);
  apply({repost(10)});
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
}

TEST_F(StoreMilestonesRecount, WhatAnnouncingLacksIsToldWithTableAndColumn) {
  EXPECT_THAT(told(superuser_), IsEmpty());
  sql("alter table public.milestones rename to gone");
  EXPECT_THAT(told(superuser_),
              ElementsAre("public.milestones.: no such table", "public.milestones.: no such table",
                          "public.milestones.: no such table"))
      << "of three aggregates";
  sql("alter table public.gone rename to milestones;"
      "alter table public.aggregate_user drop column score");
  EXPECT_EQ(told(superuser_).at(0), "public.aggregate_user.score: no such column");
  sql("alter table public.aggregate_user add column score integer default 0;"
      "alter table public.milestones drop column slot");
  EXPECT_THAT(told(superuser_).at(0), ::testing::HasSubstr("column \"slot\""));
}

TEST_F(StoreMilestonesRecount, AMissingRightIsToldBeforeItStopsABatch) {
  const std::string role = "milestone_less";
  sql("do $$ begin if not exists (select from pg_roles where rolname = 'milestone_less') then"
      " create role milestone_less login; end if; end $$");
  sql(grants_sql(app(), role) + state_grants_sql(role));
  sql("revoke usage on sequence public.notification_id_seq from milestone_less;"
      "revoke insert on public.milestones from milestone_less");
  PgConnection as_role(options_as(role));
  const std::vector<std::string> lines = told(as_role);
  ASSERT_EQ(lines.size(), 6U) << "two for each aggregate";
  EXPECT_EQ(lines[0], "public.milestones.id: the current role may not insert");
  EXPECT_EQ(lines[1], "public.notification_id_seq.: the current role may not use it");
}

}  // namespace
}  // namespace tidemark::testing
