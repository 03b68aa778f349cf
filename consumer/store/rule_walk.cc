#include "consumer/store/rule_walk.h"

#include <limits>
#include <string>

#include "consumer/core/recount_sql.h"
#include "consumer/store/dirty_table.h"

namespace tidemark {
namespace {

// A page of rows in the order of one column, told to its last value: rows that share it with the
// page's last belong to the page. $1: where the last page ended, $2: how many rows.
std::string page_sql(const std::string& table, const std::string& by, const std::string& key,
                     const std::string& condition) {
  const std::string rows = table + " as r where r." + by + " > $1::bigint and " + condition;
  return "with page as materialized (select r." + by + " as at from " + rows + " order by r." + by +
         " limit $2::integer), ended as (select max(at) as at, count(*) as rows from page)"
         " select distinct f.key, ended.at, ended.rows from ended left join (select r." +
         key + " as key, r." + by + " as at from " + rows +
         ") as f on f.at <= ended.at and f.key is not null";
}

struct Page {
  std::vector<std::int64_t> keys;
  std::optional<std::int64_t> next;  // none: it was the last
};

Page read_page(PgTransaction& transaction, const StatementName& name, const std::string& sql,
               std::int64_t from, std::size_t rows_max) {
  const SqlResult rows =
      transaction.run_sql(name, sql, {std::to_string(from), std::to_string(rows_max)});
  Page page;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    if (const auto key = rows.optional_integer(row, 0)) page.keys.push_back(*key);
  }
  if (rows.integer(0, 2) >= static_cast<std::int64_t>(rows_max)) page.next = rows.integer(0, 1);
  return page;
}

}  // namespace

WalkStep walk_rule(PgTransaction& transaction, const Declaration& declaration, RuleIndex index,
                   const WalkPlace& place, std::optional<std::int64_t> above,
                   std::size_t rows_max) {
  constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
  const Rule& rule = declaration.rule(index);
  const StatementName name{"walk rule " + rule.name, rule.file};
  const auto sources = static_cast<std::int32_t>(rule.dirty.size());
  if (place.phase >= sources * 2) {
    const std::string holders = "r.challenge_id = " + quote_literal(rule.name);
    Page page = read_page(transaction, name,
                          page_sql("public.user_challenges", "user_id", "user_id", holders),
                          place.at.value_or(kLowest), rows_max);
    if (!page.next) return {std::move(page.keys), std::nullopt};
    return {std::move(page.keys), WalkPlace{place.phase, page.next}};
  }
  const auto at = static_cast<std::uint32_t>(place.phase / 2);
  const DirtySource& source = rule.dirty[at];
  const Table& table = declaration.table(source.table);
  const WalkPlace after{place.phase + 1, std::nullopt};
  const bool without_block = place.phase % 2 == 1;
  const auto quoted = [&](ColumnIndex i) { return quote_identifier(table.columns[i.value].name); };
  if (without_block && (!source.block || !table.columns[source.block->value].nullable)) {
    return {{}, after};
  }
  const bool by_block = source.block && !without_block;
  const std::string key = quoted(source.key);
  const std::string condition =
      predicate_sql(table, source.when, "r") +
      (without_block ? " and r." + quoted(*source.block) + " is null" : "");
  const std::int64_t lowest = by_block ? above.value_or(kLowest) : kLowest;
  const Page page = read_page(
      transaction, name,
      page_sql(quote_name(table.name), by_block ? quoted(*source.block) : key, key, condition),
      place.at.value_or(lowest), rows_max);
  return {users_of(transaction, declaration, index, at, page.keys),
          page.next ? WalkPlace{place.phase, page.next} : after};
}

}  // namespace tidemark
