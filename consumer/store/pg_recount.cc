#include "consumer/store/pg_recount.h"

#include <algorithm>
#include <map>
#include <set>

#include "consumer/core/check.h"
#include "consumer/core/kill_point.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/apply_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/fence_table.h"
#include "consumer/store/key_condition.h"
#include "consumer/store/milestones.h"
#include "consumer/store/source_database.h"
#include "consumer/store/state.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;

// The turn is held meanwhile: what takes longer is counted in smaller slices. Twice this, as
// recounted columns are computed as well, is less than the target's session may be idle for.
constexpr std::chrono::milliseconds kCountMax{4'000};
// Ends of the log that wait for transactions to end: one open for hours must not grow a list.
constexpr std::size_t kLogEndsMax = 1000;

// With the turn's new version, which batches that were folded before don't know (rule F3), and the
// pass moved on: each statement more is time that the stream waits for.
constexpr const char* kFenceSql = R"(
with versioned as (
  update tidemark.turn set version = $11::bigint
), moved as (
  update tidemark.passes
     set slices = slices + 1, cells = cells + $13::bigint, corrected = corrected + $14::bigint,
         next_key = $3::text,
         at_aggregate = at_aggregate + case when $3::text is null then 1 else 0 end
   where id = $12::bigint
)
insert into tidemark.fences (aggregate, key_from, key_to, listed, except_keys, snapshot, next_id,
                             inserted, restart, booked, offsets)
values ($1::text, $2::text, $3::text, $4::text[], $5::text[], $6::text, $7::bigint, $8::bigint,
        $9::bigint, $10::text[],
        (select jsonb_object_agg(topic || '/' || partition, next_offset) from tidemark.progress))
returning id)";

constexpr const char* kBookSql = R"(
insert into tidemark.ledger as l (aggregate, counter, key, remaining, expected, suspect, fence)
select $1::text, $2::text, b.key, b.difference, b.expected, false, $6::bigint
  from unnest($3::text[], $4::bigint[], $5::bigint[]) as b(key, difference, expected)
on conflict (aggregate, counter, key) do update
   set remaining = l.remaining + excluded.remaining, expected = excluded.expected,
       fence = greatest(l.fence, excluded.fence))";

std::chrono::microseconds since(Steady::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Steady::now() - start);
}

}  // namespace

// One row of the aggregate, or what was counted for one key: the counters in declaration order.
struct PgRecount::Row {
  std::string key;
  std::vector<std::int64_t> values;
  // Of a row of the aggregate only: what its looked up and its recounted columns hold.
  ColumnTexts looked_up;
  ColumnTexts texts;
};

struct PgRecount::Counts {
  std::string snapshot_text;
  SourceSnapshot snapshot;
  std::vector<Row> rows;
  std::vector<ColumnTexts> looked_up;  // as the cells that were given
  TextsByKey recounted;
  std::chrono::microseconds took{0};  // the statement
};

// What must be added to a row so that it is what was counted, and what was computed for it. Looked
// up columns count as well: should the event be lost that has them looked up again, nothing else
// makes them right.
struct PgRecount::Difference {
  std::string key;
  std::vector<std::int64_t> add;
  std::vector<std::int64_t> expected;
  bool there = false;  // the aggregate has the row
  ColumnTexts found;
  ColumnTexts texts;
  std::vector<bool> recounted;  // by group: its columns differ
  bool looked_up = false;       // a looked up column differs

  // What differs, in declaration order (Aggregate::cells).
  bool differs(std::size_t cell) const {
    return cell < add.size() ? add[cell] != 0 : recounted[cell - add.size()];
  }
  std::size_t cells() const {
    std::size_t count = looked_up ? 1 : 0;
    for (std::size_t c = 0; c < add.size() + recounted.size(); ++c) count += differs(c) ? 1U : 0U;
    return count;
  }
};

// The turn ends with the commit, and batches must not wait for a disk: cells, fence and what comes
// of them share one log with the batches that go by them, so a crash takes back all or none, the
// newest first.
bool PgRecount::take_turn(PgTransaction& transaction, std::chrono::milliseconds patience) {
  transaction.run_sql({"bound the wait for a turn", ""},
                      "set local synchronous_commit = off; set local lock_timeout = " +
                          std::to_string(patience.count()));
  try {
    transaction.run("take_turn", {});
    return true;
  } catch (const WorldError& error) {
    if (error.sqlstate() != "55P03") throw;
    return false;
  }
}

std::vector<PgRecount::Row> PgRecount::read_cells(PgTransaction& transaction, AggregateIndex index,
                                                  const KeySet& keys) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  const KeyCondition condition(aggregate, keys);
  std::string looked_up;
  for (const Lookup& lookup : aggregate.lookups) {
    looked_up += ", t." + quote_identifier(lookup.column) + "::text";
  }
  const SqlResult result = transaction.run_sql(
      {"read the cells", aggregate.name.text()},
      "select t." + quote_identifier(aggregate.key) + "::text" + counter_list(aggregate, "t") +
          looked_up + recounted_[index.value].columns("t") + " from " + quote_name(aggregate.name) +
          " as t where " + condition.sql(ordered_key_sql(aggregate, "t")),
      condition.params());
  std::vector<Row> rows;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    Row cells{std::string(result.text(row, 0)), {}, {}, {}};
    std::size_t column = 1;
    for (std::size_t c = 0; c < aggregate.counters.size(); ++c) {
      cells.values.push_back(result.integer(row, column++));  // null counts as 0
    }
    for (std::size_t i = 0; i < aggregate.lookups.size(); ++i) {
      cells.looked_up.push_back(result.optional_text(row, column++));
    }
    cells.texts = recounted_[index.value].read(result, row, column);
    rows.push_back(std::move(cells));
  }
  return rows;
}

// Snapshot and counts by one statement (rule F4).
SqlResult PgRecount::count_rows(PgTransaction& source, AggregateIndex index,
                                const KeySet& keys) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  const KeyCondition condition(aggregate, keys);
  const std::string counting = keys.listed
                                   ? recount_keys_sql(declaration_, index)
                                   : recount_range_sql(declaration_, index, condition.bounds());
  return source.run_sql(
      {"count the rows behind", aggregate.name.text()},
      "select s.snapshot, r.key::text" + counter_list(aggregate, "r") +
          " from (select pg_current_snapshot()::text as snapshot) as s left join (" + counting +
          ") as r on true",
      condition.params());
}

std::chrono::microseconds PgRecount::rehearse(AggregateIndex index, const KeySet& keys) {
  const auto begun = Steady::now();
  {
    PgTransaction transaction(source_.get());
    count_rows(transaction, index, keys);
  }
  const auto counted = since(begun);
  PgTransaction transaction(target_.get());
  read_cells(transaction, index, keys);
  return counted;
}

// Rules F1 and F4: counts and snapshot by one statement, then the end of the log, then an id that
// was given out after the snapshot, as the transaction had none. Recounted columns are computed
// before the end of the log is read: the events of what they show come below it, and so before the
// fence goes, and tell lag from drift.
PgRecount::Counts PgRecount::count(AggregateIndex index, const KeySet& keys,
                                   const std::vector<Row>& cells) {
  const Aggregate& aggregate = declaration_.aggregate(index);
  Counts counts;
  PgTransaction transaction(source_.get());
  const auto begun = Steady::now();
  const SqlResult result = count_rows(transaction, index, keys);
  counts.took = since(begun);
  counts.snapshot_text = std::string(result.text(0, 0));
  for (std::size_t row = 0; row < result.rows(); ++row) {
    if (result.is_null(row, 1)) continue;
    Row counted{std::string(result.text(row, 1)), {}, {}, {}};
    for (std::size_t c = 0; c < aggregate.counters.size(); ++c) {
      counted.values.push_back(result.integer(row, c + 2));
    }
    counts.rows.push_back(std::move(counted));
  }
  if (!aggregate.lookups.empty()) {
    std::vector<std::string> known;
    for (const Row& row : cells) known.push_back(row.key);
    counts.looked_up = look_up(transaction, declaration_, index, known);
  }
  if (!aggregate.recounted.empty()) {
    std::set<std::string> known;
    for (const Row& row : cells) known.insert(row.key);
    for (const Row& row : counts.rows) known.insert(row.key);  // those that are missing are made
    const std::vector<std::string> all(known.begin(), known.end());
    counts.recounted = recounted_[index.value].compute(transaction, all);
  }
  counts.snapshot = parse_snapshot(counts.snapshot_text);
  read_ends(transaction, counts.snapshot);
  // Rule F10: the commit of something written flushes the log past L. What was counted and is not
  // on the source's disk could be gone after a crash there, and the fence would skip for nothing.
  if (two_databases_) transaction.run("flush_log", {});
  transaction.commit();
  counts.snapshot.restart = floor_of(counts.snapshot);
  return counts;
}

Lsn PgRecount::log_end() {
  PgTransaction transaction(source_.get());
  const SqlResult end = transaction.run("log_end", {});
  transaction.commit();
  return Lsn(static_cast<std::uint64_t>(end.integer(0, 0)));
}

// A place in the log below which every change was seen, whatever 32 bits of an old transaction's id
// say: what stood below an earlier L was written under ids before the n that followed it, and all
// of these had ended. The slot's restart LSN is none: a commit can be confirmed before it is seen.
Lsn PgRecount::floor_of(const SourceSnapshot& snapshot) {
  std::uint64_t oldest = snapshot.xmax;
  for (const std::uint64_t id : snapshot.running) oldest = std::min(oldest, id);
  while (!log_ends_.empty() && log_ends_.front().next <= oldest) {
    floor_ = log_ends_.front().inserted;
    log_ends_.pop_front();
  }
  if (log_ends_.size() < kLogEndsMax) log_ends_.push_back({snapshot.inserted, snapshot.next});
  return floor_;
}

// Keeps the differences whose rows we could lock, and gives the keys of the others (rule F5).
std::vector<std::string> PgRecount::lock_rows(PgTransaction& transaction, AggregateIndex index,
                                              std::vector<Difference>& differences) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  std::vector<std::string> there;
  for (const Difference& difference : differences) {
    if (difference.there) there.push_back(difference.key);
  }
  if (there.empty()) return {};
  const KeySet keys{.listed = there};
  const KeyCondition condition(aggregate, keys);
  const std::string key = ordered_key_sql(aggregate, "t");
  const SqlResult result = transaction.run_sql(
      {"lock the rows that differ", aggregate.name.text()},
      "select t." + quote_identifier(aggregate.key) + "::text from " + quote_name(aggregate.name) +
          " as t where " + condition.sql(key) + " order by " + key + " for update of t skip locked",
      condition.params());
  std::set<std::string, std::less<>> locked;
  for (std::size_t row = 0; row < result.rows(); ++row) locked.emplace(result.text(row, 0));
  std::vector<std::string> held;
  std::erase_if(differences, [&](const Difference& difference) {
    if (!difference.there || locked.contains(difference.key)) return false;
    held.push_back(difference.key);
    return true;
  });
  return held;
}

// Rule F6: only count columns, and those that are looked up beside them, only where they differ.
void PgRecount::write(PgTransaction& transaction, AggregateIndex index,
                      const std::vector<Difference>& differences) {
  if (differences.empty()) return;
  const std::size_t counters = declaration_.aggregate(index).counters.size();
  ArrayLiteral keys;
  std::vector<ArrayLiteral> columns(counters);
  std::vector<bool> touched(counters, false);
  for (const Difference& difference : differences) {
    keys.add(difference.key);
    for (std::size_t c = 0; c < counters; ++c) {
      columns[c].add(difference.add[c]);
      if (difference.add[c] != 0) touched[c] = true;
    }
  }
  SqlParams params{keys.take()};
  for (std::size_t c = 0; c < counters; ++c) {
    params.push_back(touched[c] ? std::optional(columns[c].take()) : std::nullopt);
  }
  if (two_databases_) {
    PgTransaction source(source_.get());
    add_lookups(source, declaration_, index, params);
    source.commit();
  }
  transaction.run("correct_" + std::to_string(index.value), params);
}

// To the rows that are there by now, all of them locked.
void PgRecount::write_recounted(PgTransaction& transaction, AggregateIndex index,
                                const std::vector<Difference>& differences) const {
  const RecountedTable& table = recounted_[index.value];
  for (std::size_t g = 0; g < declaration_.aggregate(index).recounted.size(); ++g) {
    std::vector<std::string> keys;
    std::vector<const ColumnTexts*> rows;
    for (const Difference& difference : differences) {
      if (!difference.recounted[g]) continue;
      keys.push_back(difference.key);
      rows.push_back(&difference.texts);
    }
    if (!keys.empty()) table.write(transaction, g, keys, rows);
  }
}

std::vector<RaisedCell> PgRecount::raised(AggregateIndex index,
                                          const std::vector<Difference>& differences) const {
  std::vector<RaisedCell> cells;
  const auto& milestones = declaration_.aggregate(index).milestones.counters;
  for (const Difference& difference : differences) {
    for (std::size_t m = 0; m < milestones.size(); ++m) {
      const std::int64_t add = difference.add[milestones[m].counter.value];
      const std::int64_t after = difference.expected[milestones[m].counter.value];
      if (add > 0) cells.push_back({m, difference.key, after - add, after});
    }
  }
  return cells;
}

PgRecount::Waiting PgRecount::look_at(PgTransaction& transaction, AggregateIndex index,
                                      const KeySet& keys) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  const KeyCondition condition(aggregate, keys);
  const std::string name = quote_literal(aggregate.name.text());
  const auto exists = [&](const std::string& tells, const std::string& table,
                          const std::string& keys_sql) {
    return " union all select '" + tells + "', null where exists (select from tidemark." + table +
           " as w where w.aggregate = " + name + " and " + keys_sql + ")";
  };
  const std::string of_key = condition.sql(stored_key_sql(aggregate, "w.key"));
  const SqlResult rows = transaction.run_sql(
      {"look at what waits", "tidemark.suspects"},
      "select 'declared', declaration_hash from tidemark.state union all"
      " select 'whole', counter from tidemark.suspect_ranges where aggregate = " + name +
          exists("suspects", "suspects", condition.stored_sql("w.key")) +
          exists("ledger", "ledger", of_key) + exists("unannounced", "unannounced", of_key),
      condition.params());
  Waiting waiting;
  waiting.repairs.resize(aggregate.cells(), false);
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const std::string_view tells = rows.text(row, 0);
    if (tells == "declared") check_declaration(rows.text(row, 1), declaration_hash_);
    waiting.suspects = waiting.suspects || tells == "suspects";
    waiting.ledger = waiting.ledger || tells == "ledger";
    waiting.unannounced = waiting.unannounced || tells == "unannounced";
    for (std::uint32_t c = 0; tells == "whole" && c < waiting.repairs.size(); ++c) {
      if (aggregate.cell_name(CounterIndex(c)) == rows.text(row, 1)) waiting.repairs[c] = true;
    }
  }
  return waiting;
}

std::int64_t PgRecount::add_fence(PgTransaction& transaction, const Fence& fence,
                                  const std::string& snapshot, const Pass* pass,
                                  const SliceResult& result) const {
  const Aggregate& aggregate = declaration_.aggregate(fence.aggregate);
  std::vector<std::string> booked;
  for (std::uint32_t c = 0; c < fence.repairs.size(); ++c) {
    if (!fence.repairs[c]) booked.push_back(aggregate.cell_name(CounterIndex(c)));
  }
  const KeySet& keys = fence.keys;
  const SqlResult added = transaction.run(
      "add_fence",
      {aggregate.name.text(), keys.from, keys.to,
       keys.listed ? std::optional(array_of(*keys.listed)) : std::nullopt, array_of(keys.except),
       snapshot, std::to_string(fence.snapshot.next),
       std::to_string(static_cast<std::int64_t>(fence.snapshot.inserted.value)),
       std::to_string(static_cast<std::int64_t>(fence.snapshot.restart.value)), array_of(booked),
       new_turn_version(), pass != nullptr ? std::optional(std::to_string(pass->id)) : std::nullopt,
       std::to_string(result.rows), std::to_string(result.corrected)});
  return added.integer(0, 0);
}

// Those that were suspect are no longer, and what the ledger tells of them is no drift.
void PgRecount::settle_suspects(PgTransaction& transaction, const Fence& fence,
                                const std::string& masked) const {
  const Aggregate& aggregate = declaration_.aggregate(fence.aggregate);
  const KeyCondition condition(aggregate, fence.keys);
  const std::string name = quote_literal(aggregate.name.text());
  transaction.run_sql(
      {"note what was suspect", "tidemark.ledger"},
      "insert into tidemark.ledger as l (aggregate, counter, key, remaining, suspect, fence)"
      " select s.aggregate, s.counter, s.key, 0, true, " +
          std::to_string(fence.id) + " from tidemark.suspects as s where s.aggregate = " + name +
          " and s.cause <> 'requested' and s.counter <> all(" + masked + ") and " +
          condition.stored_sql("s.key") +
          " on conflict (aggregate, counter, key) do update"
          " set suspect = true, fence = greatest(l.fence, excluded.fence)",
      condition.params());
  transaction.run_sql({"take what was recounted off the list", "tidemark.suspects"},
                      "delete from tidemark.suspects as s where s.aggregate = " + name + " and " +
                          condition.stored_sql("s.key"),
                      condition.params());
}

// DESIGN 4.5: what differed, for each cell that was not suspect as part of its whole counter.
void PgRecount::book(PgTransaction& transaction, const Fence& fence, const Waiting& waiting,
                     const std::vector<Difference>& differences) const {
  const Aggregate& aggregate = declaration_.aggregate(fence.aggregate);
  const KeyCondition condition(aggregate, fence.keys);
  const std::string name = quote_literal(aggregate.name.text());
  const std::string id = std::to_string(fence.id);
  std::vector<std::string> repaired;
  for (std::uint32_t c = 0; c < fence.repairs.size(); ++c) {
    if (fence.repairs[c]) repaired.push_back(aggregate.cell_name(CounterIndex(c)));
  }
  const std::string masked = quote_literal(array_of(repaired)) + "::text[]";
  // Earlier rows wait for this fence too, also where nothing differs: what it skips is theirs.
  if (waiting.ledger) {
    transaction.run_sql({"raise the ledger's fences", "tidemark.ledger"},
                        "update tidemark.ledger as l set fence = " + id +
                            ", suspect = l.suspect or l.counter = any(" + masked +
                            ") where l.aggregate = " + name + " and " +
                            condition.sql(stored_key_sql(aggregate, "l.key")),
                        condition.params());
  }
  if (waiting.suspects) settle_suspects(transaction, fence, masked);
  for (std::uint32_t c = 0; c < fence.repairs.size(); ++c) {
    if (fence.repairs[c]) continue;
    const bool counter = c < aggregate.counters.size();
    ArrayLiteral keys;
    ArrayLiteral adds;
    ArrayLiteral expected;
    bool any = false;
    for (const Difference& difference : differences) {
      if (!difference.differs(c)) continue;
      any = true;
      keys.add(difference.key);
      adds.add(counter ? difference.add[c] : 1);  // recounted columns have no size: one correction
      if (counter) {
        expected.add(difference.expected[c]);
      } else {
        expected.add_null();
      }
    }
    if (!any) continue;
    transaction.run("book", {aggregate.name.text(), aggregate.cell_name(CounterIndex(c)),
                             keys.take(), adds.take(), expected.take(), id});
  }
}

// What must change, in key order.
std::vector<PgRecount::Difference> PgRecount::compare(AggregateIndex index,
                                                      const std::vector<Row>& cells,
                                                      const Counts& counts, bool listed) const {
  const RecountedTable& table = recounted_[index.value];
  std::map<std::string, Difference, std::less<>> found;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const Row& row = cells[i];
    Difference& difference = found[row.key];
    // What can't be looked up stays, as in a batch.
    for (std::size_t l = 0; l < row.looked_up.size(); ++l) {
      const auto& now = counts.looked_up[i][l];
      difference.looked_up = difference.looked_up || (now && now != row.looked_up[l]);
    }
    difference.expected.assign(row.values.size(), 0);
    difference.there = true;
    difference.found = row.texts;
    for (const std::int64_t value : row.values) difference.add.push_back(-value);
  }
  for (const Row& row : counts.rows) {
    Difference& difference = found[row.key];
    difference.add.resize(row.values.size(), 0);
    difference.found.resize(table.nulls().size());
    difference.expected = row.values;
    for (std::size_t c = 0; c < row.values.size(); ++c) difference.add[c] += row.values[c];
  }
  std::vector<Difference> differences;
  for (auto& [key, difference] : found) {
    difference.key = key;
    const auto computed = counts.recounted.find(key);
    difference.texts = computed == counts.recounted.end() ? table.nulls() : computed->second;
    difference.recounted = table.differing(difference.found, difference.texts);
    const bool counted =
        std::ranges::any_of(difference.add, [](std::int64_t add) { return add != 0; });
    // A row that is missing is made, unless only its key was asked for.
    const bool wanted = difference.there ? difference.cells() > 0 : counted || !listed;
    if (wanted) differences.push_back(std::move(difference));
  }
  std::ranges::sort(differences, [&](const Difference& a, const Difference& b) {
    return key_less(declaration_.aggregate(index), a.key, b.key);
  });
  return differences;
}

SliceResult PgRecount::recount(AggregateIndex index, KeySet keys,
                               std::chrono::milliseconds patience, const Pass* pass) {
  const Aggregate& aggregate = declaration_.aggregate(index);
  SliceResult result;
  const auto asked = Steady::now();
  PgTransaction transaction(target_.get());
  if (!take_turn(transaction, patience)) return result;
  result.wait = since(asked);
  const auto begun = Steady::now();
  const std::vector<Row> cells = read_cells(transaction, index, keys);
  const Counts counts = count(index, keys, cells);
  result.counting = counts.took;
  TIDEMARK_KILL_POINT("X10");
  std::vector<Difference> differences = compare(index, cells, counts, keys.listed.has_value());
  const std::vector<std::string> held = lock_rows(transaction, index, differences);
  if (keys.listed) {
    std::erase_if(*keys.listed, [&](const std::string& key) {
      return std::ranges::find(held, key) != held.end();
    });
  } else {
    keys.except = held;
  }
  Fence fence{.id = 0,
              .aggregate = index,
              .keys = std::move(keys),
              .snapshot = counts.snapshot,
              .repairs = {}};
  const Waiting waiting = look_at(transaction, index, fence.keys);
  fence.repairs = waiting.repairs;
  for (const Difference& difference : differences) result.corrected += difference.cells();
  result.rows = cells.size();
  result.held = held.size();
  write(transaction, index, differences);
  write_recounted(transaction, index, differences);
  announce_recounted(transaction, declaration_, index, fence.keys, waiting.unannounced,
                     raised(index, differences));
  fence.id = add_fence(transaction, fence, counts.snapshot_text, pass, result);
  book(transaction, fence, waiting, differences);
  suspect_held(transaction, aggregate, held);
  TIDEMARK_KILL_POINT("X11");
  transaction.commit();
  result.hold = since(begun);
  result.taken = true;
  return result;
}

// --- connections --------------------------------------------------------------------------------

PgRecount::PgRecount(const Declaration& declaration, PgRecountOptions options)
    : declaration_(declaration),
      declaration_hash_(declaration_hash(declaration)),
      slot_(std::move(options.slot)),
      two_databases_(options.source.has_value()),
      target_(options.pg, [this](PgConnection& connection) { prepare(connection); }),
      source_(options.source.value_or(options.pg),
              [this](PgConnection& connection) { prepare_source(connection); }) {}

void PgRecount::prepare_source(PgConnection& connection) {
  const auto longest = std::min(source_.options().statement_timeout, kCountMax);
  connection.run_alone("set up the session",
                       "set plan_cache_mode = force_custom_plan; set statement_timeout = " +
                           std::to_string(longest.count()));
  connection.prepare({"log_end", ""}, "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn");
  connection.prepare({"slot_confirmed", ""},
                     "select confirmed_flush_lsn - '0/0'::pg_lsn from pg_replication_slots"
                     " where slot_name = $1::text and confirmed_flush_lsn is not null");
  prepare_lookups(connection, declaration_);
  if (two_databases_) {
    connection.prepare({"flush_log", ""}, "select pg_logical_emit_message(true, 'tidemark', '')");
  }
  log_ends_.clear();
  floor_ = Lsn(0);
}

void PgRecount::prepare(PgConnection& connection) {
  leading_ = false;
  {
    PgTransaction transaction(connection);
    check_schema(transaction);
    recounted_.clear();
    for (const Aggregate& aggregate : declaration_.aggregates) {
      recounted_.emplace_back(transaction, aggregate);
    }
    transaction.commit();
  }
  prepare_fences(connection);
  prepare_milestones(connection, declaration_);
  prepare_queue(connection);
  connection.prepare({"take_turn", "the turn"},
                     "select pg_advisory_xact_lock(" + std::to_string(kTurnLock) + ")");
  connection.prepare({"new_version", "tidemark.turn"},
                     "update tidemark.turn set version = $1::bigint");
  connection.prepare({"add_fence", "tidemark.fences"}, kFenceSql);
  connection.prepare({"book", "tidemark.ledger"}, kBookSql);
  for (std::uint32_t i = 0; i < declaration_.aggregates.size(); ++i) {
    connection.prepare({"correct_" + std::to_string(i), declaration_.aggregates[i].name.text()},
                       upsert_sql(declaration_, AggregateIndex(i), "bigint",
                                  two_databases_ ? LookupsFrom::kParameters : LookupsFrom::kTables)
                           .adding);
  }
}

}  // namespace tidemark
