#include "consumer/core/milestone_sql.h"

#include <fmt/format.h>

#include <vector>

#include "consumer/core/recount_sql.h"

namespace tidemark {
namespace {

// The rows of one contribution to the counter of key k.key.
std::string rows_sql(const Table& table, const Contribution& contribution) {
  const auto column = [&](ColumnIndex i) {
    return "r." + quote_identifier(table.columns[i.value].name);
  };
  std::vector<std::string> details;
  for (const ColumnIndex i : contribution.details) details.push_back(column(i));
  const bool is_text = table.columns[contribution.key.value].type == ColumnType::kText;
  return fmt::format("select {} from {} as r where {}{} = k.key and {} and {}",
                     fmt::join(details, ", "), quote_name(table.name), column(contribution.key),
                     is_text ? "::text" : "", predicate_sql(table, table.active, "r"),
                     predicate_sql(table, contribution.when, "r"));
}

}  // namespace

std::string newest_row_sql(const Declaration& declaration, AggregateIndex aggregate,
                           const Milestone& milestone) {
  std::vector<std::string> parts;
  std::size_t details = 0;
  for (const Table& table : declaration.tables) {
    for (const Contribution& contribution : table.contributions) {
      if (contribution.aggregate != aggregate || contribution.counter != milestone.counter)
        continue;
      parts.push_back(rows_sql(table, contribution));
      details = contribution.details.size();
    }
  }
  std::vector<std::string> names;
  std::vector<std::string> texts;
  std::vector<std::string> orders;
  for (std::size_t i = 0; i < details; ++i) {
    names.push_back(fmt::format("d{}", i));
    texts.push_back(fmt::format("n.d{}::text", i));
    orders.push_back(fmt::format("d{} desc nulls last", i));
  }
  return fmt::format(
      "select k.key::text, {} from unnest($1::{}) as k(key) cross join lateral"
      " (select * from ({}) as rows({}) order by {} limit 1) as n",
      fmt::join(texts, ", "), key_array_type(declaration.aggregate(aggregate)),
      fmt::join(parts, " union all "), fmt::join(names, ", "), fmt::join(orders, ", "));
}

}  // namespace tidemark
