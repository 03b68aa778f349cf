// PgStore::apply: offsets, counters, suspects and parked records in one transaction.
#include <gmock/gmock.h>

#include <barrier>
#include <thread>

#include "tests/support/pg_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StoreApply : public StoreTest {
 protected:
  StoreApply() {
    migrate_small();
    epoch_ = claim_one(store_);
  }

  DeltaBuilder delta() { return DeltaBuilder(declaration_); }
  DeltaBuilder batch(std::int64_t from, std::int64_t to) {
    return delta().advance(epoch_, from, to);
  }
  ApplyResult apply(DeltaBuilder& builder) { return store_.apply(builder.build()); }
  std::string offset() { return sql("select next_offset from tidemark.progress"); }

  PgStore store_{declaration_, store_options()};
  Epoch epoch_;
};

// --- counters -----------------------------------------------------------------------------------

TEST_F(StoreApply, MakesMissingRowsAndAddsToThoseThere) {
  sql("insert into public.aggregate_user (user_id, followers, score) values (2, 10, 99)");
  const ApplyResult result = apply(batch(-1, 5).row(kUsers, 1, {3, 0}).row(kUsers, 2, {-4, 0}));
  EXPECT_EQ(result.outcome, ApplyOutcome::kApplied);
  EXPECT_EQ(result.rows_written, 2U);
  EXPECT_EQ(sql("select * from public.aggregate_user order by 1"), "1|3|0|7,2|6|0|99")
      << "and leaves another writer's score alone";
  EXPECT_EQ(offset(), "5");
}

TEST_F(StoreApply, NullCounterCountsAsZero) {
  sql("insert into public.aggregate_user (user_id, followers, badges) values (1, null, null)");
  apply(batch(-1, 1).row(kUsers, 1, {2, 0}));
  EXPECT_EQ(sql("select followers, coalesce(badges, 0) from public.aggregate_user"), "2|0");
}

TEST_F(StoreApply, RowWithoutDeltaIsMadeWithZeros) {
  apply(batch(-1, 1).row(kUsers, 1, {0, 0}));
  EXPECT_EQ(sql("select followers, badges from public.aggregate_user"), "0|0");
}

TEST_F(StoreApply, RowWithoutEffectIsNotWritten) {
  sql("insert into public.aggregate_user (user_id) values (1)");
  const std::string before = sql("select ctid from public.aggregate_user");
  apply(batch(-1, 1).row(kUsers, 1, {0, 0}));
  EXPECT_EQ(sql("select ctid from public.aggregate_user"), before);
}

TEST_F(StoreApply, TextAndUuidKeys) {
  const std::string uuid = "00000000-0000-4000-8000-00000000000a";
  const std::vector<std::string> tags = {"", "NULL", "a\"b\\c", "it's {1,2}"};
  auto builder = batch(-1, 1);
  for (const std::string& tag : tags) builder.row(kTags, tag, {2});
  builder.row(kUuids, uuid, {5});
  apply(builder);
  EXPECT_EQ(sql("select count(*), sum(uses) from public.aggregate_tag where tag in"
                " ('', 'NULL', 'a\"b\\c', 'it''s {1,2}')"),
            "4|8");
  EXPECT_EQ(sql("select id, uses from public.aggregate_uuid"), uuid + "|5");
}

TEST_F(StoreApply, LookupIsNullUntilKnownThenCorrected) {
  apply(batch(-1, 1).row(kPlaylists, 7, {1, 0}));
  EXPECT_EQ(sql("select is_album, repost_count from public.aggregate_playlist"), "null|1");
  sql("insert into public.playlists values (7, 'old', false, false), (7, 'new', true, true)");
  auto second = batch(1, 2).row(kPlaylists, 7, {0, 0});
  apply(second);
  EXPECT_EQ(sql("select is_album, repost_count from public.aggregate_playlist"), "t|1");
  sql("delete from public.playlists");
  auto third = batch(2, 3).row(kPlaylists, 7, {1, 0});
  apply(third);
  EXPECT_EQ(sql("select is_album, repost_count from public.aggregate_playlist"), "t|2")
      << "what was known is kept when the row is gone";
}

TEST_F(StoreApply, NegativeValueIsStoredAndItsCellIsSuspectOnce) {
  EXPECT_EQ(apply(batch(-1, 1).row(kUsers, 1, {-2, 0}).row(kUsers, 3, {1, 0})).negative_cells, 1U);
  EXPECT_EQ(sql("select followers from public.aggregate_user where user_id = 1"), "-2");
  EXPECT_EQ(sql("select aggregate, counter, key, cause from tidemark.suspects"),
            "public.aggregate_user|followers|1|negative");
  EXPECT_EQ(apply(batch(1, 2).row(kUsers, 1, {1, 0})).negative_cells, 0U) << "not new any more";
}

TEST_F(StoreApply, OverflowIsBadDataWithoutTheValue) {
  sql("insert into public.aggregate_user (user_id, badges) values (1, 32767)");
  const WorldError error = error_of([&] { apply(batch(-1, 1).row(kUsers, 1, {0, 1})); });
  EXPECT_EQ(error.kind(), ErrorKind::kBadData);
  EXPECT_EQ(error.sqlstate(), "22003");
  EXPECT_THAT(error.what(), HasSubstr("public.aggregate_user"));
  EXPECT_THAT(error.what(), Not(HasSubstr("32767")));
  EXPECT_EQ(offset(), "-1") << "and nothing of the batch is stored";
}

// --- suspects and parked records ----------------------------------------------------------------

TEST_F(StoreApply, SuspectsKeepTheirFirstCause) {
  Delta first = batch(-1, 1).build();
  first.suspect_cells = {{AggregateIndex(kTags), CounterIndex(0), "a", SuspectCause::kSnapshotRow},
                         {AggregateIndex(kUsers), CounterIndex(0), "1", SuspectCause::kNoKey},
                         {AggregateIndex(kUsers), CounterIndex(0), "2", SuspectCause::kNoKey},
                         {AggregateIndex(kUsers), CounterIndex(1), "1", SuspectCause::kNoKey}};
  first.suspect_ranges = {{AggregateIndex(kTags), CounterIndex(0), SuspectCause::kTruncate}};
  store_.apply(first);
  Delta second = batch(1, 2).row(kUsers, 2, {-1, 0}).build();
  second.suspect_cells = {
      {AggregateIndex(kUsers), CounterIndex(0), "2", SuspectCause::kPartialImage}};
  second.suspect_ranges = {{AggregateIndex(kTags), CounterIndex(0), SuspectCause::kParked}};
  EXPECT_EQ(store_.apply(second).negative_cells, 0U);
  EXPECT_EQ(sql("select aggregate, counter, key, cause from tidemark.suspects order by 1, 2, 3"),
            "public.aggregate_tag|uses|a|snapshot_row,public.aggregate_user|badges|1|no_key,"
            "public.aggregate_user|followers|1|no_key,public.aggregate_user|followers|2|no_key");
  EXPECT_EQ(sql("select aggregate, counter, cause from tidemark.suspect_ranges"),
            "public.aggregate_tag|uses|truncate");
}

TEST_F(StoreApply, SuspectsOfTheBatchAndNegativeCellsAreBothStored) {
  Delta delta = batch(-1, 1).row(kUsers, 5, {-1, 0}).build();
  delta.suspect_cells = {{AggregateIndex(kUsers), CounterIndex(0), "9", SuspectCause::kNoKey},
                         {AggregateIndex(kUuids), CounterIndex(0), "x", SuspectCause::kNoKey}};
  EXPECT_EQ(store_.apply(delta).negative_cells, 1U);
  EXPECT_EQ(sql("select key, cause from tidemark.suspects order by 1"),
            "5|negative,9|no_key,x|no_key");
}

TEST_F(StoreApply, ParkedPayloadIsCutAt64KiB) {
  Delta delta = batch(-1, 1).build();
  ParkedRecord record;
  record.where = at(0);
  record.offset = Offset(0);
  record.timestamp = KafkaTimestamp(1'700'000'000'000);
  record.bad = {BadCode::kBadJson, "cut off at byte 3"};
  record.payload = std::string(ParkedRecord::kPayloadBytesMax + 1, '\0');
  (*record.payload)[0] = '\xff';
  record.payload_bytes = record.payload->size();
  delta.parked = {record, record};
  store_.apply(delta);
  EXPECT_EQ(sql("select \"offset\", code, reason, key, octet_length(payload), payload_bytes,"
                " get_byte(payload, 0) from tidemark.parked"),
            "0|bad_json|cut off at byte 3|null|65536|65537|255");
  EXPECT_EQ(store_.claim(std::vector{at(0)})[0].parked, 1U);
}

// --- rule P1 ------------------------------------------------------------------------------------

TEST_F(StoreApply, OtherOffsetIsFencedAndChangesNothing) {
  apply(batch(-1, 5).row(kUsers, 1, {1, 0}));
  EXPECT_EQ(apply(batch(-1, 5).row(kUsers, 1, {1, 0})).outcome, ApplyOutcome::kFenced);
  EXPECT_EQ(sql("select followers from public.aggregate_user"), "1");
  EXPECT_EQ(offset(), "5");
}

TEST_F(StoreApply, OlderEpochIsFenced) {
  PgStore other(declaration_, store_options());
  const Epoch newer = claim_one(other);
  EXPECT_GT(newer, epoch_);
  EXPECT_EQ(apply(batch(-1, 5).row(kUsers, 1, {1, 0})).outcome, ApplyOutcome::kFenced);
  EXPECT_EQ(sql("select count(*) from public.aggregate_user"), "0");
}

TEST_F(StoreApply, OneFencedPartitionOfTwoFencesTheBatch) {
  const auto both = store_.claim(std::vector{at(0), at(1)});
  auto builder = delta().advance(both[0].epoch, -1, 5).advance(Epoch(99), -1, 5, 1);
  EXPECT_EQ(apply(builder).outcome, ApplyOutcome::kFenced);
  EXPECT_EQ(offset(), "-1,-1");
}

TEST_F(StoreApply, ZombieWaitsForTheNewOwnerAndLoses) {
  PgTransaction owner(superuser_);
  owner.run_sql({"probe", ""}, "update tidemark.progress set epoch = epoch + 1, next_offset = 3");
  const int zombie_pid = store_.backend_pid();
  ApplyOutcome outcome = ApplyOutcome::kApplied;
  std::thread zombie([&] { outcome = apply(batch(-1, 5).row(kUsers, 1, {1, 0})).outcome; });
  await_blocked(owner, zombie_pid);
  owner.commit();
  zombie.join();
  EXPECT_EQ(outcome, ApplyOutcome::kFenced);
  EXPECT_EQ(sql("select count(*) from public.aggregate_user"), "0");
}

TEST_F(StoreApply, LockTimeoutIsRetried) {
  PgStoreOptions hasty = store_options();
  hasty.pg.lock_timeout = std::chrono::milliseconds(20);
  PgStore store(declaration_, hasty);
  epoch_ = claim_one(store);
  PgTransaction zombie(superuser_);
  zombie.run_sql({"probe", ""}, "select from tidemark.progress for update");
  const WorldError error = error_of([&] {
    store.apply(batch(-1, 5).row(kUsers, 1, {1, 0}).build());
  });
  EXPECT_EQ(error.kind(), ErrorKind::kRetry);
  EXPECT_EQ(error.sqlstate(), "55P03");
  zombie.roll_back();
  EXPECT_EQ(store.apply(batch(-1, 5).build()).outcome, ApplyOutcome::kApplied);
}

// --- two members --------------------------------------------------------------------------------

TEST_F(StoreApply, TwoMembersOnTheSameRowsNeverDeadlock) {
  constexpr int kBatches = 30;
  constexpr std::int64_t kKeys = 500;
  store_.claim(std::vector{at(1)});
  epoch_ = claim_one(store_);
  std::barrier start(2);
  const auto member = [&](std::int32_t partition, PgStore& store, Epoch epoch) {
    start.arrive_and_wait();
    for (std::int64_t b = 0; b < kBatches; ++b) {
      auto builder = delta().advance(epoch, b - 1, b, partition);
      for (std::int64_t key = 0; key < kKeys; ++key) builder.row(kPlaylists, key, {1, -1});
      for (std::int64_t key = 0; key < kKeys; ++key) builder.row(kUsers, key, {1, 0});
      EXPECT_EQ(store.apply(builder.build()).outcome, ApplyOutcome::kApplied);
    }
  };
  PgStore other(declaration_, store_options());
  const Epoch other_epoch = other.claim(std::vector{at(1)})[0].epoch;
  std::thread second([&] { member(1, other, other_epoch); });
  member(0, store_, epoch_);
  second.join();
  EXPECT_EQ(sql("select distinct followers from public.aggregate_user"), "60");
  EXPECT_EQ(sql("select distinct repost_count, save_count from public.aggregate_playlist"),
            "60|-60");
  EXPECT_EQ(sql("select count(*) from tidemark.suspects"), "500");
}

// --- a failing world ----------------------------------------------------------------------------

TEST_F(StoreApply, ConnectionLostBeforeApplyIsMadeAnew) {
  sql("select pg_terminate_backend(" + std::to_string(store_.backend_pid()) + ", 10000)");
  EXPECT_EQ(error_of([&] {
              apply(batch(-1, 5).row(kUsers, 1, {1, 0}));
            }).kind(),
            ErrorKind::kRetry);
  EXPECT_EQ(apply(batch(-1, 5).row(kUsers, 1, {1, 0})).outcome, ApplyOutcome::kApplied);
  EXPECT_EQ(sql("select followers from public.aggregate_user"), "1");
}

TEST_F(StoreApply, ConnectionLostMidTransactionStoresNothing) {
  PgTransaction holder(superuser_);
  holder.run_sql({"probe", ""}, "insert into public.aggregate_user (user_id) values (1)");
  const int pid = store_.backend_pid();
  std::thread killer([&] {
    await_blocked(holder, pid);
    holder.run_sql({"probe", ""}, "select pg_terminate_backend(" + std::to_string(pid) + ")");
  });
  const WorldError error = error_of([&] {
    apply(batch(-1, 5).row(kPlaylists, 1, {1, 0}).row(kUsers, 1, {1, 0}));
  });
  killer.join();
  holder.roll_back();
  EXPECT_EQ(error.kind(), ErrorKind::kRetry);
  EXPECT_EQ(offset(), "-1");
  EXPECT_EQ(sql("select count(*) from public.aggregate_playlist"), "0");
  EXPECT_EQ(store_.claim(std::vector{at(0)})[0].next, kNotStarted) << "the offsets tell";
}

TEST_F(StoreApply, CheckConstraintStopsAndIsNamed) {
  sql("alter table public.aggregate_user add constraint not_below check (followers >= 0)");
  const WorldError error = error_of([&] { apply(batch(-1, 5).row(kUsers, 4711, {-1, 0})); });
  EXPECT_EQ(error.kind(), ErrorKind::kFatal);
  EXPECT_THAT(error.what(), HasSubstr("not_below"));
  EXPECT_THAT(error.what(), Not(HasSubstr("4711")));
}

TEST_F(StoreApply, DroppedColumnStopsAndIsNamed) {
  sql("alter table public.aggregate_user drop column followers");
  const WorldError error = error_of([&] { apply(batch(-1, 5).row(kUsers, 1, {1, 0})); });
  EXPECT_EQ(error.kind(), ErrorKind::kFatal);
  EXPECT_THAT(error.what(), HasSubstr("followers"));
}

TEST_F(StoreApply, WidenedCounterGoesOnAfterARetry) {
  apply(batch(-1, 1).row(kUsers, 1, {0, 1}));
  sql("alter table public.aggregate_user alter column badges type bigint");
  try {
    apply(batch(1, 2).row(kUsers, 1, {0, 1}));
  } catch (const WorldError& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kRetry) << error.what();
    apply(batch(1, 2).row(kUsers, 1, {0, 1}));
  }
  EXPECT_EQ(sql("select badges from public.aggregate_user"), "2");
}

TEST_F(StoreApply, WalIsFlushedUpToWhatWasWritten) {
  const WalPositions before = store_.wal_positions();
  apply(batch(-1, 1).row(kUsers, 1, {1, 0}));
  sql("set synchronous_commit = on; create table public.flushes ()");
  const WalPositions after = store_.wal_positions();
  EXPECT_GT(after.inserted, before.inserted);
  EXPECT_GE(after.flushed, before.inserted);
}

}  // namespace
}  // namespace tidemark::testing
