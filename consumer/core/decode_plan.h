// What the decoder keeps about a watched table from record to record. Internal to the decoder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/change.h"
#include "consumer/core/declaration.h"
#include "consumer/core/decode_keys.h"
#include "consumer/core/decode_time.h"

namespace tidemark {

struct TablePlan {
  // `table` must stay where it is.
  TablePlan(TableIndex i, const Table& table);

  TableIndex index;
  const Table* table;
  KeyPlan keys;                          // a row's keys; names are the columns, in order
  std::vector<bool> is_key;              // by column
  std::vector<std::uint8_t> found;       // by column: in the row that is being read
  std::vector<TimeUnit> declared_units;  // by column
  std::string schema_text;               // the record schema that was read last, as JSON
  std::vector<TimeUnit> schema_units;    // by column, according to it
};

// The one of `tables` (indexes into `plans`) that has this name; null when none has.
TablePlan* find_plan(std::vector<TablePlan>& plans, const std::vector<TableIndex>& tables,
                     std::string_view schema_name, std::string_view table_name);

// Notes in `schema_units` what a record's schema says of a column: the name of its type, which for
// most columns says nothing about time.
void use_unit(TablePlan& plan, std::string_view column, std::string_view type_name);

// Hides what a partial `before` does not really say: all but the primary key becomes Unknown when
// the table is declared so, when a column is null that can't be, or when all others are blank.
void hide_partial(const TablePlan& plan, RowImage& before);

// The first column that is null and can't be.
std::optional<std::size_t> forbidden_null(const TablePlan& plan, const RowImage& after);

}  // namespace tidemark
