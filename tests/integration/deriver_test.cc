// The deriver's thread, on a real database: when it works, what it tells, and what ends it.
#include "consumer/service/deriver.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/integration/derive_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Long enough for a busy machine; past this something is stuck.
constexpr std::chrono::seconds kPatience{60};

class Notes final : public DeriveObserver {
 public:
  void on_run(const Rule& rule, const RuleRun&) override { note("run " + rule.name); }
  void on_slow(const Rule& rule, const RuleRun&, std::string_view plan) override {
    note("slow " + rule.name + ": " + std::string(plan));
  }
  void on_failure(const Rule& rule, const RuleFailure& failure) override {
    note("failed " + rule.name + ": " + failure.sqlstate);
  }
  void on_backlog(const Backlog&) override { note("backlog"); }
  void on_derive_retry(const WorldError&, milliseconds) override { note("retry"); }

  // The first note that begins so, once it is there; empty when it doesn't come.
  std::string wait_for(const std::string& beginning) {
    std::unique_lock lock(mutex_);
    std::string found;
    changed_.wait_for(lock, kPatience, [&] {
      const auto there = std::ranges::find_if(
          notes_, [&](const std::string& note) { return note.starts_with(beginning); });
      if (there != notes_.end()) found = *there;
      return !found.empty();
    });
    return found;
  }

 private:
  void note(std::string text) {
    const std::lock_guard lock(mutex_);
    notes_.push_back(std::move(text));
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> notes_;
};

class DeriverThread : public StoreDerive {
 protected:
  void SetUp() override {
    migrate_app();
    forget_sweeps();
  }
  std::string completed() {
    return sql(
        "select challenge_id, user_id from public.user_challenges where is_complete"
        " order by 1, 2");
  }
  void wait_until_derived() {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (sql("select count(*) from tidemark.dirty where error is null") != "0") {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "users still wait";
      std::this_thread::yield();
    }
  }

  Notes notes_;
};

TEST_F(DeriverThread, UsersAreDerivedWhetherTheyWereMarkedBeforeItBeganOrBehindItsBack) {
  installs(1);
  installs(2);
  mark("m", {1});
  Deriver deriver(app_, derive_, notes_, {});
  EXPECT_NE(notes_.wait_for("run m"), "");
  mark("m", {2});  // nobody wakes it: another member's batch
  wait_until_derived();
  EXPECT_EQ(completed(), "m|1,m|2");
  deriver.check();
}

TEST_F(DeriverThread, AConnectionThatIsLostIsMadeAnewAndNobodyIsForgotten) {
  Deriver deriver(app_, derive_, notes_, {});
  ASSERT_NE(notes_.wait_for("backlog"), "");
  sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
      " and application_name = 'tidemark derive'");
  installs(1);
  mark("m", {1});
  deriver.wake();
  EXPECT_NE(notes_.wait_for("retry"), "");
  wait_until_derived();
  EXPECT_EQ(completed(), "m|1");
  deriver.check();
}

TEST_F(DeriverThread, AUserWhomARuleFailsForIsToldAndTheOthersGoOn) {
  sql("create function public.refuse() returns trigger language plpgsql as"
      " $$ begin raise exception 'no' using errcode = '22012'; end $$;"
      "create trigger refuse before insert on public.user_challenges for each row"
      " when (new.user_id = 1) execute function public.refuse()");
  installs(1);
  installs(2);
  mark("m", {1, 2});
  Deriver deriver(app_, derive_, notes_, {});
  EXPECT_EQ(notes_.wait_for("failed"), "failed m: 22012");
  wait_until_derived();
  EXPECT_EQ(completed(), "m|2");
  EXPECT_EQ(sql("select user_id, error from tidemark.dirty"), "1|m: SQLSTATE 22012");
  deriver.check();
}

TEST_F(DeriverThread, ASlowRuleIsToldWithItsPlanAndWithoutItsUsers) {
  installs(987654);
  mark("m", {987654});
  Deriver deriver(app_, derive_, notes_, {.slow = milliseconds(0)});
  const std::string slow = notes_.wait_for("slow m");
  EXPECT_THAT(slow, HasSubstr("user_events"));
  EXPECT_THAT(slow, Not(HasSubstr("987654")));
}

TEST_F(DeriverThread, WhatTheStreamMarkedIsDerivedBeforeASweepMarksMore) {
  installs(1);
  installs(2);
  mark("m", {1});
  sql("update public.indexing_checkpoints set last_checkpoint = 0");
  sql("update tidemark.sweeps set requested = true where rule = 'm'");
  Deriver deriver(app_, derive_, notes_, {});
  EXPECT_NE(notes_.wait_for("run m"), "");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (completed() != "m|1,m|2" && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(completed(), "m|1,m|2") << "the second by the sweep";
  EXPECT_EQ(sql("select a.completed_at <= b.completed_at from public.user_challenges a,"
                " public.user_challenges b where a.user_id = 1 and b.user_id = 2"),
            "t");
}

TEST_F(DeriverThread, WhatNoRetryCuresEndsItAndIsRethrown) {
  Deriver deriver(app_, derive_, notes_, {});
  ASSERT_NE(notes_.wait_for("backlog"), "");
  sql("drop table tidemark.dirty");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::string what;
  while (what.empty() && std::chrono::steady_clock::now() < deadline) {
    try {
      deriver.check();
    } catch (const WorldError& error) {
      what = error.what();
    }
  }
  EXPECT_THAT(what, HasSubstr("tidemark.dirty"));
}

}  // namespace
}  // namespace tidemark::testing
