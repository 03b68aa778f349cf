// Recounts, batches and migrations that meet while the declaration changes, or is given in another
// order: what is suspect stays so until those who know it recounted it.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "consumer/store/migrate.h"
#include "consumer/store/pg_recount.h"
#include "tests/support/follows_fixture.h"

namespace tidemark::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::IsEmpty;

constexpr milliseconds kPatience{2'000};
constexpr milliseconds kNever{3'600'000};
constexpr AggregateIndex kUsersIndex(kUsers);
constexpr const char* kRanges =
    "select counter, cause, pass is null from tidemark.suspect_ranges order by 1";

class StoreDeclared : public FollowsTest {
 protected:
  // Rows count whether they are live or not.
  Declaration counting_all() const {
    Declaration anew = follows_;
    anew.tables[0].active = {};
    return anew;
  }
  void migrate_to(const Declaration& declaration) {
    migrate({options(), "counters", ""}, declaration);
  }
  // Begins passes for what is suspect, until nothing is.
  static void pass_to_the_end(PgRecount& recount) {
    for (;;) {
      std::optional<Pass> pass = recount.current_pass();
      if (!pass) pass = recount.begin_due_pass(kNever);
      if (!pass) return;
      KeySet keys;
      keys.from = pass->next_key;
      ASSERT_TRUE(recount.recount(pass->aggregate, keys, kPatience, &*pass).taken);
      if (pass->last_aggregate) recount.end_pass(*pass);
    }
  }
  // Runs `work` beside us, and comes back when it waits for a lock or has ended.
  std::thread beside(const std::function<void()>& work) {
    auto ended = std::make_shared<std::atomic<bool>>(false);
    std::thread thread([work, ended] {
      work();
      *ended = true;
    });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!*ended && std::chrono::steady_clock::now() < deadline &&
           sql("select count(*) from pg_locks l join pg_stat_activity a using (pid)"
               " where not l.granted and a.datname = current_database()") == "0") {
      std::this_thread::sleep_for(milliseconds(5));
    }
    return thread;
  }
};

TEST_F(StoreDeclared, ARecounterOfTheOldOneTakesNothingOffTheList) {
  settle();
  sql("insert into public.follows values (1, 7, false)");
  migrate_to(counting_all());
  const std::string ranges = sql(kRanges);
  EXPECT_EQ(ranges, "followers|new_counter|t");
  EXPECT_EQ(error_of([&] { recount_all(); }).kind(), ErrorKind::kConfig);
  EXPECT_EQ(error_of([&] { recount_key("7"); }).kind(), ErrorKind::kConfig);
  EXPECT_EQ(error_of([&] { recount_.begin_due_pass(kNever); }).kind(), ErrorKind::kConfig);
  EXPECT_EQ(error_of([&] { recount_.request(kUsersIndex, std::vector<std::string>{"7"}); }).kind(),
            ErrorKind::kConfig);
  EXPECT_EQ(sql(kRanges), ranges);
  EXPECT_EQ(sql("select count(*) from tidemark.fences"), "0");
}

TEST_F(StoreDeclared, AMigrationWaitsForTheSliceThatHasTheTurn) {
  settle();
  PgConnection slice(options());
  PgTransaction alone(slice);
  alone.run_sql({"turn", ""}, "select pg_advisory_xact_lock(8388346167862588014)");
  std::thread migration = beside([&] { migrate_to(counting_all()); });
  EXPECT_EQ(sql(kRanges), "");
  alone.commit();
  migration.join();
  EXPECT_EQ(sql(kRanges), "followers|new_counter|t");
}

TEST_F(StoreDeclared, ACounterThatIsRedefinedInTheMidstOfAPassIsCountedFromTheBeginning) {
  settle();
  sql("insert into public.follows select i, i, false from generate_series(1, 30) as i;"
      "insert into tidemark.suspect_ranges (aggregate, counter, cause)"
      " values ('public.aggregate_user', 'followers', 'truncate')");
  const auto pass = recount_.begin_due_pass(kNever);
  ASSERT_TRUE(pass.has_value());
  move(*pass, 10);
  EXPECT_EQ(sql(kRanges), "followers|truncate|f");
  const Declaration anew = counting_all();
  migrate_to(anew);
  EXPECT_EQ(sql(kRanges), "followers|truncate|t");
  PgRecount knowing(anew, {options(), "no_such_slot"});
  pass_to_the_end(knowing);
  EXPECT_EQ(sql("select count(*), min(followers) from public.aggregate_user"), "30|1");
  EXPECT_EQ(sql(kRanges), "");
}

// The hash of a declaration knows no order, so members of both may work together.
TEST_F(StoreDeclared, WhatAFenceRepairedIsToldByNameWhateverTheOrder) {
  settle();
  Declaration turned = follows_;
  std::swap(turned.aggregates[kUsers].counters[0], turned.aggregates[kUsers].counters[1]);
  turned.tables[0].contributions[0].counter = CounterIndex(1);
  ASSERT_EQ(declaration_hash(turned), declaration_hash(follows_));
  sql("insert into tidemark.suspect_ranges (aggregate, counter, cause)"
      " values ('public.aggregate_user', 'badges', 'truncate')");
  const Change coming = follow(1, 7);
  recount_all();
  PgStoreOptions recounted = store_options();
  recounted.recounted = true;
  PgStore other(turned, recounted);
  const Claimed claimed = other.claim(std::vector{at(0)})[0];
  Fold fold(turned, NotNewPolicy::kSuspect);
  fold.reset(std::vector<FoldPartition>{
      {at(0), claimed.epoch, claimed.next, claimed.mark, claimed.touch_only}});
  Record record;
  record.topic = "t";
  record.offset = Offset(0);
  fold.add_change(record, coming);
  EXPECT_EQ(other.apply(fold.take()).skipped_changes, 1U);
  sql("delete from tidemark.suspect_ranges");  // its pass is through
  EXPECT_THAT(drop_all(), IsEmpty());
  EXPECT_EQ(sql(kFollowers), "7|1");
}

TEST_F(StoreDeclared, ARequestWaitsForTheSliceThatHasReadItsCells) {
  settle();
  PgConnection slice(options());
  PgTransaction alone(slice);
  alone.run_sql({"turn", ""}, "select pg_advisory_xact_lock(8388346167862588014)");
  std::thread request =
      beside([&] { recount_.request(kUsersIndex, std::vector<std::string>{"7"}); });
  EXPECT_EQ(sql("select count(*) from tidemark.suspects"), "0");
  alone.commit();
  request.join();
  EXPECT_NE(sql("select count(*) from tidemark.suspects"), "0");
}

TEST_F(StoreDeclared, APartitionThatIsNewHasWhatIsBeingNotedOfItsTopic) {
  settle();
  sql("insert into tidemark.topics (topic, partitions) values ('t', 1)");
  PgConnection recounter(options());
  PgTransaction noting(recounter);
  noting.run_sql({"note", ""}, "update tidemark.topics set touch_until = 9223372036854775807");
  std::thread claim = beside([&] { store_.claim(std::vector{at(1)}); });
  noting.commit();
  claim.join();
  EXPECT_EQ(sql("select touch_until from tidemark.progress where partition = 1"),
            "9223372036854775807");
}

TEST_F(StoreDeclared, ACountThatWouldHoldTheTurnForLongIsCutOffForASmallerOne) {
  settle();
  sql("insert into public.follows values (1, 7, true);"
      "alter table public.follows rename to follows_now;"
      "create view public.follows as select f.* from public.follows_now f, pg_sleep(9)");
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(error_of([&] { recount_all(); }).kind(), ErrorKind::kShrink);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(9));
}

}  // namespace
}  // namespace tidemark::testing
