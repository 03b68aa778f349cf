// An aggregate's recounted columns in Postgres: what a slice reads, computes and writes of them.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/store/pg.h"

namespace tidemark {

// What one row holds in the columns of all groups, as text; none: null.
using ColumnTexts = std::vector<std::optional<std::string>>;
using TextsByKey = std::map<std::string, ColumnTexts, std::less<>>;

// `compute`'s query for one group: key and columns as text, with types as the aggregate's table has
// them, so that texts can be compared. $1 is the array of keys.
std::string recounted_sql(const Aggregate& aggregate, const RecountedColumns& group,
                          std::span<const std::string> types);

class RecountedTable {
 public:
  // Reads the columns' types. `aggregate` must outlive it. Throws WorldError.
  RecountedTable(PgTransaction& transaction, const Aggregate& aggregate);

  // ", t.column::text" for each column of each group.
  std::string columns(std::string_view alias) const;
  // The columns of a result's row, from this place on.
  ColumnTexts read(const SqlResult& result, std::size_t row, std::size_t first) const;
  // What they must be, on the source. A key that is not in it has nulls. Sees what committed before
  // the call: its own snapshot, never an earlier statement's.
  TextsByKey compute(PgTransaction& source, std::span<const std::string> keys) const;
  // Per group whether they differ.
  std::vector<bool> differing(const ColumnTexts& a, const ColumnTexts& b) const;
  // Writes one group, where it is distinct, to rows that are there and locked.
  void write(PgTransaction& transaction, std::size_t group, std::span<const std::string> keys,
             std::span<const ColumnTexts* const> rows) const;
  ColumnTexts nulls() const { return ColumnTexts(types_.size()); }

 private:
  // The place of a group's first column among all groups' columns.
  std::size_t first_of(std::size_t group) const;
  std::span<const std::string> types_of(std::size_t group) const;
  std::string write_sql(std::size_t group) const;

  const Aggregate* aggregate_;
  std::vector<std::string> types_;  // of all groups' columns
};

}  // namespace tidemark
