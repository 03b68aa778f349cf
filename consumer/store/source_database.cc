#include "consumer/store/source_database.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/fence_table.h"
#include "consumer/store/key_condition.h"

namespace tidemark {
namespace {

std::string lookup_name(std::uint32_t aggregate, std::size_t lookup) {
  return fmt::format("look_up_{}_{}", aggregate, lookup);
}

}  // namespace

void prepare_lookups(PgConnection& source, const Declaration& declaration) {
  for (std::uint32_t a = 0; a < declaration.aggregates.size(); ++a) {
    const Aggregate& aggregate = declaration.aggregates[a];
    for (std::size_t i = 0; i < aggregate.lookups.size(); ++i) {
      const Lookup& lookup = aggregate.lookups[i];
      source.prepare({lookup_name(a, i), declaration.table(lookup.table).name.text()},
                     "select " + lookup_sql(declaration, lookup) + "::text from unnest($1::" +
                         key_array_type(aggregate) + ") with ordinality as b(k, at) order by at");
    }
  }
}

void add_lookups(PgTransaction& source, const Declaration& declaration, AggregateIndex aggregate,
                 SqlParams& params) {
  const std::size_t lookups = declaration.aggregate(aggregate).lookups.size();
  for (std::size_t i = 0; i < lookups; ++i) {
    const SqlResult rows = source.run(lookup_name(aggregate.value, i), {params.front()});
    ArrayLiteral values;
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      if (rows.is_null(row, 0)) {
        values.add_null();
      } else {
        values.add(rows.text(row, 0));
      }
    }
    params.emplace_back(values.take());
  }
}

std::vector<ColumnTexts> look_up(PgTransaction& source, const Declaration& declaration,
                                 AggregateIndex aggregate, std::span<const std::string> keys) {
  const std::size_t lookups = declaration.aggregate(aggregate).lookups.size();
  std::vector<ColumnTexts> found(keys.size(), ColumnTexts(lookups));
  if (keys.empty()) return found;
  const std::string list = array_of(keys);
  for (std::size_t i = 0; i < lookups; ++i) {
    const SqlResult rows = source.run(lookup_name(aggregate.value, i), {list});
    for (std::size_t row = 0; row < rows.rows(); ++row) found[row][i] = rows.optional_text(row, 0);
  }
  return found;
}

std::optional<std::string> find_range_end(PgTransaction& cells, PgTransaction* source,
                                          const Declaration& declaration, AggregateIndex aggregate,
                                          const std::optional<std::string>& from,
                                          std::size_t rows) {
  SqlParams params;
  if (from) params.emplace_back(from);
  params.emplace_back(std::to_string(rows));
  const auto end_of = [&](PgTransaction& transaction, RangeOf of) -> std::optional<std::string> {
    const std::string sql = range_end_sql(declaration, aggregate, from.has_value(), of);
    if (sql.empty()) return std::nullopt;
    const SqlResult end = transaction.run_sql(
        {"find the end of a range", declaration.aggregate(aggregate).name.text()}, sql, params);
    return end.rows() == 0 ? std::nullopt : end.optional_text(0, 0);
  };
  if (source == nullptr) return end_of(cells, RangeOf::kAll);
  const auto of_cells = end_of(cells, RangeOf::kAggregate);
  const auto of_rows = end_of(*source, RangeOf::kSources);
  if (!of_cells || !of_rows) return of_cells ? of_cells : of_rows;
  return key_less(declaration.aggregate(aggregate), *of_cells, *of_rows) ? of_cells : of_rows;
}

std::string refused_with_a_source(const Declaration& declaration) {
  if (!declaration.rules.empty()) {
    return "challenge rules read rows and write what they pay in one database: set [derive] enabled"
           " to false, or remove [source]";
  }
  for (const Aggregate& aggregate : declaration.aggregates) {
    if (!aggregate.milestones.counters.empty()) {
      return fmt::format(
          "{}: [milestones] read rows and write notifications in one database: remove them, or "
          "[source]",
          aggregate.file);
    }
    for (const Lookup& lookup : aggregate.lookups) {
      const Column& column = declaration.table(lookup.table).columns[lookup.value.value];
      if (column.type != ColumnType::kEnum) continue;
      return fmt::format("{}: '{}' looks up an enum, whose type the other database doesn't know",
                         aggregate.file, lookup.column);
    }
  }
  return {};
}

SourceDatabase::SourceDatabase(const Declaration& declaration, PgOptions options)
    : declaration_(declaration), session_(std::move(options), [this](PgConnection& connection) {
        {
          PgTransaction transaction(connection);
          history_ = read_history(transaction);
          transaction.commit();
        }
        prepare_lookups(connection, declaration_);
        connection.prepare({"source_snapshot", "the source"},
                           "select pg_current_snapshot()::text, pg_current_xact_id()::text");
      }) {}

std::string SourceDatabase::history() {
  session_.get();
  return history_;
}

// The id is given out in the same statement: it is above every id that a decoded batch names.
SourceSnapshot SourceDatabase::snapshot() {
  PgTransaction transaction(session_.get());
  const SqlResult row = transaction.run("source_snapshot", {});
  transaction.commit();
  SourceSnapshot snapshot = parse_snapshot(row.text(0, 0));
  snapshot.next = std::max(snapshot.xmax, static_cast<std::uint64_t>(row.integer(0, 1)));
  return snapshot;
}

void SourceDatabase::add_lookups(AggregateIndex aggregate, SqlParams& params) {
  if (declaration_.aggregate(aggregate).lookups.empty()) return;
  PgTransaction transaction(session_.get());
  tidemark::add_lookups(transaction, declaration_, aggregate, params);
  transaction.commit();
}

std::function<SourceSnapshot()> looks_at(SourceDatabase* source, PgTransaction& transaction) {
  return [source, &transaction] {
    return source != nullptr ? source->snapshot() : read_turn(transaction).snapshot;
  };
}

}  // namespace tidemark
