// PgStore::claim, who may claim, and data loss.
#include <gmock/gmock.h>

#include <limits>
#include <thread>

#include "consumer/store/migrate.h"
#include "tests/support/pg_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;

class StoreClaim : public StoreTest {
 protected:
  StoreClaim() { migrate_small(); }

  PgStore store_{declaration_, store_options()};
};

TEST_F(StoreClaim, NewPartitionsStartFromTheEarliest) {
  const auto claimed = store_.claim(std::vector{at(1), at(0)});
  ASSERT_EQ(claimed.size(), 2U);
  EXPECT_EQ(claimed[0].where, at(0));
  EXPECT_EQ(claimed[0].next, kNotStarted);
  EXPECT_EQ(claimed[0].mark, Mark{});
  EXPECT_FALSE(claimed[0].fingerprint);
  EXPECT_EQ(sql("select topic, partition, owner from tidemark.progress order by 2"),
            "t|0|member-1,t|1|member-1");
}

TEST_F(StoreClaim, NothingIsNothing) {
  EXPECT_TRUE(store_.claim(std::vector<TopicPartition>{}).empty());
}

TEST_F(StoreClaim, GivesBackWhatApplyStored) {
  const std::uint64_t high = std::numeric_limits<std::uint64_t>::max();
  Delta delta = DeltaBuilder(declaration_).advance(claim_one(store_), -1, 42).build();
  delta.advances[0].mark = {Position{Lsn(7), Lsn(high)},
                            {Hash64(high), Hash64(3), Hash64(high - 1)}};
  delta.advances[0].fingerprint =
      Fingerprint{Offset(41), KafkaTimestamp(1'700'000'000'000), Hash64(high), Hash64(1)};
  store_.apply(delta);
  const auto claimed = store_.claim(std::vector{at(0), at(3)});
  EXPECT_EQ(claimed[0].next, Offset(42));
  EXPECT_EQ(claimed[0].mark, delta.advances[0].mark);
  EXPECT_EQ(claimed[0].fingerprint, delta.advances[0].fingerprint);
  EXPECT_EQ(claimed[0].epoch, Epoch(2));
  EXPECT_EQ(claimed[1].mark, Mark{});
}

TEST_F(StoreClaim, FirstTransactionAfterASnapshotHasNoLastCommit) {
  Delta delta = DeltaBuilder(declaration_).advance(claim_one(store_), -1, 1).build();
  delta.advances[0].mark.position = Position{std::nullopt, Lsn(9)};
  store_.apply(delta);
  EXPECT_EQ(store_.claim(std::vector{at(0)})[0].mark, delta.advances[0].mark);
}

TEST_F(StoreClaim, WaitsForAZombiesRowLockNoLongerThanItsTimeout) {
  PgStoreOptions hasty = store_options();
  hasty.pg.lock_timeout = std::chrono::milliseconds(20);
  claim_one(store_);
  PgTransaction zombie(superuser_);
  zombie.run_sql({"probe", ""}, "select from tidemark.progress for update");
  PgStore newcomer(declaration_, hasty);
  const WorldError error = error_of([&] { claim_one(newcomer); });
  EXPECT_EQ(error.kind(), ErrorKind::kRetry);
  EXPECT_EQ(error.sqlstate(), "55P03");
}

// --- who may claim ------------------------------------------------------------------------------

TEST_F(StoreClaim, SecondGroupIsRefused) {
  PgStoreOptions second = store_options();
  second.group_id = "another";
  PgStore store(declaration_, second);
  const WorldError error = error_of([&] { claim_one(store); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), HasSubstr("group 'counters'"));
}

TEST_F(StoreClaim, OtherDeclarationIsRefused) {
  Declaration other = declaration_;
  other.aggregates[kTags].counters.push_back({"likes"});
  sql("alter table public.aggregate_tag add column likes bigint default 0");
  PgStore store(other, store_options());
  const WorldError error = error_of([&] { claim_one(store); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), HasSubstr("tidemark migrate"));
}

TEST_F(StoreClaim, NewerStateIsRefused) {
  sql("update tidemark.state set schema_version = 1000");
  const WorldError error = error_of([&] { claim_one(store_); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), HasSubstr("newer binary"));
}

TEST_F(StoreClaim, UnmigratedDatabaseIsRefused) {
  sql("drop schema tidemark cascade");
  const WorldError error = error_of([&] { claim_one(store_); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), HasSubstr("tidemark migrate"));
}

TEST_F(StoreClaim, MigrationThatBeginsFirstGoesFirst) {
  claim_one(store_);
  PgTransaction migration(superuser_);
  migration.run_sql({"probe", ""},
                    "select pg_advisory_xact_lock(" + std::to_string(kStateLock) + ")");
  migration.run_sql({"probe", ""}, "update tidemark.state set declaration_hash = 'other'");
  const int pid = store_.backend_pid();
  std::optional<WorldError> error;
  std::thread claimer([&] { error = error_of([&] { claim_one(store_); }); });
  await_blocked(migration, pid);
  migration.commit();
  claimer.join();
  EXPECT_EQ(error->kind(), ErrorKind::kConfig) << "it saw the new declaration, not the old one";
}

// --- data loss ----------------------------------------------------------------------------------

TEST_F(StoreClaim, DataLossStartsAgainAndMakesEverythingSuspect) {
  Delta delta = DeltaBuilder(declaration_).advance(claim_one(store_), -1, 42).build();
  delta.advances[0].mark.position = Position{Lsn(1), Lsn(9)};
  delta.advances[0].fingerprint = Fingerprint{};
  store_.apply(delta);
  EXPECT_TRUE(store_.record_data_loss(at(0), Epoch(1), "offset 42 was purged"));
  EXPECT_EQ(sql("select next_offset, data_loss_at is not null, data_loss_reason"
                " from tidemark.progress"),
            "-1|t|offset 42 was purged");
  EXPECT_EQ(sql("select count(*), min(cause), max(cause) from tidemark.suspect_ranges"),
            "6|data_loss|data_loss");
  const auto claimed = store_.claim(std::vector{at(0)});
  EXPECT_EQ(claimed[0].next, kNotStarted);
  EXPECT_FALSE(claimed[0].fingerprint);
  EXPECT_EQ(claimed[0].mark, delta.advances[0].mark);
}

TEST_F(StoreClaim, DataLossOfAPartitionThatIsNoLongerOursIsLeftToItsOwner) {
  const Epoch old = claim_one(store_);
  claim_one(store_);
  EXPECT_FALSE(store_.record_data_loss(at(0), old, "purged"));
  EXPECT_EQ(sql("select count(*) from tidemark.suspect_ranges"), "0");
}

}  // namespace
}  // namespace tidemark::testing
