#include "consumer/store/catalog.h"

#include <algorithm>
#include <array>
#include <utility>

#include "consumer/core/ports.h"
#include "consumer/store/catalog_milestones.h"
#include "consumer/store/catalog_tables.h"
#include "consumer/store/recounted_columns.h"

namespace tidemark {
namespace {

// What a declared type stands for in the catalog.
bool is_type(const CatalogColumn& column, ColumnType type) {
  const auto one_of = [&](std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, column.type) != names.end();
  };
  switch (type) {
    case ColumnType::kBoolean:
      return one_of({"boolean"});
    case ColumnType::kSmallint:
      return one_of({"smallint"});
    case ColumnType::kInteger:
      return one_of({"integer"});
    case ColumnType::kBigint:
      return one_of({"bigint"});
    case ColumnType::kText:
      return one_of(
          {"text", "character varying", "character", "bpchar", "citext", "name", "public.citext"});
    case ColumnType::kEnum:
      return column.is_enum;
    case ColumnType::kUuid:
      return one_of({"uuid"});
    case ColumnType::kJson:
      return one_of({"json", "jsonb"});
    case ColumnType::kTimestamp:
      return one_of({"timestamp without time zone"});
    case ColumnType::kTimestamptz:
      return one_of({"timestamp with time zone"});
    case ColumnType::kDate:
      return one_of({"date"});
  }
  return false;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list.empty() ? "none" : list;
}

// The values of `all` that are not in `known`.
std::vector<std::string> missing_in(const std::vector<std::string>& known,
                                    const std::vector<std::string>& all) {
  std::vector<std::string> missing;
  std::ranges::copy_if(all, std::back_inserter(missing), [&](const std::string& value) {
    return std::ranges::find(known, value) == known.end();
  });
  return missing;
}

// Collects the problems of one declared table.
class Reporter {
 public:
  Reporter(std::string file, std::string table, std::vector<CatalogProblem>& problems)
      : file_(std::move(file)), table_(std::move(table)), problems_(problems) {}

  void add(Severity severity, std::string column, std::string found, std::string expected,
           std::string action) {
    problems_.push_back({severity, file_, table_, std::move(column), std::move(found),
                         std::move(expected), std::move(action)});
  }
  void error(std::string column, std::string found, std::string expected, std::string action) {
    add(Severity::kError, std::move(column), std::move(found), std::move(expected),
        std::move(action));
  }

  // The column, or none and a problem.
  const CatalogColumn* require(const CatalogTable& table, const std::string& column) {
    const CatalogColumn* const found = table.find(column);
    if (found == nullptr) {
      error(column, "no such column", "a column of this name",
            "correct the declaration, or add the column");
    }
    return found;
  }

  void require_right(bool held, const std::string& column, std::string_view right) {
    if (held) return;
    error(column, "the current role may not " + std::string(right),
          std::string(right) + " on this column",
          "grant it: `tidemark migrate --print-grants` prints what is needed");
  }

 private:
  std::string file_;
  std::string table_;
  std::vector<CatalogProblem>& problems_;
};

// --- watched tables -----------------------------------------------------------------------------

void check_enum(Reporter& report, const CatalogColumn& found, const Column& declared) {
  if (const auto extra = missing_in(found.enum_values, declared.values); !extra.empty()) {
    report.error(declared.name, "no enum value " + list_of(extra), list_of(declared.values),
                 "correct the declared values");
  }
  if (const auto unknown = missing_in(declared.values, found.enum_values); !unknown.empty()) {
    report.error(declared.name, "enum value " + list_of(unknown) + " that is not declared",
                 list_of(found.enum_values),
                 "declare it: rows with it would be parked, and decide what they count");
  }
}

void check_timestamp(Reporter& report, const CatalogColumn& found, const Column& declared) {
  constexpr int kMillisPrecision = 3;
  const bool in_millis = found.precision >= 0 && found.precision <= kMillisPrecision;
  if (in_millis == declared.timestamp_in_millis) return;
  report.error(
      declared.name,
      found.precision < 0 ? "timestamp" : "timestamp(" + std::to_string(found.precision) + ")",
      declared.timestamp_in_millis ? "timestamp(0) to timestamp(3)"
                                   : "timestamp(4) to timestamp(6)",
      "declare its precision: Debezium sends milliseconds for 0 to 3, else microseconds");
}

void check_column(Reporter& report, const CatalogTable& table, const Column& declared) {
  const CatalogColumn* const found = report.require(table, declared.name);
  if (found == nullptr) return;
  if (!is_type(*found, declared.type)) {
    report.error(declared.name, found->type, std::string(type_name(declared.type)),
                 "declare the column's type");
    return;
  }
  if (!declared.nullable && !found->not_null) {
    report.error(declared.name, "a column that may be null", "not null",
                 "declare nullable = true, or add the constraint");
  }
  if (declared.type == ColumnType::kEnum) check_enum(report, *found, declared);
  if (declared.type == ColumnType::kTimestamp) check_timestamp(report, *found, declared);
  report.require_right(found->can_select, declared.name, "select");
}

void check_primary_key(Reporter& report, const CatalogTable& found, const Table& table) {
  std::vector<std::string> declared;
  for (const ColumnIndex i : table.primary_key) declared.push_back(table.columns[i.value].name);
  std::vector<std::string> actual = found.primary_key;
  const std::string expected = list_of(declared);
  const std::string given = list_of(actual);
  std::ranges::sort(declared);
  std::ranges::sort(actual);
  if (declared == actual) return;
  report.error("", "primary key " + given, "primary key " + expected,
               "declare the table's primary key: it tells changes at one position apart");
}

bool check_presence(Reporter& report, const std::optional<CatalogTable>& found) {
  if (!found) {
    report.error("", "no such table", "a table of this name",
                 "correct the declaration, or make the table");
    return false;
  }
  if (!found->is_table) {
    report.error("", "a view or the like", "a table", "declare the table behind it");
    return false;
  }
  if (!found->schema_usable) {
    report.error("", "the current role may not use the schema", "usage on the schema",
                 "grant it: `tidemark migrate --print-grants` prints what is needed");
  }
  return true;
}

void check_watched(PgTransaction& transaction, Table& table,
                   std::vector<CatalogProblem>& problems) {
  Reporter report(table.file, table.name.text(), problems);
  const std::optional<CatalogTable> found = read_table(transaction, table.name);
  if (!check_presence(report, found)) return;
  for (const Column& column : table.columns) check_column(report, *found, column);
  check_primary_key(report, *found, table);
  table.replica_full = found->replica_full;
  if (table.replica_full) return;
  report.add(Severity::kWarning, "", "replica identity is not full", "replica identity full",
             "alter table " + table.name.text() +
                 " replica identity full; until then its updates and deletes make suspects");
}

// --- aggregates ---------------------------------------------------------------------------------

void require_rights(Reporter& report, const CatalogColumn& column, bool updated) {
  report.require_right(column.can_select, column.name, "select");
  report.require_right(column.can_insert, column.name, "insert");
  if (updated) report.require_right(column.can_update, column.name, "update");
  if (!column.generated) return;
  report.error(column.name, "a generated column", "a column that can be written",
               "declare another column");
}

void check_key(Reporter& report, const CatalogTable& table, const Aggregate& aggregate) {
  const CatalogColumn* const key = report.require(table, aggregate.key);
  if (key == nullptr) return;
  if (!is_type(*key, aggregate.key_type)) {
    report.error(aggregate.key, key->type, std::string(type_name(aggregate.key_type)),
                 "declare the key's type");
  }
  if (!key->unique) {
    report.error(aggregate.key, "no unique index on this column alone", "a unique index on it",
                 "create unique index concurrently on " + aggregate.name.text() + " (" +
                     aggregate.key + ")");
  }
  require_rights(report, *key, false);
}

void check_counter(Reporter& report, const CatalogTable& table, const Counter& counter) {
  const CatalogColumn* const column = report.require(table, counter.name);
  if (column == nullptr) return;
  if (!is_type(*column, ColumnType::kSmallint) && !is_type(*column, ColumnType::kInteger) &&
      !is_type(*column, ColumnType::kBigint)) {
    report.error(counter.name, column->type, "smallint, integer or bigint",
                 "change the column's type, or declare another column");
  }
  if (column->checked) {
    report.add(Severity::kWarning, counter.name, "a CHECK constraint", "none",
               "drop it: a delta may be negative for a moment, and would stop the stream");
  }
  require_rights(report, *column, true);
}

void check_lookup(Reporter& report, const CatalogTable& table, const Declaration& declaration,
                  const Lookup& lookup) {
  const CatalogColumn* const column = report.require(table, lookup.column);
  if (column == nullptr) return;
  const Column& value = declaration.table(lookup.table).columns[lookup.value.value];
  if (!is_type(*column, value.type)) {
    report.error(lookup.column, column->type,
                 std::string(type_name(value.type)) + ", as the column that it is copied from",
                 "change one of the two");
  }
  if (column->not_null) {
    report.error(lookup.column, "a column that can't be null", "one that may be null",
                 "drop the constraint: the value is null until the watched row is there");
  }
  require_rights(report, *column, true);
}

bool check_recounted_column(Reporter& report, const CatalogTable& table, const std::string& name) {
  const CatalogColumn* const column = report.require(table, name);
  if (column == nullptr) return false;
  if (column->not_null) {
    report.error(name, "a column that can't be null", "one that may be null",
                 "drop the constraint: a key for which the statement gives no row has null");
  }
  require_rights(report, *column, true);
  return true;
}

// The columns, and whether the statement runs and gives them.
void check_recounted(PgConnection& source, Reporter& report, const CatalogTable& table,
                     const Aggregate& aggregate, const RecountedColumns& group) {
  bool there = true;
  std::vector<std::string> types;
  for (const std::string& name : group.columns) {
    there = check_recounted_column(report, table, name) && there;
    if (there) types.push_back(table.find(name)->type);
  }
  if (!there) return;
  try {
    PgTransaction transaction(source);
    transaction.run_sql({"try the statement of", group.name},
                        recounted_sql(aggregate, group, types) + " where false",
                        SqlParams{std::string("{}")});
  } catch (const WorldError& error) {
    if (source.broken()) throw;
    report.error(group.name, std::string("a statement that fails: ") + error.what(),
                 "one that gives " + aggregate.key + ", " + list_of(group.columns),
                 "correct the statement");
  }
}

// A missing row is inserted with key, counters, lookups and recounted columns; the rest must take
// care of itself.
void check_others(Reporter& report, const CatalogTable& table, const Aggregate& aggregate) {
  std::vector<std::string> ours{aggregate.key};
  for (const Counter& counter : aggregate.counters) ours.push_back(counter.name);
  for (const Lookup& lookup : aggregate.lookups) ours.push_back(lookup.column);
  for (const RecountedColumns& group : aggregate.recounted) {
    ours.insert(ours.end(), group.columns.begin(), group.columns.end());
  }
  for (const CatalogColumn& column : table.columns) {
    if (std::ranges::find(ours, column.name) != ours.end()) continue;
    if (!column.not_null || column.has_default || column.generated) continue;
    report.error(column.name, "not null without a default", "nullable, or a default",
                 "give it a default: missing rows are made without it");
  }
}

// The table as it was read in an ended transaction.
std::optional<CatalogTable> table_of(PgConnection& connection, const QualifiedName& name) {
  PgTransaction transaction(connection);
  std::optional<CatalogTable> table = read_table(transaction, name);
  transaction.commit();
  return table;
}

void check_aggregate(PgConnection& connection, PgConnection& source, const Declaration& declaration,
                     const Aggregate& aggregate, std::vector<CatalogProblem>& problems) {
  Reporter report(aggregate.file, aggregate.name.text(), problems);
  const std::optional<CatalogTable> found = table_of(connection, aggregate.name);
  if (!check_presence(report, found)) return;
  check_key(report, *found, aggregate);
  for (const Counter& counter : aggregate.counters) check_counter(report, *found, counter);
  for (const Lookup& lookup : aggregate.lookups) check_lookup(report, *found, declaration, lookup);
  for (const RecountedColumns& group : aggregate.recounted) {
    check_recounted(source, report, *found, aggregate, group);
  }
  check_others(report, *found, aggregate);
}

// Whether its statements run, as the current role, for nobody; what they write is taken back.
void check_rule(PgConnection& connection, const Rule& rule, std::vector<CatalogProblem>& problems) {
  std::vector<std::pair<std::string, SqlParams>> statements;
  const std::string nobody = "{}";
  for (const DirtySource& source : rule.dirty) {
    if (!source.via.empty()) statements.push_back({source.via, {nobody}});
  }
  if (!rule.first.empty()) statements.push_back({rule.first, {nobody}});
  statements.push_back({rule.sql, {nobody, rule.name}});
  for (const auto& [sql, params] : statements) {
    try {
      PgTransaction transaction(connection);
      transaction.run_sql({"try a statement of rule", rule.name}, sql, params);
    } catch (const WorldError& error) {
      if (connection.broken()) throw;
      Reporter(rule.file, "rule " + rule.name, problems)
          .error("", std::string("a statement that fails: ") + error.what(), "one that runs",
                 "correct it, or grant what it needs");
      return;
    }
  }
}

}  // namespace

std::string CatalogProblem::text() const {
  return file + ": " + table + (column.empty() ? "" : "." + column) + ": found " + found +
         ", expected " + expected + ": " + action;
}

std::vector<CatalogProblem> check_catalog(PgConnection& connection, Declaration& declaration,
                                          PgConnection* elsewhere) {
  PgConnection& source = elsewhere == nullptr ? connection : *elsewhere;
  std::vector<CatalogProblem> problems;
  {
    PgTransaction transaction(source);
    for (Table& table : declaration.tables) check_watched(transaction, table, problems);
    transaction.commit();
  }
  for (std::uint32_t i = 0; i < declaration.aggregates.size(); ++i) {
    check_aggregate(connection, source, declaration, declaration.aggregates[i], problems);
    check_milestones(connection, declaration, AggregateIndex(i), problems);
  }
  for (const Rule& rule : declaration.rules) check_rule(connection, rule, problems);
  return problems;
}

}  // namespace tidemark
