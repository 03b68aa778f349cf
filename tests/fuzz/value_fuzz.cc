// Any text as a value of each type, a key, a sequence or a nested document: what is taken is within
// its type, and numbers read back as they were written.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "consumer/core/check.h"
#include "consumer/core/decode_frame.h"
#include "consumer/core/decode_keys.h"
#include "consumer/core/decode_time.h"
#include "consumer/core/decode_value.h"

namespace tidemark {
namespace {

constexpr ColumnType kTypes[] = {
    ColumnType::kBoolean, ColumnType::kSmallint,  ColumnType::kInteger,    ColumnType::kBigint,
    ColumnType::kText,    ColumnType::kEnum,      ColumnType::kUuid,       ColumnType::kJson,
    ColumnType::kDate,    ColumnType::kTimestamp, ColumnType::kTimestamptz};

template <class T>
void check_within(std::int64_t number) {
  TIDEMARK_CHECK(number >= std::numeric_limits<T>::min());
  TIDEMARK_CHECK(number <= std::numeric_limits<T>::max());
}

void check_value(const Column& column, const Value& value) {
  const auto* number = std::get_if<std::int64_t>(&value);
  if (number != nullptr) {
    if (column.type == ColumnType::kSmallint) check_within<std::int16_t>(*number);
    if (column.type == ColumnType::kInteger) check_within<std::int32_t>(*number);
    if (column.type == ColumnType::kDate) check_within<std::int32_t>(*number);
    TIDEMARK_CHECK(is_integer(column.type) || column.type == ColumnType::kDate ||
                   column.type == ColumnType::kTimestamp);
  }
  if (std::holds_alternative<bool>(value)) TIDEMARK_CHECK(column.type == ColumnType::kBoolean);
}

void check_values(std::string_view text) {
  for (const ColumnType type : kTypes) {
    Column column;
    column.type = type;
    column.values = {"track", "album"};
    for (const TimeUnit unit : {TimeUnit::kMillis, TimeUnit::kMicros, TimeUnit::kNanos}) {
      Value value;
      BadCode wrong{};
      if (decode_literal(column, unit, text, value, wrong)) check_value(column, value);
    }
    Value value;
    BadCode wrong{};
    if (decode_text(column, text, value, wrong)) check_value(column, value);
    TIDEMARK_CHECK(!bad_value_reason(wrong, "after", column).empty());
  }
}

// An integer is its own text, but for "-0".
void check_integer(std::string_view text) {
  std::int64_t number = 0;
  if (literal_kind(text) != LiteralKind::kInteger || !integer_of(text, number)) return;
  TIDEMARK_CHECK(std::to_string(number) == text || text == "-0");
}

void check_keys(std::string_view text) {
  if (text.size() > KeyPlan::kKeyBytesMax || text.find('"') != std::string_view::npos) return;
  std::string document(text);
  document.push_back('"');
  document.append(KeyPlan::kKeyBytesMax + 1, '\0');
  const std::vector<std::string> names = {"id", "is_current", "is_repost_of_repost"};
  KeyPlan keys(names);
  KeyPlan::Cursor first(keys);
  TIDEMARK_CHECK(first.match(document.data()) == KeyPlan::kMiss);
  const int found = first.find(text, text);
  TIDEMARK_CHECK(found == KeyPlan::kOther || names[static_cast<std::size_t>(found)] == text);
  TIDEMARK_CHECK(KeyPlan::Cursor(keys).match(document.data()) == found);
  document.insert(text.size(), "x");
  TIDEMARK_CHECK(KeyPlan::Cursor(keys).match(document.data()) == KeyPlan::kMiss);
}

void check_frame(std::string_view text) {
  std::optional<Position> position;
  if (sequence_of(text, position) != SequenceForm::kRead) TIDEMARK_CHECK(!position);
  const bool deep = deeper_than(text, 3);
  TIDEMARK_CHECK(!deep || text.size() > 3);
  TIDEMARK_CHECK(!deeper_than(text, text.size()));
  const std::optional<std::string_view> json = json_in(text);
  TIDEMARK_CHECK(!json || json->size() <= text.size());
  TIDEMARK_CHECK(raw_key(text.data(), text.data() + text.size()).size() <= text.size());
}

}  // namespace
}  // namespace tidemark

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  tidemark::check_values(text);
  tidemark::check_integer(text);
  tidemark::check_keys(text);
  tidemark::check_frame(text);
  return 0;
}
