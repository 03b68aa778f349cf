#include "consumer/store/fence_table.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <map>
#include <random>
#include <ranges>
#include <string>
#include <thread>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

// The batch's own transaction id is above every id that the batch names: these were given out
// before their changes were decoded, this one later. So it serves as F1's n, and no id that counts
// lies between it and a higher xmax.
constexpr const char* kTurnSql = R"(
select version, pg_current_snapshot()::text, pg_current_xact_id()::text, history
  from tidemark.turn)";

constexpr const char* kFencesSql = R"(
select id, aggregate, key_from, key_to, listed is not null, snapshot, next_id, inserted, restart,
       array_to_string(booked, E'\n') from tidemark.fences order by id)";

// One row a key: an array in a result would have to be parsed.
constexpr const char* kFenceKeysSql = R"(
select f.id, k.key, f.listed is not null from tidemark.fences f
  cross join lateral unnest(coalesce(f.listed, f.except_keys)) as k(key)
 order by f.id, k.key)";

// A row of `log` comes before what is made of it.
constexpr const char* kEndsSql = R"(
with log as materialized (
  select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as inserted
)
select inserted, pg_current_xact_id()::text from log)";

constexpr const char* kHistorySql = R"(
select (select system_identifier from pg_control_system())::text || '/' ||
       left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))";

// A commit becomes visible microseconds after its record is in the log; many times that is a lot.
constexpr std::chrono::milliseconds kVisibleWait{1};
constexpr int kVisibleTries = 50;

std::uint64_t take_id(std::string_view& text) {
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  TIDEMARK_CHECK(error == std::errc{});
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.empty()) text.remove_prefix(1);  // ':' or ','
  return id;
}

Lsn lsn_of(std::int64_t stored) { return Lsn(std::bit_cast<std::uint64_t>(stored)); }

// By name: another member may have the same declaration in another order, and a counter that was
// declared since is suspect until its own recount.
std::vector<bool> repairs_of(const Aggregate& aggregate, std::string_view booked) {
  std::vector<bool> repairs(aggregate.cells(), true);
  for (const auto& name : std::views::split(booked, '\n')) {
    for (std::uint32_t c = 0; c < repairs.size(); ++c) {
      if (std::ranges::equal(aggregate.cell_name(CounterIndex(c)), name)) repairs[c] = false;
    }
  }
  return repairs;
}

}  // namespace

SourceSnapshot parse_snapshot(std::string_view text) {
  SourceSnapshot snapshot;
  take_id(text);  // xmin: the oldest of the list
  snapshot.xmax = take_id(text);
  while (!text.empty()) snapshot.running.push_back(take_id(text));
  snapshot.next = snapshot.xmax;
  return snapshot;
}

void read_ends(PgTransaction& source, SourceSnapshot& snapshot) {
  const SqlResult ends = source.run_sql({"read the end of the log, then an id", ""}, kEndsSql);
  snapshot.inserted = lsn_of(ends.integer(0, 0));
  snapshot.next = static_cast<std::uint64_t>(ends.integer(0, 1));
}

void prepare_fences(PgConnection& connection) {
  connection.prepare({"share_turn", "the turn"},
                     "select pg_advisory_xact_lock_shared(" + std::to_string(kTurnLock) + ")");
  connection.prepare({"read_turn", "tidemark.turn"}, kTurnSql);
  connection.prepare({"read_fences", "tidemark.fences"}, kFencesSql);
  connection.prepare({"read_fence_keys", "tidemark.fences"}, kFenceKeysSql);
}

void share_turn(PgTransaction& transaction) { transaction.run("share_turn", {}); }

Turn read_turn(PgTransaction& transaction) {
  const SqlResult row = transaction.run("read_turn", {});
  TIDEMARK_CHECK(row.rows() == 1);
  Turn turn{row.integer(0, 0), std::string(row.text(0, 3)), parse_snapshot(row.text(0, 1))};
  turn.snapshot.next = std::max(turn.snapshot.xmax, static_cast<std::uint64_t>(row.integer(0, 2)));
  return turn;
}

// A commit can be decoded a moment before snapshots see it.
void wait_until_visible(const Delta& delta, SourceSnapshot seen,
                        const std::function<SourceSnapshot()>& look) {
  for (int tries = 0; !saw_all(seen, delta); ++tries) {
    if (tries == kVisibleTries) {
      throw WorldError(ErrorKind::kRetry,
                       "a transaction whose changes came is not yet visible in the database: a "
                       "commit that waits "
                       "for its synchronous standby is not");
    }
    std::this_thread::sleep_for(kVisibleWait);
    seen = look();
  }
}

std::string new_turn_version() {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  return std::to_string(random() >> 1U);  // a bigint without its sign
}

std::vector<Fence> read_fences(PgTransaction& transaction, const Declaration& declaration) {
  const SqlResult rows = transaction.run("read_fences", {});
  std::map<std::string, AggregateIndex, std::less<>> aggregates;
  for (std::uint32_t i = 0; i < declaration.aggregates.size(); ++i) {
    aggregates[declaration.aggregates[i].name.text()] = AggregateIndex(i);
  }
  std::map<std::int64_t, Fence> fences;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const auto aggregate = aggregates.find(rows.text(row, 1));
    if (aggregate == aggregates.end()) continue;  // no longer declared: nothing is counted there
    Fence fence{.id = rows.integer(row, 0),
                .aggregate = aggregate->second,
                .keys = {.from = rows.optional_text(row, 2), .to = rows.optional_text(row, 3)},
                .snapshot = parse_snapshot(rows.text(row, 5)),
                .repairs = repairs_of(declaration.aggregate(aggregate->second), rows.text(row, 9))};
    if (rows.boolean(row, 4)) fence.keys.listed.emplace();
    fence.snapshot.next = static_cast<std::uint64_t>(rows.integer(row, 6));
    fence.snapshot.inserted = lsn_of(rows.integer(row, 7));
    fence.snapshot.restart = lsn_of(rows.integer(row, 8));
    fences.emplace(fence.id, std::move(fence));
  }
  const SqlResult keys = transaction.run("read_fence_keys", {});
  for (std::size_t row = 0; row < keys.rows(); ++row) {
    const auto fence = fences.find(keys.integer(row, 0));
    if (fence == fences.end()) continue;
    KeySet& set = fence->second.keys;
    (keys.boolean(row, 2) ? *set.listed : set.except).emplace_back(keys.text(row, 1));
  }
  std::vector<Fence> list;
  for (auto& [id, fence] : fences) list.push_back(std::move(fence));
  return list;
}

std::string read_history(PgTransaction& transaction) {
  const SqlResult row = transaction.run_sql({"read the database's history", ""}, kHistorySql);
  return std::string(row.text(0, 0));
}

}  // namespace tidemark
