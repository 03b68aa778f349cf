// What `tidemark doctor` finds in Postgres: each fault is made on purpose.
#include <gmock/gmock.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "consumer/core/recount_sql.h"
#include "consumer/service/doctor.h"
#include "consumer/store/grants.h"
#include "consumer/store/indexes.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_conninfo.h"
#include "consumer/store/pg_doctor.h"
#include "tests/support/follows_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::chrono::seconds kSlotPatience{60};

// Reads a slot as Debezium does, until it goes.
class SlotReader {
 public:
  SlotReader(const std::string& dsn, const std::string& slot) {
    const std::vector<std::string> words = {"/usr/lib/postgresql/15/bin/pg_recvlogical",
                                            "--dbname=" + dsn,
                                            "--slot=" + slot,
                                            "--start",
                                            "--no-loop",
                                            "--option=proto_version=1",
                                            "--option=publication_names=doctor",
                                            "--file=/dev/null"};
    std::vector<std::string> copies = words;
    std::vector<char*> argv;
    for (std::string& word : copies) argv.push_back(word.data());
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], nullptr, nullptr, argv.data(), environ), 0);
  }
  ~SlotReader() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  SlotReader(const SlotReader&) = delete;
  SlotReader& operator=(const SlotReader&) = delete;

  // From now on it confirms nothing.
  void freeze() { kill(pid_, SIGSTOP); }

 private:
  pid_t pid_ = -1;
};

// A database of follows that nothing is wrong with, and its service's role.
class PostgresDoctor : public StoreTest {
 protected:
  PostgresDoctor() : follows_(with_follows()) {
    sql(kFollowsSchema);
    for (const char* role : {"tidemark_run"}) {
      if (sql("select count(*) from pg_roles where rolname = '" + std::string(role) + "'") == "0")
        sql("create role " + std::string(role) + " login");
    }
    migrate({options(), "counters", "tidemark_run"}, follows_);
    sql(grants_sql(follows_, "tidemark_run"));
    sql("create publication doctor for table public.follows, public.playlists");
    slot_ = "slot_" + sql("select current_database()");
    sql("select pg_create_logical_replication_slot('" + slot_ + "', 'pgoutput')");
  }
  ~PostgresDoctor() override {
    sql("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '" +
        slot_ + "'");
    await("select not active from pg_replication_slots where slot_name = '" + slot_ + "'");
    sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '" +
        slot_ + "'");
  }

  void await(const std::string& condition) {
    const auto until = std::chrono::steady_clock::now() + kSlotPatience;
    while (sql(condition) == "f" && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  void await_active() {
    await("select active from pg_replication_slots where slot_name = '" + slot_ + "'");
  }

  PgDoctorOptions doctor_options() {
    return {.pg = options_as("tidemark_run"), .group_id = "counters", .slot = slot_};
  }
  // By the check of this name alone; empty: by all.
  Diagnosis look(const PgDoctorOptions& options, const std::string& name = "") {
    PgDoctor doctor(follows_, options);
    std::vector<DoctorCheck> checks = doctor.checks();
    std::erase_if(checks, [&](const DoctorCheck& one) {
      return !name.empty() && one.name != name && !one.gate;
    });
    return diagnose(checks);
  }
  // "check: what" of each finding, but of those checks that are left out.
  std::vector<std::string> found(const PgDoctorOptions& options, const std::string& name = "") {
    std::vector<std::string> lines;
    for (const CheckResult& check : look(options, name).checks) {
      for (const Finding& finding : check.findings) {
        EXPECT_FALSE(finding.why.empty() || finding.mend.empty()) << finding.what;
        if (check.name != "slot" || !quiet_slot_) lines.push_back(check.name + ": " + finding.what);
      }
    }
    return lines;
  }
  std::vector<std::string> found(const std::string& name = "") {
    return found(doctor_options(), name);
  }

  Declaration follows_;
  std::string slot_;
  bool quiet_slot_ = true;  // nobody reads it in most tests, and that is found
};

TEST_F(PostgresDoctor, FindsNothingWhereNothingIsWrong) {
  quiet_slot_ = false;
  SlotReader reader(dsn_, slot_);
  await_active();
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(PostgresDoctor, AServerThatDoesNotAnswerIsOneFindingAndTheRestIsSkipped) {
  PgDoctorOptions options = doctor_options();
  options.pg.connection = "host=127.0.0.1 port=1 dbname=none";
  const Diagnosis diagnosis = look(options);
  EXPECT_EQ(diagnosis.count(Finding::Level::kError), 1U);
  EXPECT_EQ(diagnosis.checks.front().findings.size(), 1U);
  EXPECT_TRUE(diagnosis.checks.back().skipped);
}

TEST_F(PostgresDoctor, ASlotThatNobodyReads) {
  quiet_slot_ = false;
  EXPECT_THAT(found("slot"), ElementsAre(HasSubstr("slot: slot " + slot_ + " is not active")));
}

TEST_F(PostgresDoctor, ASlotOfAnotherNameOrOfAnotherPlugin) {
  quiet_slot_ = false;
  PgDoctorOptions options = doctor_options();
  options.slot = "debezium";
  EXPECT_THAT(found(options, "slot"), ElementsAre("slot: there is no replication slot debezium"));
  sql("select pg_drop_replication_slot('" + slot_ + "')");
  sql("select pg_create_logical_replication_slot('" + slot_ + "', 'test_decoding')");
  EXPECT_THAT(found("slot"), Contains("slot: slot " + slot_ + " uses plugin test_decoding"));
}

TEST_F(PostgresDoctor, ASlotThatHoldsBackMoreThanHalfOfWhatItMay) {
  quiet_slot_ = false;
  sql("alter system set max_slot_wal_keep_size = '40MB'");
  sql("select pg_reload_conf()");
  await("select current_setting('max_slot_wal_keep_size') = '40MB'");
  for (int i = 0; i < 26; ++i) {
    sql("select pg_logical_emit_message(false, 'fill', repeat('x', 1000000))");
  }
  EXPECT_THAT(found("slot"), Contains(HasSubstr("of max_slot_wal_keep_size = 40 MiB")));
  sql("alter system reset max_slot_wal_keep_size");
  sql("select pg_reload_conf()");
}

// As without heartbeats, or with an lsn.flush.mode that leaves it to others.
TEST_F(PostgresDoctor, ASlotThatIsFollowedAndStandsStill) {
  PgDoctorOptions options = doctor_options();
  options.confirm_patience = std::chrono::milliseconds(200);
  SlotReader reader(dsn_, slot_);
  await_active();
  reader.freeze();
  EXPECT_THAT(found(options, "heartbeats"), IsEmpty()) << "there is nothing to confirm";
  for (int i = 0; i < 26; ++i) {  // the last of them wait to be written
    sql("select pg_logical_emit_message(false, 'fill', repeat('x', 1000000))");
  }
  EXPECT_THAT(
      found(options, "heartbeats"),
      ElementsAre(HasSubstr("heartbeats: slot " + slot_ + " is followed, and stands still ")));
}

TEST_F(PostgresDoctor, ATableThatIsNotPublishedOrNotAsAWhole) {
  sql("alter publication doctor drop table public.follows");
  EXPECT_THAT(found("publication"),
              ElementsAre("publication: public.follows is in no publication"));
  sql("alter publication doctor set table public.playlists (playlist_id, txhash), "
      "public.follows where (id > 7)");
  sql("alter publication doctor set (publish = 'insert, update')");
  EXPECT_THAT(
      found("publication"),
      ElementsAre("publication: public.follows is published without insert, update or delete",
                  "publication: public.follows is published without truncate",
                  "publication: public.follows is published with a row filter",
                  "publication: public.playlists is published without insert, update or delete",
                  "publication: public.playlists is published without truncate",
                  "publication: public.playlists is published without columns that are read: "
                  "is_album, is_current"));
}

TEST_F(PostgresDoctor, ReplicaIdentityThatIsNotFullAlsoOfOnePartition) {
  sql("alter table public.follows replica identity default;"
      "alter table public.playlists rename to old_playlists;"
      "create table public.playlists (like public.old_playlists including all) partition by range "
      "(playlist_id);"
      "create table public.low partition of public.playlists for values from (0) to (9);"
      "create table public.high partition of public.playlists for values from (9) to (99);"
      "alter table public.high replica identity full;"
      "alter publication doctor set table public.follows, public.playlists;");
  sql(grants_sql(follows_, "tidemark_run"));
  const Diagnosis diagnosis = look(doctor_options(), "replica identity");
  EXPECT_THAT(found("replica identity"),
              ElementsAre("replica identity: public.follows: replica identity is not full",
                          "replica identity: public.low: replica identity is not full"));
  EXPECT_THAT(text_of(diagnosis), HasSubstr("alter table public.low replica identity full"));
}

TEST_F(PostgresDoctor, ARightThatIsMissingAndOneThatIsTooMany) {
  sql("revoke select on public.follows from tidemark_run");
  sql("grant delete on public.playlists to tidemark_run");
  EXPECT_THAT(found("role"),
              Contains("role: tidemark_run may write watched tables: public.playlists"));
  EXPECT_THAT(found("declarations"), Contains(HasSubstr("declarations: public.follows.")));
  PgDoctorOptions super = doctor_options();
  super.pg = options();
  EXPECT_THAT(found(super, "role"), Contains("role: postgres is a superuser"));
}

TEST_F(PostgresDoctor, ATypeThatIsNotTheDeclaredOne) {
  sql("alter table public.playlists alter column is_album type integer using 0");
  EXPECT_THAT(found("declarations"),
              ElementsAre(HasSubstr("public.playlists.is_album: found integer")));
}

TEST_F(PostgresDoctor, AStateOfAnotherGroupOrDeclarationOrNone) {
  sql("update tidemark.state set group_id = 'others'");
  EXPECT_THAT(found("state"), ElementsAre(HasSubstr("state: state: it belongs to group 'others'")));
  sql("drop schema tidemark cascade");
  EXPECT_THAT(found("state"), ElementsAre(HasSubstr("schema tidemark")));
}

TEST_F(PostgresDoctor, ATriggerThatCountsTooUntilItIsDisabled) {
  sql("create function public.count_follow() returns trigger language plpgsql as $$ begin"
      " update public.aggregate_user set followers = followers + 1"
      " where user_id = new.followee; return null; end $$;"
      "create trigger on_follow after insert on public.follows for each row"
      " execute function public.count_follow()");
  EXPECT_THAT(found("counting triggers"),
              ElementsAre(HasSubstr("counting triggers: trigger on_follow on "
                                    "public.follows is enabled, and its function "
                                    "public.count_follow writes")));
  sql("alter table public.follows disable trigger on_follow");
  EXPECT_THAT(found("counting triggers"), IsEmpty());
}

TEST_F(PostgresDoctor, ABigTableThatIsReadAsAWholeForOneKey) {
  sql("insert into public.aggregate_user (user_id) values (1), (2), (3);"
      "drop index public.follows_followee_idx;"
      "insert into public.follows select i, i, true from generate_series(1, 300000) as i;"
      "analyze public.follows");
  EXPECT_THAT(found("plans"),
              ElementsAre(HasSubstr("plans: the recount of single rows of "
                                    "public.aggregate_user reads all of public.follows")));
  sql("create index on public.follows (followee)");
  EXPECT_THAT(found("plans"), IsEmpty());
}

TEST_F(PostgresDoctor, TooFewConnectionsAreLeft) {
  sql("alter role tidemark_run connection limit 5");
  // Sessions end a moment after their clients have.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (sql("select count(*) from pg_stat_activity where usename = 'tidemark_run'") != "0") {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
  }
  EXPECT_THAT(found("connections"),
              ElementsAre("connections: 4 of 5 connections are left, by the connection "
                          "limit of role tidemark_run"));
  sql("alter role tidemark_run connection limit -1");
}

// --- indexes ------------------------------------------------------------------------------------

class Indexes : public StoreTest {
 protected:
  Indexes() {
    sql("create table public.tracks (track_id integer primary key, owner_id integer)");
    ruled_.rules.emplace_back();
  }
  std::vector<NeededIndex> needed() {
    PgTransaction transaction(superuser_);
    return needed_indexes(transaction, ruled_);
  }

  Declaration ruled_;
};

TEST_F(Indexes, OnlyThoseOfTablesThatAreThere) {
  const std::vector<NeededIndex> all = needed();
  ASSERT_EQ(all.size(), 2U);  // public.playlists is the fixture's
  EXPECT_EQ(all[1].name, "tracks_owner_id_idx");
  EXPECT_EQ(all[1].table, "public.tracks");
  EXPECT_EQ(all[1].state, IndexState::kAbsent);
  ruled_.rules.clear();
  EXPECT_TRUE(needed().empty());
}

TEST_F(Indexes, AreBuiltOnceAndAnInvalidOneAnew) {
  sql("alter table public.playlists add column playlist_owner_id integer");
  EXPECT_THAT(build_indexes(options(), ruled_).built,
              ElementsAre("playlists_playlist_owner_id_idx", "tracks_owner_id_idx"));
  EXPECT_THAT(build_indexes(options(), ruled_).built, IsEmpty());
  sql("update pg_catalog.pg_index set indisvalid = false"
      " where indexrelid = 'public.tracks_owner_id_idx'::regclass");
  EXPECT_EQ(needed()[1].state, IndexState::kInvalid);
  EXPECT_THAT(build_indexes(options(), ruled_).built, ElementsAre("tracks_owner_id_idx"));
  EXPECT_EQ(needed()[1].state, IndexState::kValid);
}

// --- TLS ----------------------------------------------------------------------------------------

TEST(UnverifiedHosts, AreThoseBeyondThisMachineThatNobodyVerifies) {
  EXPECT_THAT(unverified_hosts("host=db.example.org dbname=app"), ElementsAre("db.example.org"));
  EXPECT_THAT(unverified_hosts("host=localhost,10.1.2.3,/run/postgresql"), ElementsAre("10.1.2.3"));
  EXPECT_THAT(unverified_hosts("host=db.example.org hostaddr=127.0.0.1"), IsEmpty());
  EXPECT_THAT(unverified_hosts("postgresql://app@db.example.org/app?sslmode=require"),
              ElementsAre("db.example.org"));
  EXPECT_THAT(unverified_hosts("host=db.example.org sslmode=verify-full"), IsEmpty());
  EXPECT_THAT(unverified_hosts("service=app"), ElementsAre("service app"));
}

TEST(UnverifiedHosts, AStringThatCannotBeReadIsRefusedWithoutBeingQuoted) {
  const WorldError error = error_of([] { unverified_hosts("password=canary host"); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), Not(HasSubstr("canary")));
}

}  // namespace
}  // namespace tidemark::testing
