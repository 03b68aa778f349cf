#include "consumer/core/decode_plan.h"

#include <cstddef>
#include <variant>

namespace tidemark {
namespace {

std::vector<std::string> column_names(const Table& table) {
  std::vector<std::string> names;
  for (const Column& column : table.columns) names.push_back(column.name);
  return names;
}

std::optional<TimeUnit> unit_named(std::string_view schema_name) {
  if (schema_name == "io.debezium.time.MicroTimestamp") return TimeUnit::kMicros;
  if (schema_name == "io.debezium.time.NanoTimestamp") return TimeUnit::kNanos;
  if (schema_name == "io.debezium.time.Timestamp") return TimeUnit::kMillis;
  if (schema_name == "org.apache.kafka.connect.data.Timestamp") return TimeUnit::kMillis;
  return std::nullopt;
}

// What the connector puts where it knows nothing: null, or its type's zero where null can't be.
bool is_blank(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return !*flag;
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number == 0;
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    return text->empty() || text->starts_with("1970-01-01T00:00:00");
  }
  return true;
}

// REPLICA IDENTITY DEFAULT sends the key alone, and the rest looks like data (seen: a boolean that
// can't be null comes as false, a timestamp as 0). A row that really is so is taken for one: it is
// recounted, slower and not wrong.
bool only_key_is_known(const TablePlan& plan, const RowImage& row) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!plan.is_key[i] && !is_blank(row[i])) return false;
  }
  return true;
}

}  // namespace

TablePlan::TablePlan(TableIndex i, const Table& t)
    : index(i), table(&t), keys(column_names(t)), is_key(t.columns.size(), false) {
  for (const ColumnIndex column : t.primary_key) is_key[column.value] = true;
  for (const Column& column : t.columns) {
    declared_units.push_back(column.timestamp_in_millis ? TimeUnit::kMillis : TimeUnit::kMicros);
  }
  schema_units = declared_units;
}

TablePlan* find_plan(std::vector<TablePlan>& plans, const std::vector<TableIndex>& tables,
                     std::string_view schema_name, std::string_view table_name) {
  for (const TableIndex index : tables) {
    TablePlan& plan = plans[index.value];
    const QualifiedName& name = plan.table->name;
    if (name.schema == schema_name && name.name == table_name) return &plan;
  }
  return nullptr;
}

void use_unit(TablePlan& plan, std::string_view column, std::string_view type_name) {
  const std::optional<TimeUnit> unit = unit_named(type_name);
  for (std::size_t i = 0; unit && i < plan.schema_units.size(); ++i) {
    if (plan.table->columns[i].name == column) plan.schema_units[i] = *unit;
  }
}

std::optional<std::size_t> forbidden_null(const TablePlan& plan, const RowImage& row) {
  const Column* const columns = plan.table->columns.data();
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (std::holds_alternative<Null>(row[i]) && !columns[i].nullable) return i;
  }
  return std::nullopt;
}

void hide_partial(const TablePlan& plan, RowImage& before) {
  const bool full = plan.table->replica_full && !forbidden_null(plan, before) &&
                    (plan.table->primary_key.empty() || !only_key_is_known(plan, before));
  if (full) return;
  for (std::size_t i = 0; i < before.size(); ++i) {
    // A key column that is null was not sent either: another index is the identity.
    const bool sent = plan.is_key[i] && !std::holds_alternative<Null>(before[i]);
    if (!sent) before[i] = Unknown{};
  }
}

}  // namespace tidemark
