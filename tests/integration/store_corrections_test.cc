// What sweeps correct: a repair, lag that a change explains, or drift (DESIGN 5, C3).
#include <gmock/gmock.h>

#include <future>

#include "consumer/store/admin.h"
#include "consumer/store/pg_recount.h"
#include "tests/integration/derive_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kCompleted =
    "select challenge_id, user_id from public.user_challenges where is_complete order by 1, 2";

class StoreCorrections : public StoreDerive {
 protected:
  // The rules have been declared for long, and a row is written whose change nobody tells of.
  void SetUp() override {
    sql("insert into public.indexing_checkpoints select 'challenges:' || id || ':last_blocknumber',"
        " 0 from public.challenges");
    migrate_app();
    sweep_periodically();
  }

  // Each rule's walk by its schedule, and what it marks.
  void sweep_periodically() {
    while (derive_.sweep(milliseconds(0))) {
    }
    derive_all();
    sql("update tidemark.sweeps set begun_at = now() - interval '1 day'");
    while (derive_.sweep(milliseconds(3'600'000))) {
    }
    derive_all();
  }
  // Until there is such a row.
  void await(const std::string& rows) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (sql("select exists (" + rows + ")") != "t") {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << rows;
    }
  }
  std::string corrections() {
    return sql(
        "select rule, users, specifier, was->>'current_step_count',"
        " became->>'current_step_count' from tidemark.corrections order by id");
  }
  // As when all that lay below their LSN is applied.
  std::vector<DriftRow> all_arrives() {
    std::vector<std::int64_t> ids;
    for (const OutstandingFence& correction : recount_.corrections()) ids.push_back(correction.id);
    return recount_.drop_corrections(ids);
  }

  PgRecount recount_{app_, {options(), "no_such_slot"}};
};

TEST_F(StoreCorrections, WhatNoChangeExplainsIsDriftAndIsListedWithWhatItWas) {
  installs(1);
  EXPECT_THAT(all_arrives(), IsEmpty()) << "nothing has been corrected";
  sweep_periodically();
  EXPECT_EQ(corrections(), "m|{1}|1|null|1");
  EXPECT_EQ(sql("select count(*) from tidemark.drift"), "0") << "its change may be on its way";
  ASSERT_THAT(all_arrives(), SizeIs(1));
  EXPECT_EQ(corrections(), "");
  Admin admin(options());
  const std::vector<DriftRow> listed = admin.list_drift(10);
  ASSERT_THAT(listed, SizeIs(1));
  EXPECT_EQ(listed[0].aggregate, "public.user_challenges");
  EXPECT_EQ(listed[0].counter, "m");
  EXPECT_EQ(listed[0].key, "1");
  EXPECT_EQ(listed[0].was, std::nullopt);
  EXPECT_EQ(listed[0].became,
            "{\"is_complete\": true, \"current_step_count\": 1, \"completed_blocknumber\": 50}");
  EXPECT_EQ(sql("select fence, offsets is null from tidemark.drift"), "null|t");
}

TEST_F(StoreCorrections, ARowThatStoodIsListedAsItWas) {
  sql("insert into public.tracks (track_id, owner_id, is_current, is_delete, created_at,"
      " updated_at, blocknumber) values (1, 31, true, false, now(), now(), 50)");
  mark("u", {31});
  derive_all();
  sql("insert into public.tracks (track_id, owner_id, is_current, is_delete, created_at,"
      " updated_at, blocknumber) values (2, 31, true, false, now(), now(), 51)");
  sweep_periodically();
  EXPECT_EQ(corrections(), "u|{31}|1f|1|2");
  const std::vector<DriftRow> drift = all_arrives();
  ASSERT_THAT(drift, SizeIs(1));
  EXPECT_EQ(drift[0].found, 1);
  EXPECT_EQ(drift[0].expected, 2);
  EXPECT_EQ(drift[0].difference, 1);
}

TEST_F(StoreCorrections, AChangeThatComesAfterwardsWasOnlyLate) {
  installs(1);
  installs(2);
  sweep_periodically();
  EXPECT_EQ(corrections(), "m|{1}|1|null|1,m|{2}|2|null|1");
  mark("u", {1, 2});
  EXPECT_EQ(corrections(), "m|{1}|1|null|1,m|{2}|2|null|1") << "a change for another rule";
  mark("m", {1});
  EXPECT_EQ(sql("select count(*) from tidemark.dirty where user_id = 1 and 'm' = any(rules)"), "0")
      << "the challenge is complete: no mark was needed";
  EXPECT_EQ(corrections(), "m|{2}|2|null|1");
}

TEST_F(StoreCorrections, WhatAChangeHadMarkedIsNoFindOfTheSweep) {
  installs(1);
  mark("m", {1});
  sweep_periodically();
  EXPECT_EQ(sql(kCompleted), "m|1");
  EXPECT_EQ(corrections(), "");
}

TEST_F(StoreCorrections, ASweepThatLostDataAskedForRepairs) {
  installs(1);
  ASSERT_TRUE(store_.record_data_loss(at(0), epoch(), "purged"));
  sweep_periodically();
  EXPECT_EQ(sql(kCompleted), "m|1");
  EXPECT_EQ(corrections(), "");
}

TEST_F(StoreCorrections, WhatWaitsWhenDataAreLostIsARepairToo) {
  installs(1);
  sweep_periodically();
  EXPECT_EQ(corrections(), "m|{1}|1|null|1");
  ASSERT_TRUE(store_.record_data_loss(at(0), epoch(), "purged"));
  EXPECT_THAT(all_arrives(), IsEmpty());
  EXPECT_EQ(corrections(), "");
}

TEST_F(StoreCorrections, APaidUserWhoIsNotTheActorIsExplainedByTheActorsChange) {
  sql("update public.challenges set active = true");
  profile(1, true);
  sql("insert into public.tracks (track_id, owner_id, is_current, is_delete, created_at,"
      " updated_at, blocknumber) values (1, 1, true, false, now(), now(), 50),"
      " (2, 7, true, false, now(), now(), 50);"
      "insert into public.remixes values (1, 2);"
      "insert into public.reposts (user_id, repost_item_id, repost_type, is_current, is_delete,"
      " created_at, blocknumber) values (1, 2, 'track', true, false, now(), 50)");
  sweep_periodically();
  EXPECT_EQ(sql("select specifier, 1 = any(users) from tidemark.corrections where rule = 'cs'"),
            "1:2|t");
  EXPECT_EQ(sql("select user_id from public.user_challenges where challenge_id = 'cs'"), "7");
  mark("cs", {2}, 60);
  EXPECT_EQ(sql("select count(*) from tidemark.corrections where rule = 'cs'"), "0");
}

// A batch that waits for the user who is being derived sees what that one corrected.
TEST_F(StoreCorrections, AChangeThatComesInTheMidstOfTheDerivationExplainsIt) {
  installs(1);
  sql("update tidemark.sweeps set begun_at = now() - interval '1 day'");
  while (derive_.sweep(milliseconds(3'600'000))) {
  }
  sql("create function public.wait_a_moment() returns trigger language plpgsql as"
      " $$ begin perform pg_advisory_xact_lock(1); return new; end $$;"
      "create trigger wait_a_moment before insert on public.user_challenges for each row"
      " execute function public.wait_a_moment()");
  PgConnection held(options());
  PgTransaction gate(held);
  gate.run_sql({"hold", ""}, "select pg_advisory_xact_lock(1)");
  const Delta late = dirty("m", {1});
  std::future<void> deriving = std::async(std::launch::async, [this] { derive_.derive(); });
  await("select from pg_locks where not granted and locktype = 'advisory'");
  std::future<void> marking = std::async(std::launch::async, [&] { store_.apply(late); });
  await("select from pg_locks where not granted and locktype <> 'advisory'");
  gate.commit();
  EXPECT_NO_THROW(deriving.get());
  EXPECT_NO_THROW(marking.get());
  EXPECT_EQ(sql(kCompleted), "m|1");
  EXPECT_EQ(corrections(), "");
}

}  // namespace
}  // namespace tidemark::testing
