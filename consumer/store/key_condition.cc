#include "consumer/store/key_condition.h"

#include <algorithm>
#include <vector>

#include "consumer/store/array_literal.h"

namespace tidemark {

KeyCondition::KeyCondition(const Aggregate& aggregate, const KeySet& keys)
    : aggregate_(aggregate), listed_(keys.listed.has_value()), except_(!keys.except.empty()) {
  if (keys.listed) {
    params_.emplace_back(array_of(*keys.listed));
  } else {
    bounds_ = {keys.from.has_value(), keys.to.has_value()};
    if (keys.from) params_.emplace_back(keys.from);
    if (keys.to) params_.emplace_back(keys.to);
  }
  if (except_) params_.emplace_back(array_of(keys.except));
}

std::string KeyCondition::sql(const std::string& key) const {
  const std::string type = key_array_type(aggregate_);
  std::string sql = listed_ ? key + " in (select unnest($1::" + type + "))"
                            : in_range_sql(aggregate_, key, bounds_);
  if (except_) {
    sql += " and " + key + " <> all($" + std::to_string(params_.size()) + "::" + type + ")";
  }
  return sql;
}

std::string KeyCondition::stored_sql(const std::string& column) const {
  return listed_ ? column + " = any($1::text[])" : sql(stored_key_sql(aggregate_, column));
}

std::string stored_key_sql(const Aggregate& aggregate, std::string_view column) {
  std::string sql(column);
  if (aggregate.key_type == ColumnType::kText) return sql + " collate \"C\"";
  return sql + "::" + std::string(type_name(aggregate.key_type));
}

std::string counter_list(const Aggregate& aggregate, std::string_view alias) {
  std::string list;
  for (const Counter& counter : aggregate.counters) {
    list += ", " + std::string(alias) + "." + quote_identifier(counter.name);
  }
  return list;
}

std::string cell_array(const Aggregate& aggregate) {
  ArrayLiteral names;
  for (std::uint32_t i = 0; i < aggregate.cells(); ++i)
    names.add(aggregate.cell_name(CounterIndex(i)));
  return names.take();
}

bool key_less(const Aggregate& aggregate, const std::string& a, const std::string& b) {
  if (!is_integer(aggregate.key_type)) return a < b;
  return std::stoll(a) < std::stoll(b);
}

}  // namespace tidemark
