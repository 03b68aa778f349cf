#include "tests/support/follows_fixture.h"

#include <algorithm>
#include <utility>

#include "consumer/store/migrate.h"

namespace tidemark::testing {
namespace {

constexpr std::chrono::milliseconds kPatience{2'000};

PgStoreOptions recounted(PgStoreOptions options, const std::optional<PgOptions>& source) {
  options.recounted = true;
  options.source = source;
  return options;
}

}  // namespace

const char* const kFollowsSchema =
    "create table public.follows (id integer primary key, followee integer not null,"
    " live boolean not null); create index on public.follows (followee);"
    " alter table public.follows replica identity full";

Declaration with_follows() {
  Declaration declaration = small_declaration();
  Table follows;
  follows.name = {"public", "follows"};
  const auto column = [](std::string name, ColumnType type) {
    Column made;
    made.name = std::move(name);
    made.type = type;
    return made;
  };
  follows.columns = {column("id", ColumnType::kInteger), column("followee", ColumnType::kInteger),
                     column("live", ColumnType::kBoolean)};
  follows.primary_key = {ColumnIndex(0)};
  follows.active = {{{ColumnIndex(2), Condition::OneOf{{Constant(true)}}}}};
  follows.contributions = {{AggregateIndex(kUsers), CounterIndex(0), ColumnIndex(1), {}}};
  follows.file = "schemas/tables/follows.toml";
  declaration.tables.insert(declaration.tables.begin(), follows);
  for (Aggregate& aggregate : declaration.aggregates) {
    for (Lookup& lookup : aggregate.lookups) lookup.table = TableIndex(1);
  }
  return declaration;
}

FollowsTest::FollowsTest(const std::optional<PgOptions>& source)
    : rows_(source ? std::make_unique<PgConnection>(*source) : nullptr),
      store_(follows_, recounted(store_options(), source)),
      recount_(follows_, {options(), "no_such_slot", source}),
      fold_(follows_, NotNewPolicy::kSuspect) {
  if (source) {
    rows_sql(kSmallSchema);
    rows_sql(
        "drop table public.aggregate_playlist, public.aggregate_tag, public.aggregate_user,"
        " public.aggregate_uuid");
    sql("drop table public.playlists");
  }
  rows_sql(kFollowsSchema);
  migrate({options(), "counters", ""}, follows_);
  claim();
}

void FollowsTest::claim() {
  const Claimed claimed = store_.claim(std::vector{at(0)})[0];
  fold_.reset(std::vector<FoldPartition>{
      {at(0), claimed.epoch, claimed.next, claimed.mark, claimed.touch_only}});
  next_ = std::max<std::int64_t>(0, claimed.next.value);
}

Change FollowsTest::write(const std::string& statement) {
  const std::string both =
      rows_sql("with row as (" + statement +
               " returning id) select pg_current_xact_id()::xid, pg_current_wal_insert_lsn()"
               " - '0/0' from row");
  const auto bar = both.find('|');
  Change change;
  change.table = TableIndex(0);
  change.tx_id = std::stoull(both.substr(0, bar));
  // The row's record begins at or after the position read before it was written.
  change.position =
      Position{Lsn(std::stoull(both.substr(bar + 1)) - 1), Lsn(std::stoull(both.substr(bar + 1)))};
  return change;
}

Change FollowsTest::follow(int id, int followee) {
  Change change = write("insert into public.follows values (" + std::to_string(id) + ", " +
                        std::to_string(followee) + ", true)");
  change.op = Op::kCreate;
  change.after = {std::int64_t{id}, std::int64_t{followee}, true};
  return change;
}

Change FollowsTest::set_live(int id, int followee, bool live) {
  Change change = write("update public.follows set live = " + std::string(live ? "true" : "false") +
                        " where id = " + std::to_string(id));
  change.op = Op::kUpdate;
  change.before = {std::int64_t{id}, std::int64_t{followee}, !live};
  change.after = {std::int64_t{id}, std::int64_t{followee}, live};
  return change;
}

void FollowsTest::fold(const Change& change) {
  Record record;
  record.topic = "t";
  record.offset = Offset(next_++);
  fold_.add_change(record, change);
}

ApplyResult FollowsTest::apply(const Change& change) {
  fold(change);
  return apply();
}

SliceResult FollowsTest::recount(KeySet keys) {
  return recount_.recount(AggregateIndex(kUsers), std::move(keys), kPatience, nullptr);
}

void FollowsTest::first_pass() {
  while (const auto pass = pass_in_hand()) move(*pass);
}

std::optional<Pass> FollowsTest::pass_in_hand() {
  const auto pass = recount_.current_pass();
  return pass ? pass : recount_.begin_due_pass(std::chrono::milliseconds(3'600'000));
}

void FollowsTest::move(const Pass& pass, std::size_t rows) {
  KeySet keys{.from = pass.next_key, .to = recount_.range_end(pass.aggregate, pass.next_key, rows)};
  const bool last = !keys.to && pass.last_aggregate;
  ASSERT_TRUE(recount_.recount(pass.aggregate, std::move(keys), kPatience, &pass).taken);
  if (last) recount_.end_pass(pass);
}

std::vector<DriftRow> FollowsTest::drop_all() {
  std::vector<std::int64_t> ids;
  for (const OutstandingFence& fence : recount_.fences()) ids.push_back(fence.id);
  return recount_.drop_fences(ids);
}

void FollowsTest::settle() {
  first_pass();
  drop_all();
}

VerifyLook FollowsTest::look(PgVerify& verify) {
  return verify
      .look(std::vector<AggregateIndex>{AggregateIndex(kUsers)},
            [](std::uint64_t) { return true; })
      .value();
}

Verification FollowsTest::verification_of(
    const VerifyLook& look, const std::vector<std::vector<Change>>& on_the_way) const {
  Verification verification(follows_, look.snapshot, look.fences, look.suspects, look.ranges);
  for (const CellDifference& difference : look.differences) {
    verification.add_difference(difference);
  }
  Fold fold(follows_, NotNewPolicy::kSuspect);
  fold.reset(look.partitions);
  for (std::uint32_t slot = 0; slot < look.partitions.size(); ++slot) {
    const FoldPartition& partition = look.partitions[slot];
    std::int64_t next = std::max<std::int64_t>(0, partition.next.value);
    for (const Change& change :
         on_the_way.at(static_cast<std::size_t>(partition.where.partition.value))) {
      Record record;
      record.topic = partition.where.topic;
      record.slot = slot;
      record.offset = Offset(next++);
      fold.add_change(record, change);
    }
  }
  if (!fold.empty()) verification.add_lag(fold.take());
  return verification;
}

}  // namespace tidemark::testing
