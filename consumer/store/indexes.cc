#include "consumer/store/indexes.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <regex>

#include "consumer/core/check.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/embedded_sql.h"

namespace tidemark {
namespace {

constexpr std::string_view kFolder = "indexes/";
constexpr std::string_view kExtension = ".sql";
// A table of 100 GB is read twice, and old transactions are waited for.
constexpr std::chrono::hours kBuildMax{24};
// Each waits for writers that began before it, and must not wait behind a forgotten session for
// ever: the index is invalid then, and the next run makes it anew.
constexpr std::chrono::minutes kLockWaitMax{30};

// The indexes of sql/indexes, by name; their states are not known yet.
std::map<std::string, NeededIndex> all_indexes() {
  static const std::regex table(R"(\bon\s+(public\.\w+))");
  std::map<std::string, NeededIndex> indexes;
  for (const EmbeddedSql& embedded : embedded_sql()) {
    if (!embedded.file.starts_with(kFolder)) continue;
    NeededIndex index;
    index.name = embedded.file.substr(kFolder.size());
    index.name.resize(index.name.size() - kExtension.size());
    index.sql = embedded.text;
    std::smatch match;
    TIDEMARK_CHECK(std::regex_search(index.sql, match, table));
    index.table = match[1];
    indexes.emplace(index.name, std::move(index));
  }
  return indexes;
}

IndexState state_named(std::string_view name) {
  if (name == "absent") return IndexState::kAbsent;
  if (name == "invalid") return IndexState::kInvalid;
  if (name == "building") return IndexState::kBuilding;
  return IndexState::kValid;
}

// True when there is such a table.
bool is_there(PgTransaction& transaction, const std::string& table) {
  return transaction
      .run_sql({"look for a table", table}, "select to_regclass($1::text) is not null", {table})
      .boolean(0, 0);
}

PgOptions for_building(PgOptions options) {
  options.statement_timeout = kBuildMax;
  options.lock_timeout = kLockWaitMax;
  return options;
}

}  // namespace

std::string_view embedded_sql(std::string_view file) {
  const auto found = std::ranges::find(embedded_sql(), file, &EmbeddedSql::file);
  TIDEMARK_CHECK(found != embedded_sql().end());
  return found->text;
}

std::vector<NeededIndex> needed_indexes(PgTransaction& transaction,
                                        const Declaration& declaration) {
  if (declaration.rules.empty()) return {};
  std::map<std::string, NeededIndex> indexes = all_indexes();
  std::erase_if(indexes,
                [&](const auto& entry) { return !is_there(transaction, entry.second.table); });
  ArrayLiteral names;
  for (const auto& [name, index] : indexes) names.add(name);
  const SqlResult rows =
      transaction.run_sql({"read the states of the indexes of", "sql/indexes"},
                          std::string(embedded_sql("index_states.sql")), {names.take()});
  std::vector<NeededIndex> needed;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    NeededIndex& index = indexes.at(std::string(rows.text(row, 0)));
    index.state = state_named(rows.text(row, 1));
    needed.push_back(std::move(index));
  }
  return needed;
}

BuiltIndexes build_indexes(PgOptions options, const Declaration& declaration) {
  PgConnection connection(for_building(std::move(options)));
  std::vector<NeededIndex> needed;
  {
    PgTransaction transaction(connection);
    needed = needed_indexes(transaction, declaration);
    transaction.commit();
  }
  BuiltIndexes result;
  for (const NeededIndex& index : needed) {
    if (index.state == IndexState::kValid) continue;
    if (index.state == IndexState::kBuilding) {
      result.building.push_back(index.name);
      continue;
    }
    if (index.state == IndexState::kInvalid) {
      connection.run_alone("drop invalid index " + index.name,
                           "drop index concurrently public." + quote_identifier(index.name));
    }
    connection.run_alone("make index " + index.name + " on " + index.table, index.sql);
    result.built.push_back(index.name);
  }
  return result;
}

}  // namespace tidemark
