#include "consumer/core/predicate.h"

#include <algorithm>
#include <string>
#include <variant>

namespace tidemark {
namespace {

// A constant has its column's type (checked when the declaration is read), so the alternatives
// agree; text columns compare bytewise as in SQL's deterministic collations.
bool equals(const Constant& constant, const Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    const auto* wanted = std::get_if<std::string>(&constant);
    return wanted != nullptr && *wanted == *text;
  }
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    const auto* wanted = std::get_if<std::int64_t>(&constant);
    return wanted != nullptr && *wanted == *number;
  }
  const auto* flag = std::get_if<bool>(&value);
  const auto* wanted = std::get_if<bool>(&constant);
  return flag != nullptr && wanted != nullptr && *flag == *wanted;
}

Truth truth(bool b) { return b ? Truth::kTrue : Truth::kFalse; }

}  // namespace

Truth evaluate(const Condition& condition, const RowImage& row) {
  const Value& value = row[condition.column.value];
  if (std::holds_alternative<Unknown>(value)) return Truth::kUndecided;
  const bool is_null = std::holds_alternative<Null>(value);
  if (const auto* test = std::get_if<Condition::IsNull>(&condition.test)) {
    return truth(is_null == test->null);
  }
  if (is_null) return Truth::kFalse;
  const auto& constants = std::get<Condition::OneOf>(condition.test).constants;
  return truth(std::ranges::any_of(constants, [&](const Constant& c) { return equals(c, value); }));
}

Truth evaluate(const Predicate& predicate, const RowImage& row) {
  Truth result = Truth::kTrue;
  for (const Condition& condition : predicate.all) {
    result = both(result, evaluate(condition, row));
    if (result == Truth::kFalse) break;
  }
  return result;
}

}  // namespace tidemark
