#include "consumer/store/recounted_columns.h"

#include <algorithm>

#include "consumer/core/ports.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/catalog_tables.h"

namespace tidemark {

std::string recounted_sql(const Aggregate& aggregate, const RecountedColumns& group,
                          std::span<const std::string> types) {
  std::string sql = "select r." + quote_identifier(aggregate.key) +
                    "::" + std::string(type_name(aggregate.key_type)) + "::text";
  for (std::size_t i = 0; i < group.columns.size(); ++i) {
    sql += ", r." + quote_identifier(group.columns[i]) + "::" + types[i] + "::text";
  }
  return sql + " from (\n" + group.sql + "\n) as r";  // its last line may be a comment
}

RecountedTable::RecountedTable(PgTransaction& transaction, const Aggregate& aggregate)
    : aggregate_(&aggregate) {
  if (aggregate.recounted.empty()) return;
  const std::optional<CatalogTable> table = read_table(transaction, aggregate.name);
  for (const RecountedColumns& group : aggregate.recounted) {
    for (const std::string& name : group.columns) {
      const CatalogColumn* const column = table ? table->find(name) : nullptr;
      if (column == nullptr) {
        throw WorldError(ErrorKind::kFatal, "recount: " + aggregate.name.text() +
                                                " has no column " + name +
                                                ": run `tidemark validate`");
      }
      types_.push_back(column->type);
    }
  }
}

std::size_t RecountedTable::first_of(std::size_t group) const {
  std::size_t first = 0;
  for (std::size_t g = 0; g < group; ++g) first += aggregate_->recounted[g].columns.size();
  return first;
}

std::span<const std::string> RecountedTable::types_of(std::size_t group) const {
  return std::span(types_).subspan(first_of(group), aggregate_->recounted[group].columns.size());
}

std::string RecountedTable::columns(std::string_view alias) const {
  std::string list;
  for (const RecountedColumns& group : aggregate_->recounted) {
    for (const std::string& column : group.columns) {
      list += ", " + std::string(alias) + "." + quote_identifier(column) + "::text";
    }
  }
  return list;
}

ColumnTexts RecountedTable::read(const SqlResult& result, std::size_t row,
                                 std::size_t first) const {
  ColumnTexts texts;
  for (std::size_t i = 0; i < types_.size(); ++i) {
    texts.push_back(result.optional_text(row, first + i));
  }
  return texts;
}

TextsByKey RecountedTable::compute(PgTransaction& source, std::span<const std::string> keys) const {
  TextsByKey texts;
  for (std::size_t group = 0; group < aggregate_->recounted.size(); ++group) {
    const RecountedColumns& declared = aggregate_->recounted[group];
    const SqlResult rows =
        source.run_sql({"compute " + declared.name + " of", aggregate_->name.text()},
                       recounted_sql(*aggregate_, declared, types_of(group)), {array_of(keys)});
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      if (rows.is_null(row, 0)) continue;
      ColumnTexts& all = texts.try_emplace(std::string(rows.text(row, 0)), nulls()).first->second;
      for (std::size_t i = 0; i < declared.columns.size(); ++i) {
        all[first_of(group) + i] = rows.optional_text(row, i + 1);
      }
    }
  }
  return texts;
}

std::vector<bool> RecountedTable::differing(const ColumnTexts& a, const ColumnTexts& b) const {
  std::vector<bool> differ;
  for (std::size_t group = 0; group < aggregate_->recounted.size(); ++group) {
    const std::size_t first = first_of(group);
    const std::size_t columns = aggregate_->recounted[group].columns.size();
    differ.push_back(!std::ranges::equal(std::span(a).subspan(first, columns),
                                         std::span(b).subspan(first, columns)));
  }
  return differ;
}

// Rule F6: only these columns, only where they differ.
std::string RecountedTable::write_sql(std::size_t group) const {
  const std::vector<std::string>& columns = aggregate_->recounted[group].columns;
  const std::span<const std::string> types = types_of(group);
  std::string sets;
  std::string stored;
  std::string given;
  std::string arrays = "$1::" + key_array_type(*aggregate_);
  std::string names = "k";
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string column = quote_identifier(columns[i]);
    const std::string name = "c" + std::to_string(i);
    const std::string value = "b." + name + "::" + types[i];
    const std::string comma = i == 0 ? "" : ", ";
    sets += comma + column + " = " + value;
    stored += comma + "t." + column;
    given += comma + value;
    arrays += ", $" + std::to_string(i + 2) + "::text[]";
    names += ", " + name;
  }
  return "update " + quote_name(aggregate_->name) + " as t set " + sets + " from unnest(" + arrays +
         ") as b(" + names + ") where t." + quote_identifier(aggregate_->key) + " = b.k and row(" +
         stored + ") is distinct from row(" + given + ")";
}

void RecountedTable::write(PgTransaction& transaction, std::size_t group,
                           std::span<const std::string> keys,
                           std::span<const ColumnTexts* const> rows) const {
  const std::size_t first = first_of(group);
  SqlParams params{array_of(keys)};
  for (std::size_t i = 0; i < aggregate_->recounted[group].columns.size(); ++i) {
    ArrayLiteral texts;
    for (const ColumnTexts* row : rows) {
      const std::optional<std::string>& text = (*row)[first + i];
      if (text) {
        texts.add(std::string_view(*text));
      } else {
        texts.add_null();
      }
    }
    params.emplace_back(texts.take());
  }
  transaction.run_sql(
      {"correct " + aggregate_->recounted[group].name + " of", aggregate_->name.text()},
      write_sql(group), params);
}

}  // namespace tidemark
