// Dirty users on a real database: marks, claims, derivations, sweeps (DESIGN 5, C1 to C7), with the
// shipped declaration and its rules, and with a rule of another kind.
#include <gmock/gmock.h>

#include <string>
#include <thread>
#include <vector>

#include "consumer/store/catalog.h"
#include "consumer/store/pg_replay.h"
#include "tests/integration/derive_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const std::string kDirty =
    "select user_id, array_to_string(rules, '+') from tidemark.dirty order by 1";
const std::string kChallenges =
    "select challenge_id, user_id, specifier from public.user_challenges where is_complete"
    " order by challenge_id collate \"C\", user_id, specifier collate \"C\"";

// --- marks --------------------------------------------------------------------------------------

TEST_F(StoreDerive, ARowAtTheCheckpointMarksNobodyAndOneAboveItOrWithoutABlockDoes) {
  migrate_app();
  sql("update public.indexing_checkpoints set last_checkpoint = 50"
      " where tablename = 'challenges:m:last_blocknumber'");
  mark("m", {1}, 50);
  EXPECT_EQ(sql(kDirty), "");
  mark("m", {2}, 51);
  mark("m", {3});
  EXPECT_EQ(sql(kDirty), "2|m,3|m");
  EXPECT_EQ(store_.apply(dirty("m", {4, 5}, 49)).below_checkpoint, 2U) << "is told";
}

TEST_F(StoreDerive, MigrateBeginsFromNowAndKeepsACheckpointThatIsThere) {
  installs(1, "70");
  sql("insert into public.indexing_checkpoints values ('challenges:rd:last_blocknumber', 7)");
  migrate_app();
  const std::string checkpoints =
      "select last_checkpoint from public.indexing_checkpoints where tablename in"
      " ('challenges:m:last_blocknumber', 'challenges:rd:last_blocknumber',"
      " 'challenges:u:last_blocknumber') order by tablename collate \"C\"";
  EXPECT_EQ(sql(checkpoints), "69,7,0") << "m, rd, u: nothing was uploaded yet";
  installs(2, "90");
  migrate_app();
  EXPECT_EQ(sql(checkpoints), "69,7,0");
}

TEST_F(StoreDerive, AUserWithTheCompletedChallengeIsMarkedForTheOthersOnly) {
  migrate_app();
  installs(1);
  mark("m", {1});
  derive_all();
  EXPECT_EQ(sql(kChallenges), "m|1|1");
  mark("m", {1, 2});
  mark("fp", {1});
  EXPECT_EQ(sql(kDirty), "1|fp,2|m");
}

TEST_F(StoreDerive, AnInactiveOrAbsentChallengeMarksNobody) {
  migrate_app();
  sql("delete from public.challenges where id = 'fp'");
  mark("cs", {1}, DirtyKeys::kNoBlock, 3);
  mark("fp", {1});
  EXPECT_EQ(sql(kDirty), "");
  sql("update public.challenges set active = true where id = 'cs'");
  mark("cs", {1}, DirtyKeys::kNoBlock, 3);
  EXPECT_EQ(sql(kDirty), "1|cs");
}

TEST_F(StoreDerive, ARepostOfARemixMarksTheParentsOwnerAlsoWhenTheRemixIsToldOfLater) {
  migrate_app();
  sql("update public.challenges set active = true where id = 'cs'");
  sql("insert into public.tracks (track_id, owner_id, is_current, is_delete, created_at, "
      "updated_at)"
      " values (10, 7, true, false, now(), now()), (11, 8, true, false, now(), now())");
  mark("cs", {11});
  EXPECT_EQ(sql(kDirty), "") << "no remix yet";
  sql("insert into public.remixes values (10, 11)");
  mark("cs", {11}, DirtyKeys::kNoBlock, 2);
  EXPECT_EQ(sql(kDirty), "7|cs");
}

TEST_F(StoreDerive, AReplayMarksToo) {
  migrate_app();
  PgReplay replay(app_, {.pg = options(), .group_id = "counters"});
  replay.begin("beginning", std::vector<ReplayPart>{{at(0), Offset(0), Offset(0), Offset(9)}});
  Delta delta = dirty("m", {4});
  delta.advances[0].from = Offset(0);
  delta.advances[0].to = Offset(1);
  replay.store(delta);
  EXPECT_EQ(sql(kDirty), "4|m");
}

// --- deriving -----------------------------------------------------------------------------------

TEST_F(StoreDerive, AllMarkedRulesOfAUserAreDerivedInTheirOrder) {
  migrate_app();
  profile(1, false);
  joins(2, 1);
  installs(2);
  mark("rd", {2});
  mark("m", {2});
  mark("r", {1});
  EXPECT_EQ(sql(kDirty), "1|r,2|m+rd");
  const Derived derived = derive_.derive();
  std::vector<std::string> order;
  for (const RuleRun& run : derived.runs) order.push_back(app_.rule(run.rule).name);
  EXPECT_THAT(order, ElementsAre("m", "r", "rd"));
  EXPECT_EQ(derived.users, 2U);
  EXPECT_EQ(derived.runs[0].completed, 1U);
  EXPECT_EQ(sql(kDirty), "");
  EXPECT_EQ(sql(kChallenges), "m|2|2,r|1|1:2,rd|2|2:1");
}

TEST_F(StoreDerive, AMarkThatComesWhileItsUserIsDerivedIsNotLost) {
  migrate_app();
  mark("m", {1});
  // A deriver that has claimed the user and has seen no install; it deletes the mark later.
  PgConnection other(options());
  PgTransaction deriver(other);
  deriver.run_sql({"claim", ""}, "select from tidemark.dirty for update skip locked");
  installs(1);
  const Delta delta = dirty("m", {1});
  const int backend = store_.backend_pid();
  std::thread stream([&] { store_.apply(delta); });
  await_blocked(deriver, backend);
  deriver.run_sql({"delete", ""}, "delete from tidemark.dirty");
  deriver.commit();
  stream.join();
  EXPECT_EQ(sql(kDirty), "1|m");
  derive_all();
  EXPECT_EQ(sql(kChallenges), "m|1|1");
}

TEST_F(StoreDerive, AUserWhoIsMarkedAndHeldByNobodyIsNotWrittenAgain) {
  migrate_app();
  mark("m", {1, 2});
  const std::string row = sql("select ctid, xmin from tidemark.dirty where user_id = 1");
  mark("m", {1});
  EXPECT_EQ(sql("select ctid, xmin from tidemark.dirty where user_id = 1"), row);
  mark("rd", {1});
  EXPECT_EQ(sql(kDirty), "1|m+rd,2|m");
}

TEST_F(StoreDerive, TwoDeriversNeverHaveOneUser) {
  migrate_app();
  for (const int user : {1, 2, 3, 4}) installs(user);
  mark("m", {1, 2, 3, 4});
  PgConnection other(options());
  PgTransaction deriver(other);
  deriver.run_sql({"claim", ""}, "select from tidemark.dirty where user_id in (1, 3) for update");
  EXPECT_EQ(derive_.derive().users, 2U);
  EXPECT_EQ(derive_.derive().users, 0U);
  EXPECT_EQ(sql(kChallenges), "m|2|2,m|4|4");
  deriver.roll_back();
  EXPECT_EQ(derive_.derive().users, 2U);
}

TEST_F(StoreDerive, AClaimThatTakesLongIsFollowedByASmallerOneSoThatTheStreamDoesNotWait) {
  migrate_app();
  sql("create function public.dawdle() returns trigger language plpgsql as 'begin perform"
      " pg_sleep(0.04); return new; end'; create trigger dawdle before insert on"
      " public.user_challenges for each row execute function public.dawdle()");
  for (const int user : {1, 2, 3, 4, 5, 6}) installs(user);
  mark("m", {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(derive_.derive().users, 3U);
  EXPECT_EQ(derive_.derive().users, 1U);
  // A busy machine may be slow by itself now and then.
  sql("drop trigger dawdle on public.user_challenges");
  std::size_t claimed = 0;
  for (int i = 0; i < 100 && claimed < 2; ++i) {
    sql("delete from public.user_challenges");  // who has completed it is not marked again
    mark("m", {1, 2, 3, 4, 5, 6});
    claimed = derive_.derive().users;
  }
  EXPECT_GE(claimed, 2U) << "one that doesn't is followed by a larger one";
}

TEST_F(StoreDerive, NeitherDeriverPaysAPairTwiceAroundTheReferrersVerification) {
  migrate_app();
  profile(1, false);
  joins(2, 1);
  mark("r", {1});
  mark("rv", {1});
  derive_all();
  sql("update public.users set is_verified = true");
  joins(3, 1);
  mark("r", {1});
  mark("rv", {1});
  derive_all();
  EXPECT_EQ(sql(kChallenges), "r|1|1:2,rv|1|1:3");
}

TEST_F(StoreDerive, AnUnchangedRowIsNotWritten) {
  migrate_app();
  sql("create table public.writes (challenge text); create function public.note_write() returns"
      " trigger language plpgsql as 'begin insert into public.writes values (new.challenge_id);"
      " return new; end'; create trigger note after insert or update on public.user_challenges"
      " for each row execute function public.note_write()");
  profile(1, false);
  mark("p", {1});
  derive_all();
  mark("p", {1});
  EXPECT_EQ(derive_.derive().runs[0].written, 0U);
  EXPECT_EQ(sql("select challenge from public.writes"), "p");
}

TEST_F(StoreDerive, ARuleThatFailsHoldsUpThatUserAloneAndItsOtherRulesGoOn) {
  migrate_app();
  for (const int user : {1, 2, 3}) installs(user);
  joins(2, 1);
  profile(1, false);
  sql("create function public.refuse() returns trigger language plpgsql as 'begin if"
      " new.user_id = 2 and new.challenge_id = ''m'' then raise exception ''no'';"
      " end if; return new; end'; create trigger refuse before insert on public.user_challenges"
      " for each row execute function public.refuse()");
  mark("m", {1, 2, 3});
  mark("rd", {2});
  const std::vector<RuleFailure> failures = derive_all();
  ASSERT_THAT(failures, SizeIs(1));
  EXPECT_EQ(app_.rule(failures[0].rule).name, "m");
  EXPECT_EQ(failures[0].sqlstate, "P0001");
  EXPECT_EQ(sql(kChallenges), "m|1|1,m|3|3,rd|2|2:1");
  EXPECT_EQ(sql("select user_id, array_to_string(rules, '+'), attempts, error, not_before > now()"
                " from tidemark.dirty"),
            "2|m|1|m: SQLSTATE P0001|t");
  EXPECT_EQ(derive_.backlog().failed, 1U);

  mark("m", {2});  // does not shorten the wait
  EXPECT_EQ(derive_.derive().users, 0U);
  sql("drop trigger refuse on public.user_challenges");
  sql("update tidemark.dirty set not_before = now()");
  EXPECT_THAT(derive_all(), IsEmpty());
  EXPECT_EQ(sql(kDirty), "");
  EXPECT_EQ(sql(kChallenges), "m|1|1,m|2|2,m|3|3,rd|2|2:1");
}

TEST_F(StoreDerive, AMarkForARuleOfANewerVersionWaitsForIt) {
  migrate_app();
  installs(1);
  sql("insert into tidemark.dirty (user_id, rules) values (1, '{m,new}'), (2, '{new}')");
  derive_all();
  EXPECT_EQ(sql(kDirty), "1|new,2|new");
  EXPECT_EQ(sql(kChallenges), "m|1|1");
  const Backlog backlog = derive_.backlog();
  ASSERT_THAT(backlog.rules, SizeIs(1));
  EXPECT_EQ(backlog.rules[0].rule, "new");
  EXPECT_EQ(backlog.rules[0].users, 2U);
}

TEST_F(StoreDerive, MarksOfAStateThatWasMigratedSinceWaitForItsRules) {
  migrate_app();
  installs(1);
  sql("insert into tidemark.dirty (user_id, rules) values (1, '{m}');"
      "update tidemark.sweeps set requested = true;"
      "update tidemark.state set declaration_hash = 'another'");
  EXPECT_EQ(error_of([&] { derive_.derive(); }).kind(), ErrorKind::kConfig);
  EXPECT_EQ(error_of([&] { derive_.sweep(milliseconds(0)); }).kind(), ErrorKind::kConfig);
  EXPECT_EQ(sql(kDirty), "1|m");
  EXPECT_EQ(sql(kChallenges), "");
}

TEST_F(StoreDerive, APlanForTheLogNamesTheIndexAndNoUser) {
  migrate_app();
  const std::string plan = derive_.plan(rule("m"), std::vector<std::int64_t>{123456, 654321});
  EXPECT_THAT(plan, HasSubstr("user_events"));
  EXPECT_THAT(plan, Not(HasSubstr("123456")));
}

TEST_F(StoreDerive, ARuleThatCanNotRunIsNoticedAtStart) {
  Declaration declaration = app_;
  EXPECT_THAT(check_catalog(superuser_, declaration), IsEmpty());
  sql("alter table public.user_challenges rename column specifier to name");
  const std::vector<CatalogProblem> problems = check_catalog(superuser_, declaration);
  ASSERT_THAT(problems, SizeIs(declaration.rules.size()));
  EXPECT_THAT(problems[0].text(), HasSubstr("schemas/rules/m.toml: rule m: found a statement"));
}

// --- sweeps -------------------------------------------------------------------------------------

TEST_F(StoreDerive, ASweepMarksUsersOfRowsAboveTheCheckpointAndThoseWhoHoldARow) {
  sql("update public.challenges set active = false where id <> 'm'");
  installs(1, "40");
  installs(2, "60");
  installs(3, "null");
  installs(4, "50");
  sql("insert into public.user_challenges (challenge_id, user_id, specifier, is_complete) values"
      " ('m', 9, '9', false)");
  sql("insert into public.indexing_checkpoints values ('challenges:m:last_blocknumber', 50)");
  migrate_app();
  sweep_all();
  EXPECT_EQ(sql(kDirty), "2|m,3|m,9|m");
  EXPECT_EQ(sql("select marked, requested, phase, ended_at is not null from tidemark.sweeps"
                " where rule = 'm'"),
            "3|f|null|t");
  std::size_t swept = 0;
  for (const RuleRun& run : derive_.derive().runs) swept += run.swept;
  EXPECT_EQ(swept, 2U) << "rows that only the sweep found; user 9 has nothing to correct";
}

TEST_F(StoreDerive, ASweepGoesOnStepByStepAndAUserThatTheStreamMarksIsNoSweepsFind) {
  sql("insert into public.user_events (user_id, is_mobile_user, is_current, blocknumber)"
      " select n, true, true, n % 100 + 1 from generate_series(1, 1200) n");
  sql("insert into public.indexing_checkpoints values ('challenges:m:last_blocknumber', 0)");
  sql("update public.challenges set active = false where id <> 'm'");
  migrate_app();
  ASSERT_TRUE(derive_.sweep(milliseconds(0)));
  while (sql("select max(phase) from tidemark.sweeps where rule = 'm'") == "null") {
    ASSERT_TRUE(derive_.sweep(milliseconds(0)));
  }
  EXPECT_EQ(sql("select count(*) from tidemark.dirty"), "504") << "whole blocks, about 500 rows";
  sweep_all();
  EXPECT_EQ(sql("select count(*), bool_and(swept) from tidemark.dirty"), "1200|t");
  mark("m", {7});
  EXPECT_EQ(sql("select user_id from tidemark.dirty where not swept"), "7");
}

TEST_F(StoreDerive, ATruncatedTableAndLostDataHaveTheRulesSwept) {
  migrate_app();
  forget_sweeps();
  Delta delta = batch();
  delta.sweeps = {rule("m")};
  store_.apply(delta);
  EXPECT_EQ(sql("select rule from tidemark.sweeps where requested"), "m");
  ASSERT_TRUE(store_.record_data_loss(at(0), epoch(), "purged"));
  EXPECT_EQ(sql("select count(*) from tidemark.sweeps where requested"), "8");
}

TEST_F(StoreDerive, APeriodicSweepBeginsWhenItIsDue) {
  migrate_app();
  sweep_all();
  EXPECT_FALSE(derive_.sweep(milliseconds(60'000)));
  sql("update tidemark.sweeps set begun_at = now() - interval '61 seconds' where rule = 'm'");
  EXPECT_TRUE(derive_.sweep(milliseconds(60'000)));
  EXPECT_EQ(sql("select rule from tidemark.sweeps where phase is not null"), "m");
}

TEST_F(StoreDerive, AnOperatorsWalkMarksWhatTheCheckpointLeftOut) {
  sql("update public.challenges set active = false where id <> 'm'");
  for (const int user : {1, 2, 3}) installs(user, std::to_string(user * 10));
  migrate_app();
  const auto walk = [&](std::optional<std::int64_t> above) {
    std::size_t marked = 0;
    for (std::optional<WalkPlace> place = WalkPlace{}; place;) {
      const PgDerive::Walked walked = derive_.walk(rule("m"), *place, above);
      marked += walked.marked;
      place = walked.next;
    }
    return marked;
  };
  EXPECT_EQ(walk(10), 2U);
  EXPECT_EQ(sql(kDirty), "2|m,3|m");
  EXPECT_EQ(walk(std::nullopt), 1U);
  derive_.lower_checkpoint(rule("m"), 10);
  derive_.lower_checkpoint(rule("m"), 20);
  EXPECT_EQ(sql("select last_checkpoint from public.indexing_checkpoints"
                " where tablename = 'challenges:m:last_blocknumber'"),
            "10");
}

// --- a rule of another kind ---------------------------------------------------------------------

const std::string kFanToml = R"(rule = "fan"
order = 90
sql = "fan.sql"
write = "../../sql/challenges/write.sql"

[[dirty]]
table = "public.follows"
user = "follower_user_id"
when = { is_delete = false }
)";
const std::string kFanSql = R"(-- Fan: follows three.
select follower_user_id as user_id, to_hex(follower_user_id) as specifier,
       least(count(*), 3)::integer as current_step_count, count(*) >= 3 as is_complete,
       null::integer as completed_blocknumber
  from public.follows
 where follower_user_id = any($1::bigint[]) and is_current and not is_delete
 group by follower_user_id)";

class StoreDeriveAnotherRule : public StoreDerive {
 protected:
  StoreDeriveAnotherRule()
      : StoreDerive(shipped_with(
            {{(kRoot / "schemas/rules/fan.toml").string(), kFanToml}},
            [](const std::filesystem::path& path) -> std::optional<std::string> {
              return path.filename() == "fan.sql" ? std::optional(kFanSql) : std::nullopt;
            })) {}
};

TEST_F(StoreDeriveAnotherRule, OneFileAndItsLinesAddIt) {
  sql("insert into public.challenges values ('fan', 'numeric', '5', true, 3, 0, null, 7)");
  migrate_app();
  sql("insert into public.follows (follower_user_id, followee_user_id, is_current, is_delete,"
      " created_at) select 1, n, true, false, now() from generate_series(2, 3) n");
  mark("fan", {1});
  derive_all();
  EXPECT_EQ(sql("select current_step_count, is_complete from public.user_challenges"), "2|f");
  sql("insert into public.follows (follower_user_id, followee_user_id, is_current, is_delete,"
      " created_at) values (1, 4, true, false, now())");
  mark("fan", {1});
  derive_all();
  EXPECT_EQ(sql("select current_step_count, is_complete, amount from public.user_challenges"),
            "3|t|5");
}

}  // namespace
}  // namespace tidemark::testing
