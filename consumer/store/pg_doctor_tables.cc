// The tables, and how they are read and written.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/catalog.h"
#include "consumer/store/embedded_sql.h"
#include "consumer/store/indexes.h"
#include "consumer/store/pg_doctor_checks.h"
#include "consumer/store/state.h"

namespace tidemark {
namespace {

// Reading 8 MiB for one key is noticed; below it a scan is often the better plan.
constexpr std::int64_t kBigPages = 1'000;

// "schema.table" of each sequential scan in a plan.
void find_scans(const nlohmann::json& plan, std::set<QualifiedName>& scanned) {
  if (plan.value("Node Type", "") == "Seq Scan") {
    scanned.insert({plan.value("Schema", ""), plan.value("Relation Name", "")});
  }
  if (plan.contains("Plans")) {
    for (const nlohmann::json& below : plan["Plans"]) find_scans(below, scanned);
  }
}

// The big tables that a statement would read from end to end, as the planner has it now.
std::vector<std::string> big_scans(const DoctorCase& in, const std::string& statement,
                                   const std::string& sql, const SqlParams& params) {
  PgTransaction transaction(in.connection);
  const SqlResult plan = transaction.run_sql({"explain " + statement, ""},
                                             "explain (format json, verbose) " + sql, params);
  std::set<QualifiedName> scanned;
  find_scans(nlohmann::json::parse(plan.text(0, 0)).at(0).at("Plan"), scanned);
  std::vector<std::string> big;
  for (const QualifiedName& table : scanned) {
    const SqlResult pages = transaction.run_sql(
        {"read the size of", table.text()},
        "select relpages from pg_class where oid = to_regclass($1::text)", {quote_name(table)});
    if (pages.rows() > 0 && pages.integer(0, 0) >= kBigPages) big.push_back(table.text());
  }
  transaction.commit();
  return big;
}

// A few values of a column as an array literal; none: the table is empty.
std::optional<std::string> some_keys(PgConnection& connection, const std::string& table,
                                     const std::string& column) {
  const SqlResult keys =
      ask(connection, "read a few keys",
          fmt::format("select array_agg(k)::text from (select {0} as k from {1} where {0} is not "
                      "null limit 3) as few",
                      column, table));
  return keys.optional_text(0, 0);
}

Finding scan_found(const std::string& who, const std::string& table, const std::string& by) {
  return warning_found(
      fmt::format("{} reads all of {} for a few keys", who, table),
      "each turn takes as long as the whole table does, and holds the stream back meanwhile",
      fmt::format("an index that begins with what it looks up{}, and `analyze {}`: psql -c "
                  "\"create index concurrently on {} (...)\"",
                  by, table, table));
}

// The columns by which rows of a table are looked up for an aggregate: " (user_id)".
std::string lookup_columns(const Declaration& declaration, AggregateIndex aggregate,
                           const std::string& table) {
  std::set<std::string> columns;
  for (const Table& declared : declaration.tables) {
    if (declared.name.text() != table) continue;
    for (const Contribution& contribution : declared.contributions) {
      if (contribution.aggregate == aggregate) {
        columns.insert(declared.columns[contribution.key.value].name);
      }
    }
  }
  std::string text;
  for (const std::string& column : columns) text += (text.empty() ? " (" : ", ") + column;
  return text.empty() ? text : text + ")";
}

void look_at_recount(const DoctorCase& in, AggregateIndex index, Findings& findings) {
  const Aggregate& aggregate = in.declaration.aggregate(index);
  const auto keys =
      some_keys(in.cells, quote_name(aggregate.name), quote_identifier(aggregate.key));
  if (!keys) return;
  const std::string who = "the recount of single rows of " + aggregate.name.text();
  for (const std::string& table :
       big_scans(in, who, recount_keys_sql(in.declaration, index), {*keys})) {
    findings.push_back(scan_found(who, table, lookup_columns(in.declaration, index, table)));
  }
  for (const RecountedColumns& group : aggregate.recounted) {
    const std::string statement = "the statement of " + aggregate.name.text() + "." + group.name;
    for (const std::string& table : big_scans(in, statement, group.sql, {*keys})) {
      findings.push_back(scan_found(statement, table, ""));
    }
  }
}

void look_at_rule(const DoctorCase& in, const Rule& rule, Findings& findings) {
  const DirtySource& source = rule.dirty.front();
  const Table& table = in.declaration.table(source.table);
  const auto users = some_keys(in.connection, quote_name(table.name),
                               quote_identifier(table.columns[source.key.value].name));
  if (!users) return;
  for (const std::string& big : big_scans(in, "rule " + rule.name, rule.sql, {*users, rule.name})) {
    findings.push_back(scan_found("rule " + rule.name, big, ""));
  }
}

}  // namespace

Findings look_at_state(const DoctorCase& in) {
  try {
    PgTransaction transaction(in.connection);
    check_state(transaction, {in.options.group_id, declaration_hash(in.declaration)});
  } catch (const WorldError& error) {
    if (error.kind() != ErrorKind::kConfig) throw;
    return {error_found(error.what(), "a member with this configuration refuses to start",
                        "tidemark migrate, with the configuration and the declarations that all "
                        "members are given")};
  }
  return {};
}

Findings look_at_declarations(const DoctorCase& in) {
  Declaration declaration = in.declaration;
  Findings findings;
  for (const CatalogProblem& problem : check_catalog(in.connection, declaration, in.source)) {
    if (problem.expected == "replica identity full") continue;  // a look of its own
    const bool wrong = problem.severity == Severity::kError;
    findings.push_back(
        {wrong ? Finding::Level::kError : Finding::Level::kWarning,
         fmt::format("{}{}{}: found {}, expected {} ({})", problem.table,
                     problem.column.empty() ? "" : ".", problem.column, problem.found,
                     problem.expected, problem.file),
         wrong ? "a member with these declarations refuses to start, or its batches fail"
               : "it works, and may stop the stream one day",
         problem.action});
  }
  return findings;
}

Findings look_at_triggers(const DoctorCase& in) {
  ArrayLiteral counts;
  for (const Aggregate& aggregate : in.declaration.aggregates) {
    counts.add(quote_name(aggregate.name));
  }
  const SqlResult rows = ask(in, "look for counting triggers",
                             std::string(embedded_sql("cutover/counting_triggers.sql")),
                             {watched_names(in.declaration), counts.take()});
  Findings findings;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const bool writes = rows.boolean(row, 3);
    const std::string disable = fmt::format("psql -c \"alter table {} disable trigger {}\"",
                                            rows.text(row, 0), rows.text(row, 1));
    findings.push_back(
        {writes ? Finding::Level::kError : Finding::Level::kWarning,
         fmt::format("trigger {} on {} is enabled, and its function {} {} a table of counts",
                     rows.text(row, 1), rows.text(row, 0), rows.text(row, 2),
                     writes ? "writes" : "names"),
         writes ? "each change is counted twice, by it and by Tidemark, until a pass finds drift"
                : "it may write counts in a way that the text of a function doesn't show",
         writes ? disable + "; sql/cutover has the steps in their order"
                : "look at it (\\sf " + std::string(rows.text(row, 2)) +
                      "); when it counts: " + disable});
  }
  return findings;
}

Findings look_at_indexes(const DoctorCase& in) {
  PgTransaction transaction(in.connection);
  const std::vector<NeededIndex> needed = needed_indexes(transaction, in.declaration);
  transaction.commit();
  Findings findings;
  for (const NeededIndex& index : needed) {
    if (index.state == IndexState::kValid || index.state == IndexState::kBuilding) continue;
    const bool invalid = index.state == IndexState::kInvalid;
    findings.push_back(warning_found(
        fmt::format("index {} on {} is {}", index.name, index.table,
                    invalid ? "invalid: its building failed" : "not there"),
        invalid ? "it serves no query, and each write pays for it"
                : "rules or reward triggers read the whole table for each user without it",
        "tidemark migrate --indexes, as the tables' owner: it is made beside the writers"));
  }
  return findings;
}

Findings look_at_plans(const DoctorCase& in) {
  Findings findings;
  for (std::uint32_t i = 0; i < in.declaration.aggregates.size(); ++i) {
    look_at_recount(in, AggregateIndex(i), findings);
  }
  for (const Rule& rule : in.declaration.rules) look_at_rule(in, rule, findings);
  return findings;
}

}  // namespace tidemark
