// PgVerify with Verification: drift told from lag in one snapshot, on a real database.
#include <gmock/gmock.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/support/follows_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class StoreVerify : public FollowsTest {
 protected:
  StoreVerify() { settle(); }

  VerifyLook look() { return FollowsTest::look(verify_); }
  // What follows the stored offsets, as it was sent until now.
  Verdict judge(const VerifyLook& look, const std::vector<Change>& on_the_way) const {
    return verification_of(look, {on_the_way}).judge();
  }

  PgVerify verify_{follows_, {options(), "no_such_slot"}};
};

TEST_F(StoreVerify, WhatIsOnItsWayIsNoDrift) {
  apply(follow(1, 7));
  const Change coming = follow(2, 7);
  const VerifyLook seen = look();
  EXPECT_THAT(seen.differences, SizeIs(1));
  const Verdict verdict = judge(seen, {coming});
  EXPECT_THAT(verdict.drift, IsEmpty());
  EXPECT_EQ(verdict.lagging, 1U);
}

TEST_F(StoreVerify, ACellMadeWrongByHandIsFoundWithItsSizeUnderTheLag) {
  apply(follow(1, 7));
  sql("update public.aggregate_user set followers = followers + 5 where user_id = 7");
  const Change coming = follow(2, 7);
  const Verdict verdict = judge(look(), {coming});
  ASSERT_THAT(verdict.drift, SizeIs(1));
  EXPECT_EQ(verdict.drift[0].key, "7");
  EXPECT_EQ(verdict.drift[0].difference, -5);
  EXPECT_EQ(verdict.drift[0].stored, 6);
  EXPECT_EQ(verdict.drift[0].lag, 1);
}

// Here the cell equals what was counted: only the stream shows that it is wrong.
TEST_F(StoreVerify, AWrongCellThatLagHidesIsFound) {
  apply(follow(1, 7));
  const Change coming = follow(2, 7);
  sql("update public.aggregate_user set followers = followers + 1 where user_id = 7");
  const VerifyLook seen = look();
  EXPECT_THAT(seen.differences, IsEmpty());
  const Verdict verdict = judge(seen, {coming});
  ASSERT_THAT(verdict.drift, SizeIs(1));
  EXPECT_EQ(verdict.drift[0].difference, -1);
}

TEST_F(StoreVerify, WhatComesAfterTheLookIsNoLag) {
  apply(follow(1, 7));
  const VerifyLook seen = look();
  EXPECT_THAT(judge(seen, {follow(2, 7)}).drift, IsEmpty());
}

// Everything that is looked at is of one moment.
TEST_F(StoreVerify, WhatIsWrittenDuringTheLookIsNoDrift) {
  std::vector<Change> meanwhile;
  const std::vector<AggregateIndex> all{AggregateIndex(kTags), AggregateIndex(kUsers)};
  const VerifyLook seen = verify_
                              .look(all,
                                    [&](std::uint64_t) {
                                      if (meanwhile.empty()) meanwhile.push_back(follow(1, 7));
                                      return true;
                                    })
                              .value();
  EXPECT_THAT(judge(seen, meanwhile).drift, IsEmpty());
  EXPECT_THAT(judge(look(), meanwhile).drift, IsEmpty());
}

TEST_F(StoreVerify, ATransactionThatIsOpenAtTheLookIsNoLag) {
  PgConnection writer(options());
  PgTransaction open(writer);
  const SqlResult row =
      open.run_sql({"write", ""},
                   "insert into public.follows values (1, 7, true) returning"
                   " pg_current_xact_id()::xid, pg_current_wal_insert_lsn() - '0/0'");
  const VerifyLook seen = look();
  open.commit();
  Change change = follow(2, 9);
  change.tx_id = static_cast<std::uint64_t>(row.integer(0, 0));
  change.after[1] = std::int64_t{7};
  change.position = Position{Lsn(1), Lsn(static_cast<std::uint64_t>(row.integer(0, 1)))};
  EXPECT_THAT(judge(seen, {change}).drift, IsEmpty());
}

TEST_F(StoreVerify, WhatARecountHasCountedInIsNoLag) {
  const Change coming = follow(1, 7);
  recount_all();
  const VerifyLook seen = look();
  EXPECT_THAT(seen.differences, IsEmpty());
  EXPECT_THAT(judge(seen, {coming}).drift, IsEmpty());
}

TEST_F(StoreVerify, ARowThatIsMissingIsWrong) {
  apply(follow(1, 7));
  sql("delete from public.aggregate_user where user_id = 7");
  const Verdict verdict = judge(look(), {});
  ASSERT_THAT(verdict.drift, SizeIs(1));
  EXPECT_EQ(verdict.drift[0].difference, 1);
}

TEST_F(StoreVerify, SuspectsAreNamedAndNotJudged) {
  sql("insert into public.follows values (1, 7, true)");
  sql("insert into tidemark.suspects values ('public.aggregate_user', 'followers', '7', "
      "'not_new')");
  const Verdict verdict = judge(look(), {});
  EXPECT_THAT(verdict.drift, IsEmpty());
  EXPECT_THAT(verdict.suspect, SizeIs(1));
}

TEST_F(StoreVerify, NothingIsWrittenNotEvenATableOfOurs) {
  apply(follow(1, 7));
  sql("update public.aggregate_user set followers = 9 where user_id = 7");
  const std::string written =
      "select sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) from pg_stat_all_tables"
      " where schemaname in ('public', 'tidemark')";
  sql("select pg_stat_force_next_flush()");
  const std::string before = sql(written);
  judge(look(), {});
  sql("select pg_stat_force_next_flush()");
  EXPECT_EQ(sql(written), before);
  EXPECT_EQ(sql("select count(*) from tidemark.fences"), "0");
}

TEST_F(StoreVerify, ASlotThatIsNotThereIsSaid) {
  look();
  const WorldError error = error_of([&] { verify_.all_sent(); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), ::testing::HasSubstr("no_such_slot"));
}

TEST_F(StoreVerify, AfterTheDatabaseWentDownTheLookIsWorthNothing) {
  look();
  sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tidemark'"
      " and datname = current_database() and pid <> pg_backend_pid()");
  EXPECT_EQ(error_of([&] {
              while (true) verify_.all_sent();
            }).kind(),
            ErrorKind::kRetry);
}

}  // namespace
}  // namespace tidemark::testing
