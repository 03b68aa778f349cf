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
#include "consumer/store/source_database.h"
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
      declaration_hash_(declaration_hash(declaration)),
      slot_(std::move(options.slot)),
      session_(std::move(options.pg), [this](PgConnection& connection) { prepare(connection); }) {
  if (options.source) {
    source_.emplace(*std::move(options.source), [](PgConnection& connection) {
      connection.run_alone("set up the session", "set plan_cache_mode = force_custom_plan");
    });
  }
}

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
  check_declared(transaction, declaration_hash_);
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

void PgVerify::compare_counters(const Snapshots& snapshots, AggregateIndex index,
                                const KeySet& keys, VerifyLook& look) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  const KeyCondition condition(aggregate, keys);
  const SqlResult rows =
      snapshots.target.run_sql({"compare the counters of", aggregate.name.text()},
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

// The same where no statement can name both.
void PgVerify::compare_across(const Snapshots& snapshots, AggregateIndex index, const KeySet& keys,
                              VerifyLook& look) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  const KeyCondition condition(aggregate, keys);
  using Values = std::vector<std::int64_t>;
  const auto values_of = [&](const SqlResult& rows, std::size_t row) {
    Values values;
    for (std::size_t c = 0; c < aggregate.counters.size(); ++c) {
      values.push_back(rows.integer(row, c + 1));  // null counts as 0
    }
    return values;
  };
  std::map<std::string, std::pair<Values, Values>> both;  // counted and stored, by key
  const SqlResult counted = snapshots.source.run_sql(
      {"count the rows behind", aggregate.name.text()},
      "select r.key::text" + counter_list(aggregate, "r") + " from (" +
          recount_range_sql(declaration_, index, condition.bounds()) + ") as r",
      condition.params());
  for (std::size_t row = 0; row < counted.rows(); ++row) {
    both[std::string(counted.text(row, 0))].first = values_of(counted, row);
  }
  const SqlResult stored = snapshots.target.run_sql(
      {"read the cells", aggregate.name.text()},
      "select t." + quote_identifier(aggregate.key) + "::text" + counter_list(aggregate, "t") +
          " from " + quote_name(aggregate.name) + " as t where " +
          condition.sql(ordered_key_sql(aggregate, "t")),
      condition.params());
  for (std::size_t row = 0; row < stored.rows(); ++row) {
    both[std::string(stored.text(row, 0))].second = values_of(stored, row);
  }
  for (auto& [key, values] : both) {
    values.first.resize(aggregate.counters.size());
    values.second.resize(aggregate.counters.size());
    for (std::uint32_t c = 0; c < aggregate.counters.size(); ++c) {
      if (values.first[c] == values.second[c]) continue;
      look.differences.push_back({index, CounterIndex(c), key, values.first[c], values.second[c]});
    }
  }
}

// Of the rows that are there: one that is missing is told of by its counters.
void PgVerify::compare_recounted(const Snapshots& snapshots, AggregateIndex index,
                                 const KeySet& keys, VerifyLook& look) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  const RecountedTable table(snapshots.target, aggregate);
  const KeyCondition condition(aggregate, keys);
  const SqlResult rows =
      snapshots.target.run_sql({"read the recounted columns of", aggregate.name.text()},
                               "select t." + quote_identifier(aggregate.key) + "::text" +
                                   table.columns("t") + " from " + quote_name(aggregate.name) +
                                   " as t where " + condition.sql(ordered_key_sql(aggregate, "t")),
                               condition.params());
  std::vector<std::string> known;
  for (std::size_t row = 0; row < rows.rows(); ++row) known.emplace_back(rows.text(row, 0));
  if (known.empty()) return;
  const TextsByKey computed = table.compute(snapshots.source, known);
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

bool PgVerify::compare(const Snapshots& snapshots, AggregateIndex index, VerifyLook& look,
                       const std::function<bool(std::uint64_t)>& going_on) const {
  const Aggregate& aggregate = declaration_.aggregate(index);
  PgTransaction* const rows_elsewhere = source_ ? &snapshots.source : nullptr;
  std::optional<std::string> from;
  do {
    const KeySet keys{.from = from,
                      .to = find_range_end(snapshots.target, rows_elsewhere, declaration_, index,
                                           from, kRowsAtOnce)};
    if (source_) {
      compare_across(snapshots, index, keys, look);
    } else {
      compare_counters(snapshots, index, keys, look);
    }
    if (!aggregate.recounted.empty()) compare_recounted(snapshots, index, keys, look);
    const KeyCondition condition(aggregate, keys);
    const SqlResult rows = snapshots.target.run_sql(
        {"count the rows of", aggregate.name.text()},
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

namespace {

// Each of the two is idle while a statement runs on the other.
void begin_repeatable(PgTransaction& transaction, const PgOptions& options) {
  const auto idle = options.idle_in_transaction_timeout + options.statement_timeout;
  transaction.run_sql({"set the isolation", ""},
                      "set transaction isolation level repeatable read, read only;"
                      " set local idle_in_transaction_session_timeout = " +
                          std::to_string(idle.count()));
}

}  // namespace

std::optional<VerifyLook> PgVerify::look(std::span<const AggregateIndex> aggregates,
                                         const std::function<bool(std::uint64_t)>& going_on) {
  PgConnection& target = session_.get();
  PgConnection& source = source_ ? source_->get() : target;
  VerifyLook look;
  {
    PgTransaction cells(target);
    begin_repeatable(cells, session_.options());
    read_state(cells, look);
    std::optional<PgTransaction> rows;
    if (source_) begin_repeatable(rows.emplace(source), source_->options());
    const Snapshots snapshots{cells, rows ? *rows : cells};
    const SqlResult snapshot =
        snapshots.source.run_sql({"take the snapshot", ""}, "select pg_current_snapshot()::text");
    const Lsn restart = look.snapshot.restart;
    look.snapshot = parse_snapshot(snapshot.text(0, 0));
    look.snapshot.restart = restart;
    for (const AggregateIndex index : aggregates) {
      if (!compare(snapshots, index, look, going_on)) return std::nullopt;
    }
    if (rows) rows->commit();
    cells.commit();
  }
  PgTransaction transaction(source);
  read_ends(transaction, look.snapshot);
  transaction.commit();
  backend_ = source.backend_pid();
  inserted_ = look.snapshot.inserted;
  return look;
}

bool PgVerify::all_sent() {
  PgConnection& connection = source_ ? source_->get() : session_.get();
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
