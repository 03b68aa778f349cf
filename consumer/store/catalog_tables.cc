#include "consumer/store/catalog_tables.h"

#include <algorithm>

namespace tidemark {
namespace {

constexpr const char* kTableSql = R"(
select c.oid, c.relkind in ('r', 'p'), c.relreplident = 'f', has_schema_privilege(n.oid, 'usage')
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1::text and c.relname = $2::text)";

constexpr const char* kColumnsSql = R"(
select a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null), t.typtype = 'e',
       a.attnotnull, a.atthasdef or a.attidentity <> '',
       a.attgenerated <> '' or a.attidentity = 'a',
       a.atttypmod,
       exists (select from pg_index i
                where i.indrelid = a.attrelid and i.indisunique and i.indisvalid and i.indimmediate
                  and i.indpred is null and i.indnkeyatts = 1 and i.indkey[0] = a.attnum),
       exists (select from pg_constraint k
                where k.conrelid = a.attrelid and k.contype = 'c' and k.conkey @> array[a.attnum]),
       has_column_privilege(a.attrelid, a.attnum, 'select'),
       has_column_privilege(a.attrelid, a.attnum, 'insert'),
       has_column_privilege(a.attrelid, a.attnum, 'update')
  from pg_attribute a join pg_type t on t.oid = a.atttypid
 where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
 order by a.attnum)";

constexpr const char* kKeySql = R"(
select a.attname
  from pg_index i cross join lateral unnest(i.indkey) with ordinality as k(attnum, place)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
 where i.indrelid = $1::oid and i.indisprimary
 order by k.place)";

constexpr const char* kEnumsSql = R"(
select a.attname, e.enumlabel
  from pg_attribute a join pg_enum e on e.enumtypid = a.atttypid
 where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
 order by a.attnum, e.enumsortorder)";

CatalogColumn read_column(const SqlResult& rows, std::size_t row) {
  CatalogColumn column;
  column.name = rows.text(row, 0);
  column.type = rows.text(row, 1);
  column.is_enum = rows.boolean(row, 2);
  column.not_null = rows.boolean(row, 3);
  column.has_default = rows.boolean(row, 4);
  column.generated = rows.boolean(row, 5);
  column.precision = static_cast<int>(rows.integer(row, 6));
  column.unique = rows.boolean(row, 7);
  column.checked = rows.boolean(row, 8);
  column.can_select = rows.boolean(row, 9);
  column.can_insert = rows.boolean(row, 10);
  column.can_update = rows.boolean(row, 11);
  return column;
}

}  // namespace

const CatalogColumn* CatalogTable::find(std::string_view column) const {
  const auto found = std::ranges::find(columns, column, &CatalogColumn::name);
  return found == columns.end() ? nullptr : &*found;
}

std::optional<CatalogTable> read_table(PgTransaction& transaction, const QualifiedName& name) {
  const StatementName statement{"read the catalog", name.text()};
  const SqlResult found = transaction.run_sql(statement, kTableSql, {name.schema, name.name});
  if (found.rows() == 0) return std::nullopt;
  CatalogTable table;
  table.is_table = found.boolean(0, 1);
  table.replica_full = found.boolean(0, 2);
  table.schema_usable = found.boolean(0, 3);
  const SqlParams oid{std::string(found.text(0, 0))};
  const SqlResult columns = transaction.run_sql(statement, kColumnsSql, oid);
  for (std::size_t row = 0; row < columns.rows(); ++row) {
    table.columns.push_back(read_column(columns, row));
  }
  const SqlResult key = transaction.run_sql(statement, kKeySql, oid);
  for (std::size_t row = 0; row < key.rows(); ++row) {
    table.primary_key.emplace_back(key.text(row, 0));
  }
  const SqlResult enums = transaction.run_sql(statement, kEnumsSql, oid);
  for (std::size_t row = 0; row < enums.rows(); ++row) {
    const auto column = std::ranges::find(table.columns, enums.text(row, 0), &CatalogColumn::name);
    if (column != table.columns.end()) column->enum_values.emplace_back(enums.text(row, 1));
  }
  return table;
}

}  // namespace tidemark
