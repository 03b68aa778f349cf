#include "consumer/store/pg_verify.h"

#include <algorithm>
#include <map>
#include <utility>

#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/fence_table.h"
#include "consumer/store/key_condition.h"
#include "consumer/store/progress_table.h"
#include "consumer/store/recounted_columns.h"
#include "consumer/store/state.h"

namespace tidemark {
namespace {

// Rows that one statement compares: seconds at most, on any table.
constexpr std::size_t kRowsAtOnce = 20'000;

// Where a suspect stands in the declaration; none: it is no longer declared.
class CellNames {
 public:
  explicit CellNames(const Declaration& declaration) {
    for (std::uint32_t a = 0; a < declaration.aggregates.size(); ++a) {
      const Aggregate& aggregate = declaration.aggregates[a];
      for (std::uint32_t c = 0; c < aggregate.cells(); ++c) {
        cells_[{aggregate.name.text(), aggregate.cell_name(CounterIndex(c))}] = {AggregateIndex(a),
                                                                                 CounterIndex(c)};
      }
    }
  }

  std::optional<std::pair<AggregateIndex, CounterIndex>> find(std::string_view aggregate,
                                                              std::string_view counter) const {
    const auto found = cells_.find({std::string(aggregate), std::string(counter)});
    if (found == cells_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::map<std::pair<std::string, std::string>, std::pair<AggregateIndex, CounterIndex>> cells_;
};

// Rows whose counters aren't what was counted: key, then counted and stored of each counter.
std::string differing_sql(const Declaration& declaration, AggregateIndex index,
                          const KeyCondition& condition) {
  const Aggregate& aggregate = declaration.aggregate(index);
  const std::string key = "t." + quote_identifier(aggregate.key);
  std::string pairs;
  std::string counted;
  std::string stored;
  for (std::size_t c = 0; c < aggregate.counters.size(); ++c) {
    const std::string name = quote_identifier(aggregate.counters[c].name);
    const std::string of_rows = "coalesce(r." + name + ", 0)";
    const std::string of_cell = "coalesce(s." + name + ", 0)";
    const std::string comma = c == 0 ? "" : ", ";
    pairs += ", " + of_rows + ", " + of_cell;
    counted += comma + of_rows;
    stored += comma + of_cell;
  }
  return "select coalesce(r.key, s.key)::text" + pairs + " from (" +
         recount_range_sql(declaration, index, condition.bounds()) + ") as r full join (select " +
         key + "::" + std::string(type_name(aggregate.key_type)) + " as key" +
         counter_list(aggregate, "t") + " from " + quote_name(aggregate.name) + " as t where " +
         condition.sql(ordered_key_sql(aggregate, "t")) + ") as s on s.key = r.key where row(" +
         counted + ") is distinct from row(" + stored + ")";
}

}  // namespace

PgVerify::PgVerify(const Declaration& declaration, PgVerifyOptions options)
    : declaration_(declaration),
      slot_(std::move(options.slot)),
      session_(std::move(options.pg), [this](PgConnection& connection) { prepare(connection); }) {}

void PgVerify::prepare(PgConnection& connection) {
  {
    PgTransaction transaction(connection);
    check_schema(transaction);
    transaction.commit();
  }
  connection.run_alone("set up the session", "set plan_cache_mode = force_custom_plan");
  prepare_fences(connection);
  connection.prepare({"read_seen", "tidemark.progress"}, seen_sql("tidemark.progress"));
}

void PgVerify::read_state(PgTransaction& transaction, VerifyLook& look) const {
  const SqlResult snapshot =
      transaction.run_sql({"take the snapshot", ""}, "select pg_current_snapshot()::text");
  look.snapshot = parse_snapshot(snapshot.text(0, 0));
  look.fences = read_fences(transaction, declaration_);
  // What an earlier snapshot saw in whole, this one did.
  for (const Fence& fence : look.fences) {
    look.snapshot.restart = std::max(look.snapshot.restart, fence.snapshot.restart);
  }
  const SqlResult rows =
      transaction.run_sql({"read the offsets", "tidemark.progress"},
                          std::string("select ") + kClaimedColumns +
                              " from tidemark.progress as p order by p.topic, p.partition");
  std::vector<Claimed> stored;
  ArrayLiteral topics;
  ArrayLiteral partitions;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    stored.push_back(read_claimed(rows, row));
    topics.add(stored.back().where.topic);
    partitions.add(stored.back().where.partition.value);
  }
  read_seen(transaction, topics.take(), partitions.take(), stored);
  for (Claimed& one : stored) {
    look.partitions.push_back(
        {one.where, one.epoch, one.next, std::move(one.mark), one.touch_only});
  }
  const CellNames names(declaration_);
  const SqlResult cells = transaction.run_sql(
      {"read the suspects", "tidemark.suspects"},
      "select aggregate, counter, key from tidemark.suspects where cause <> 'requested'");
  for (std::size_t row = 0; row < cells.rows(); ++row) {
    const auto cell = names.find(cells.text(row, 0), cells.text(row, 1));
    if (!cell) continue;
    look.suspects.push_back({cell->first, cell->second, std::string(cells.text(row, 2)), {}});
  }
  const SqlResult ranges =
      transaction.run_sql({"read the suspect counters", "tidemark.suspect_ranges"},
                          "select aggregate, counter from tidemark.suspect_ranges");
  for (std::size_t row = 0; row < ranges.rows(); ++row) {
    const auto cell = names.find(ranges.text(row, 0), ranges.text(row, 1));
    if (cell) look.ranges.push_back({cell->first, cell->second, {}});
  }
}

void PgVerify::compare_counters(PgTransaction& transaction, AggregateIndex index,
                                const KeySet& keys, VerifyLook& look) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  const KeyCondition condition(aggregate, keys);
  const SqlResult rows =
      transaction.run_sql({"compare the counters of", aggregate.name.text()},
                          differing_sql(declaration_, index, condition), condition.params());
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    for (std::uint32_t c = 0; c < aggregate.counters.size(); ++c) {
      const std::int64_t counted = rows.integer(row, 2 * c + 1);
      const std::int64_t stored = rows.integer(row, 2 * c + 2);
      if (counted == stored) continue;
      look.differences.push_back(
          {index, CounterIndex(c), std::string(rows.text(row, 0)), counted, stored});
    }
  }
}

// Of the rows that are there: one that is missing is told of by its counters.
void PgVerify::compare_recounted(PgTransaction& transaction, AggregateIndex index,
                                 const KeySet& keys, VerifyLook& look) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  const RecountedTable table(transaction, aggregate);
  const KeyCondition condition(aggregate, keys);
  const SqlResult rows =
      transaction.run_sql({"read the recounted columns of", aggregate.name.text()},
                          "select t." + quote_identifier(aggregate.key) + "::text" +
                              table.columns("t") + " from " + quote_name(aggregate.name) +
                              " as t where " + condition.sql(ordered_key_sql(aggregate, "t")),
                          condition.params());
  std::vector<std::string> known;
  for (std::size_t row = 0; row < rows.rows(); ++row) known.emplace_back(rows.text(row, 0));
  if (known.empty()) return;
  const TextsByKey computed = table.compute(transaction, known);
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const auto found = computed.find(known[row]);
    const ColumnTexts& right = found == computed.end() ? table.nulls() : found->second;
    const std::vector<bool> differ = table.differing(table.read(rows, row, 1), right);
    for (std::size_t group = 0; group < differ.size(); ++group) {
      if (!differ[group]) continue;
      look.differences.push_back({index, aggregate.recounted_cell(group), known[row], 1, 0});
    }
  }
}

bool PgVerify::compare(PgTransaction& transaction, AggregateIndex index, VerifyLook& look,
                       const std::function<bool(std::uint64_t)>& going_on) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  std::optional<std::string> from;
  do {
    SqlParams params;
    if (from) params.emplace_back(from);
    params.emplace_back(std::to_string(kRowsAtOnce));
    const SqlResult end =
        transaction.run_sql({"find the end of a range", aggregate.name.text()},
                            range_end_sql(declaration_, index, from.has_value()), params);
    const KeySet keys{.from = from, .to = end.rows() == 0 ? std::nullopt : end.optional_text(0, 0)};
    compare_counters(transaction, index, keys, look);
    if (!aggregate.recounted.empty()) compare_recounted(transaction, index, keys, look);
    const KeyCondition condition(aggregate, keys);
    const SqlResult rows =
        transaction.run_sql({"count the rows of", aggregate.name.text()},
                            "select count(*) from " + quote_name(aggregate.name) + " as t where " +
                                condition.sql(ordered_key_sql(aggregate, "t")),
                            condition.params());
    look.rows += static_cast<std::uint64_t>(rows.integer(0, 0));
    look.cells += static_cast<std::uint64_t>(rows.integer(0, 0)) * aggregate.cells();
    from = keys.to;
    if (!going_on(look.rows)) return false;
  } while (from);
  return true;
}

std::optional<VerifyLook> PgVerify::look(std::span<const AggregateIndex> aggregates,
                                         const std::function<bool(std::uint64_t)>& going_on) {
  PgConnection& connection = session_.get();
  VerifyLook look;
  {
    PgTransaction transaction(connection);
    transaction.run_sql({"set the isolation", ""},
                        "set transaction isolation level repeatable read, read only");
    read_state(transaction, look);
    for (const AggregateIndex index : aggregates) {
      if (!compare(transaction, index, look, going_on)) return std::nullopt;
    }
    transaction.commit();
  }
  // Rule F1: the end of the log, then an id that is given out after it.
  {
    PgTransaction transaction(connection);
    const SqlResult end = transaction.run_sql({"read the end of the log", ""},
                                              "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn");
    look.snapshot.inserted = Lsn(static_cast<std::uint64_t>(end.integer(0, 0)));
    transaction.commit();
  }
  PgTransaction transaction(connection);
  const SqlResult next =
      transaction.run_sql({"take an id", ""}, "select pg_current_xact_id()::text");
  look.snapshot.next = static_cast<std::uint64_t>(next.integer(0, 0));
  transaction.commit();
  backend_ = connection.backend_pid();
  inserted_ = look.snapshot.inserted;
  return look;
}

bool PgVerify::all_sent() {
  PgConnection& connection = session_.get();
  if (connection.backend_pid() != backend_) {
    throw WorldError(ErrorKind::kRetry,
                     "the connection to the database was lost: what was looked at may be gone");
  }
  PgTransaction transaction(connection);
  const SqlResult rows = transaction.run_sql(
      {"look at the slot", slot_},
      "select confirmed_flush_lsn - '0/0'::pg_lsn from pg_catalog.pg_replication_slots"
      " where slot_name = $1::text and confirmed_flush_lsn is not null",
      {slot_});
  transaction.commit();
  if (rows.rows() == 0) {
    throw WorldError(ErrorKind::kConfig, "no replication slot '" + slot_ +
                                             "' is there to tell how far Debezium is: [recount] "
                                             "slot names it");
  }
  return Lsn(static_cast<std::uint64_t>(rows.integer(0, 0))) >= inserted_;
}

}  // namespace tidemark
