// Admin: what operators see and change; and the least rights that everything works with.
#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "consumer/core/declaration_toml.h"
#include "consumer/store/admin.h"
#include "consumer/store/catalog.h"
#include "consumer/store/grants.h"
#include "consumer/store/migrate.h"
#include "tests/support/pg_fixture.h"

namespace tidemark::testing {
namespace {

class StoreAdmin : public StoreTest {
 protected:
  StoreAdmin() {
    migrate_small();
    claimed_ = store_.claim(std::vector{at(0), at(1)});
  }

  void park(std::int32_t partition, std::int64_t offset) {
    Delta delta =
        DeltaBuilder(declaration_).advance(Epoch(1), offset - 1, offset, partition).build();
    ParkedRecord record;
    record.where = at(partition);
    record.offset = Offset(offset - 1);
    record.timestamp = KafkaTimestamp(5);
    record.bad = {BadCode::kBadJson, "cut off"};
    record.key = std::string("\0k\xff", 3);
    record.payload_bytes = 0;
    delta.parked = {record};
    delta.suspect_ranges = {{AggregateIndex(kTags), CounterIndex(0), SuspectCause::kParked}};
    delta.suspect_cells = {{AggregateIndex(kTags), CounterIndex(0), "a", SuspectCause::kParked}};
    store_.apply(delta);
  }

  PgStore store_{declaration_, store_options()};
  Admin admin_{options()};
  std::vector<Claimed> claimed_;
};

TEST_F(StoreAdmin, RowsAreEstimatedOnceATableIsAnalyzed) {
  const std::vector<AggregateIndex> users{AggregateIndex(kUsers)};
  EXPECT_EQ(admin_.estimated_rows(declaration_, users), 0U);
  sql("insert into public.aggregate_user (user_id) select generate_series(1, 70);"
      "insert into public.aggregate_playlist (playlist_id) select generate_series(1, 5);"
      "analyze public.aggregate_user, public.aggregate_playlist");
  EXPECT_EQ(admin_.estimated_rows(declaration_, users), 70U);
  EXPECT_EQ(admin_.estimated_rows(declaration_, {}), 75U);
}

TEST_F(StoreAdmin, ProgressOfEachPartition) {
  Delta delta = DeltaBuilder(declaration_).advance(Epoch(1), -1, 42).build();
  delta.advances[0].mark.position = Position{std::nullopt, Lsn(9)};
  store_.apply(delta);
  store_.record_data_loss(at(1), Epoch(1), "purged");
  const auto rows = admin_.read_progress();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].where, at(0));
  EXPECT_EQ(rows[0].next, Offset(42));
  EXPECT_EQ(rows[0].epoch, Epoch(1));
  EXPECT_EQ(rows[0].owner, "member-1");
  EXPECT_EQ(rows[0].mark_lsn, Lsn(9));
  EXPECT_FALSE(rows[0].mark_commit);
  EXPECT_FALSE(rows[0].data_loss_at);
  EXPECT_TRUE(rows[1].data_loss_at);
  EXPECT_EQ(rows[1].data_loss_reason, "purged");
}

TEST_F(StoreAdmin, ResetOffsetFencesTheOwnerWhichThenReadsItAgain) {
  EXPECT_EQ(admin_.reset_offset({"t", Partition(0), Offset(7)}), 1U);
  EXPECT_EQ(store_.apply(DeltaBuilder(declaration_).advance(Epoch(1), -1, 5).build()).outcome,
            ApplyOutcome::kFenced);
  EXPECT_EQ(store_.claim(std::vector{at(0)})[0].next, Offset(7));
}

TEST_F(StoreAdmin, ResetOffsetOfAWholeTopicForgetsDataLoss) {
  store_.record_data_loss(at(1), Epoch(1), "purged");
  EXPECT_EQ(admin_.reset_offset({"t", std::nullopt, kNotStarted}), 2U);
  EXPECT_FALSE(admin_.read_progress()[1].data_loss_at);
  EXPECT_EQ(admin_.reset_offset({"other", std::nullopt, kNotStarted}), 0U);
}

TEST_F(StoreAdmin, ParkedRecordsAreListedAndShown) {
  park(0, 0);
  park(1, 0);
  EXPECT_EQ(admin_.list_parked(1, std::nullopt).size(), 1U);
  EXPECT_EQ(admin_.list_parked(10, "t").size(), 2U);
  EXPECT_TRUE(admin_.list_parked(10, "other").empty());
  const auto shown = admin_.show_parked(at(1), Offset(-1));
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->row.code, "bad_json");
  EXPECT_EQ(shown->row.timestamp, KafkaTimestamp(5));
  EXPECT_EQ(shown->key, std::string("\0k\xff", 3));
  EXPECT_FALSE(shown->payload);
  EXPECT_FALSE(admin_.show_parked(at(1), Offset(99)));
  EXPECT_EQ(admin_.read_progress()[1].parked, 1U);
}

TEST_F(StoreAdmin, CountsOfSuspectsAndParked) {
  park(0, 0);
  const StateCounts counts = admin_.counts();
  EXPECT_EQ(counts.suspect_cells, 1U);
  EXPECT_EQ(counts.suspect_ranges, 1U);
  EXPECT_EQ(counts.parked, 1U);
}

// --- rights -------------------------------------------------------------------------------------

// The files that are read here have no psql commands in them.
std::string read_file(const std::string& name) {
  std::ifstream in(std::string(TIDEMARK_SOURCE_DIR) + "/" + name);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Roles are the server's and not the database's; the tests that use them share them.
class Rights : public StoreTest {
 protected:
  std::vector<std::string> column_rights() {
    const std::string rights = sql(
        "select table_schema || '.' || table_name || '.' || column_name || ' ' || privilege_type"
        " from information_schema.role_column_grants where grantee = 'tidemark_run' order by 1");
    std::vector<std::string> list;
    std::istringstream in(rights);
    for (std::string right; std::getline(in, right, ',');) list.push_back(right);
    return list;
  }
  void drop_tables() {
    sql("drop table public.playlists, public.aggregate_playlist, public.aggregate_tag,"
        " public.aggregate_user, public.aggregate_uuid");
  }
  void make_role(const std::string& name) {
    if (sql("select count(*) from pg_roles where rolname = '" + name + "'") == "0") {
      sql("create role " + name + " login");
    }
  }
};

TEST_F(Rights, RolesFileGrantsWhatTheShippedDeclarationNeeds) {
  drop_tables();
  sql(read_file("ops/app/schema.sql").insert(0, "set search_path = public;"));
  sql("set search_path = pg_catalog");
  auto loaded = load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/schemas");
  ASSERT_TRUE(std::holds_alternative<Declaration>(loaded));
  Declaration& shipped = std::get<Declaration>(loaded);
  sql(read_file("sql/roles.sql"));
  std::vector<std::string> by_file = column_rights();
  // Beside the declaration: what the reward triggers read as this role.
  std::erase_if(by_file, [](const std::string& right) {
    return right.starts_with("public.challenge_listen_streak.") ||
           (right.starts_with("public.notification.") && right.ends_with(" SELECT"));
  });
  sql("revoke all on all tables in schema public from tidemark_run");
  EXPECT_TRUE(column_rights().empty());
  sql(grants_sql(shipped, "tidemark_run"));
  EXPECT_EQ(by_file, column_rights());
  PgConnection service(options_as("tidemark_run"));
  for (const CatalogProblem& problem : check_catalog(service, shipped)) {
    ADD_FAILURE() << problem.text();
  }
}

TEST_F(Rights, RolesFileRunsOnAnyDatabaseAndTwice) {
  drop_tables();
  sql(read_file("sql/roles.sql"));
  sql(read_file("sql/roles.sql"));
}

TEST_F(Rights, ServiceRunsWithTheLeastRights) {
  make_role("tidemark_migrate");
  make_role("tidemark_run");
  sql("grant create on database " + sql("select quote_ident(current_database())") +
      " to tidemark_migrate");
  sql(grants_sql(declaration_, "tidemark_run"));
  migrate({options_as("tidemark_migrate"), "counters", "tidemark_run"}, declaration_);

  PgStoreOptions least = store_options();
  least.pg = options_as("tidemark_run");
  PgStore store(declaration_, least);
  Delta delta = DeltaBuilder(declaration_)
                    .row(kPlaylists, 1, {1, 1})
                    .row(kUsers, 1, {-1, 0})
                    .advance(claim_one(store), -1, 1)
                    .build();
  delta.parked.resize(1);
  delta.parked[0].where = at(0);
  delta.suspect_ranges = {{AggregateIndex(kTags), CounterIndex(0), SuspectCause::kTruncate}};
  EXPECT_EQ(store.apply(delta).negative_cells, 1U);
  EXPECT_TRUE(store.record_data_loss(at(0), Epoch(1), "purged"));
  Admin admin(options_as("tidemark_run"));
  EXPECT_EQ(admin.reset_offset({"t", std::nullopt, kNotStarted}), 1U);
  PgConnection service(options_as("tidemark_run"));
  EXPECT_TRUE(check_catalog(service, declaration_).empty());
  for (const char* refused :
       {"update public.aggregate_user set score = 1", "delete from public.aggregate_user",
        "update public.playlists set is_album = true", "update tidemark.state set group_id = 'x'",
        "create table public.mine ()", "create table tidemark.mine ()"}) {
    const WorldError error = error_of([&] { service.run_alone("probe", refused); });
    EXPECT_EQ(error.kind(), ErrorKind::kDenied) << refused;
  }
}

}  // namespace
}  // namespace tidemark::testing
