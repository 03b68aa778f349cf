#include "tests/support/pg_fixture.h"

#include <chrono>

#include "consumer/store/migrate.h"
#include "tests/support/scratch_postgres.h"

namespace tidemark::testing {
namespace {

// A loaded machine may take its time; a test that never gets there must end.
constexpr std::chrono::seconds kAwaitMax{60};

Aggregate aggregate(std::string name, std::string key, ColumnType type,
                    const std::vector<std::string>& counters) {
  Aggregate made;
  made.name = {"public", std::move(name)};
  made.key = std::move(key);
  made.key_type = type;
  for (const std::string& counter : counters) made.counters.push_back({counter});
  made.file = "schemas/aggregates/" + made.name.name + ".toml";
  return made;
}

Column column(std::string name, ColumnType type) {
  Column made;
  made.name = std::move(name);
  made.type = type;
  return made;
}

}  // namespace

const char* const kSmallSchema = R"(
create table public.playlists (playlist_id integer not null, txhash text not null default '',
  is_album boolean not null, is_current boolean not null, primary key (playlist_id, txhash));
alter table public.playlists replica identity full;
create table public.aggregate_playlist (playlist_id integer primary key, is_album boolean,
  repost_count integer default 0, save_count integer default 0) with (fillfactor = 50);
create table public.aggregate_tag (tag text primary key, uses bigint default 0);
create table public.aggregate_user (user_id integer primary key, followers bigint default 0,
  badges smallint default 0, score integer not null default 7);
create table public.aggregate_uuid (id uuid primary key, uses integer not null default 0);
)";

Declaration small_declaration() {
  Declaration declaration;
  Table playlists;
  playlists.name = {"public", "playlists"};
  playlists.columns = {
      column("playlist_id", ColumnType::kInteger), column("txhash", ColumnType::kText),
      column("is_album", ColumnType::kBoolean), column("is_current", ColumnType::kBoolean)};
  playlists.primary_key = {ColumnIndex(0), ColumnIndex(1)};
  playlists.file = "schemas/tables/playlists.toml";
  declaration.tables = {playlists};
  Aggregate of_playlist = aggregate("aggregate_playlist", "playlist_id", ColumnType::kInteger,
                                    {"repost_count", "save_count"});
  const Condition current{ColumnIndex(3), Condition::OneOf{{Constant(true)}}};
  of_playlist.lookups = {
      {"is_album", TableIndex(0), ColumnIndex(2), ColumnIndex(0), Predicate{{current}}}};
  declaration.aggregates = {
      of_playlist, aggregate("aggregate_tag", "tag", ColumnType::kText, {"uses"}),
      aggregate("aggregate_user", "user_id", ColumnType::kInteger, {"followers", "badges"}),
      aggregate("aggregate_uuid", "id", ColumnType::kUuid, {"uses"})};
  return declaration;
}

// --- DeltaBuilder -------------------------------------------------------------------------------

DeltaBuilder::DeltaBuilder(const Declaration& declaration) {
  for (const Aggregate& declared : declaration.aggregates) {
    AggregateDelta empty;
    empty.counters = declared.counters.size();
    delta_.aggregates.push_back(empty);
  }
}

void DeltaBuilder::add_deltas(AggregateDelta& target, const std::vector<std::int32_t>& deltas) {
  target.deltas.insert(target.deltas.end(), deltas.begin(), deltas.end());
}

DeltaBuilder& DeltaBuilder::row(std::uint32_t index, std::int64_t key,
                                std::vector<std::int32_t> deltas) {
  delta_.aggregates[index].integer_keys.push_back(key);
  add_deltas(delta_.aggregates[index], deltas);
  return *this;
}

DeltaBuilder& DeltaBuilder::row(std::uint32_t index, std::string key,
                                std::vector<std::int32_t> deltas) {
  delta_.aggregates[index].text_keys.push_back(std::move(key));
  add_deltas(delta_.aggregates[index], deltas);
  return *this;
}

DeltaBuilder& DeltaBuilder::advance(Epoch epoch, std::int64_t from, std::int64_t to,
                                    std::int32_t partition) {
  Advance advance;
  advance.where = {"t", Partition(partition)};
  advance.epoch = epoch;
  advance.from = Offset(from);
  advance.to = Offset(to);
  delta_.advances.push_back(advance);
  return *this;
}

// --- StoreTest ----------------------------------------------------------------------------------

StoreTest::StoreTest()
    : dsn_(ScratchPostgres::instance().make_database("store")), superuser_(options()) {
  sql(kSmallSchema);
}

std::string StoreTest::run_sql(PgConnection& connection, const std::string& text) {
  const SqlResult rows = connection.run_alone("test", text);
  std::string out;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    if (row > 0) out += ",";
    for (std::size_t c = 0; c < rows.columns(); ++c) {
      if (c > 0) out += "|";
      out += rows.is_null(row, c) ? "null" : std::string(rows.text(row, c));
    }
  }
  return out;
}

void StoreTest::await_blocked(PgTransaction& holder, int backend_pid) {
  const auto until = std::chrono::steady_clock::now() + kAwaitMax;
  const std::string blocked =
      "select cardinality(pg_blocking_pids(" + std::to_string(backend_pid) + ")) > 0";
  while (!holder.run_sql({"await", ""}, blocked).boolean(0, 0)) {
    if (std::chrono::steady_clock::now() > until) {
      ADD_FAILURE() << "the backend never waited for a lock";
      return;
    }
  }
}

PgOptions StoreTest::options() const {
  PgOptions options;
  options.connection = dsn_;
  // Who waits for the test's own transaction does so however slowly the test comes to its end.
  options.lock_timeout = kAwaitMax;
  options.idle_in_transaction_timeout = kAwaitMax;
  return options;
}

PgOptions StoreTest::options_as(const std::string& role) const {
  PgOptions options = StoreTest::options();
  options.connection += " user=" + role;
  return options;
}

PgStoreOptions StoreTest::store_options() const {
  return {options(), "counters", "member-1", false};
}

void StoreTest::migrate_small() { migrate({options(), "counters", ""}, declaration_); }

WorldError error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const WorldError& error) {
    return error;
  }
  ADD_FAILURE() << "no WorldError was thrown";
  return {ErrorKind::kFatal, "none"};
}

}  // namespace tidemark::testing
