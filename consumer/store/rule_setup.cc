#include "consumer/store/rule_setup.h"

#include <xxhash.h>

#include <bit>
#include <cstdint>
#include <set>

#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"

namespace tidemark {
namespace {

constexpr const char* kForgetSql = "delete from tidemark.sweeps where rule <> all($1::text[])";

constexpr const char* kStoreSql = R"(
insert into tidemark.sweeps as s (rule, definition)
select * from unnest($1::text[], $2::bigint[])
on conflict (rule) do update set definition = excluded.definition, requested = true
 where s.definition <> excluded.definition
returning rule)";

// Over the tables whose blocks decide whom the rule's changes mark. Where there is nothing yet, all
// that comes is new.
std::string seed_sql(const Declaration& declaration, const Rule& rule) {
  std::set<std::string> newest;
  for (const DirtySource& source : rule.dirty) {
    if (!source.block) continue;
    const Table& table = declaration.table(source.table);
    newest.insert("(select max(" + quote_identifier(table.columns[source.block->value].name) +
                  ") from " + quote_name(table.name) + ")");
  }
  std::string list;
  for (const std::string& one : newest) list += one + ", ";
  return "insert into public.indexing_checkpoints (tablename, last_checkpoint) values ($1::text,"
         " greatest(coalesce(greatest(" +
         list + "null), 0) - 1, 0)) on conflict (tablename) do nothing";
}

}  // namespace

std::vector<std::string> bind_rules(PgTransaction& transaction, const Declaration& declaration) {
  ArrayLiteral names;
  ArrayLiteral definitions;
  for (const Rule& rule : declaration.rules) {
    const std::string text = marking_text(declaration, rule);
    names.add(std::string_view(rule.name));
    definitions.add(std::bit_cast<std::int64_t>(
        static_cast<std::uint64_t>(XXH3_64bits(text.data(), text.size()))));
  }
  const std::string list = names.take();
  transaction.run_sql({"forget rules that are no longer declared", "tidemark.sweeps"}, kForgetSql,
                      {list});
  const SqlResult fresh = transaction.run_sql({"store the rules", "tidemark.sweeps"}, kStoreSql,
                                              {list, definitions.take()});
  std::vector<std::string> swept;
  for (std::size_t row = 0; row < fresh.rows(); ++row) swept.emplace_back(fresh.text(row, 0));
  for (const Rule& rule : declaration.rules) {
    if (!rule.checkpoint) continue;
    transaction.run_sql({"seed the checkpoint of rule " + rule.name, "public.indexing_checkpoints"},
                        seed_sql(declaration, rule), {*rule.checkpoint});
  }
  return swept;
}

}  // namespace tidemark
