#include "consumer/core/decode_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

namespace tidemark {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

static_assert(std::endian::native == std::endian::little, "eight_digits");

std::uint64_t eight_bytes(const char* at) {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, at, sizeof(bytes));
  return bytes;
}

// The number that eight decimal digits make, the first in the lowest byte. False: not all are
// digits. Neighbours are put together side by side: digits to pairs, pairs to fours, fours to
// eight.
bool eight_digits(std::uint64_t bytes, std::int64_t& out) {
  constexpr std::uint64_t kHigh = 0xf0f0f0f0f0f0f0f0;
  if (((bytes & kHigh) | (((bytes + 0x0606060606060606) & kHigh) >> 4)) != 0x3333333333333333) {
    return false;
  }
  bytes -= 0x3030303030303030;
  bytes = bytes * 10 + (bytes >> 8);
  constexpr std::uint64_t kPair = 0x000000ff000000ff;
  bytes = (((bytes & kPair) * (100 + (std::uint64_t{1'000'000} << 32))) +
           (((bytes >> 16) & kPair) * (1 + (std::uint64_t{10'000} << 32)))) >>
          32;
  out = static_cast<std::int64_t>(bytes);
  return true;
}

// An integer of at most 18 digits, which is every one that Debezium sends but extremes. False: it
// is longer, or none. Numbers are half of an event's values, and std::from_chars takes them digit
// by digit.
bool short_integer(std::string_view token, std::int64_t& out) {
  constexpr std::size_t kDigitsMax = 18;
  constexpr std::array<std::int64_t, 8> kTens = {1,      10,      100,       1'000,
                                                 10'000, 100'000, 1'000'000, 10'000'000};
  const bool negative = !token.empty() && token.front() == '-';
  const char* at = token.data() + (negative ? 1 : 0);
  std::size_t left = token.size() - (negative ? 1 : 0);
  if (left == 0 || left > kDigitsMax || (*at == '0' && left > 1)) return false;
  std::int64_t number = 0;
  std::int64_t eight = 0;
  if (left < 8) {
    for (; left > 0; --left, ++at) {
      if (!is_digit(*at)) return false;
      number = number * 10 + (*at - '0');
    }
  }
  for (; left >= 8; left -= 8, at += 8) {
    if (!eight_digits(eight_bytes(at), eight)) return false;
    number = number * 100'000'000 + eight;
  }
  if (left > 0) {
    // The last eight bytes, with zeros in place of the digits that were read already.
    const std::uint64_t unread = ~std::uint64_t{0} << ((8 - left) * 8);
    const std::uint64_t bytes =
        (eight_bytes(at + left - 8) & unread) | (0x3030303030303030 & ~unread);
    if (!eight_digits(bytes, eight)) return false;
    number = number * kTens[left] + eight;
  }
  out = negative ? -number : number;
  return true;
}

// JSON's number grammar: -?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?. std::from_chars takes more than
// that ("007", "inf"), so the form is checked here and only the digits are left to it.
LiteralKind number_kind(std::string_view token) {
  const char* at = token.data();
  const char* const end = at + token.size();
  const auto digits = [&] {
    const char* const first = at;
    at = std::find_if_not(at, end, is_digit);
    return at - first;
  };
  if (at != end && *at == '-') ++at;
  const bool leading_zero = at != end && *at == '0';
  const auto whole = digits();
  if (whole == 0 || (leading_zero && whole > 1)) return LiteralKind::kInvalid;
  if (at == end) return LiteralKind::kInteger;
  if (*at == '.') {
    ++at;
    if (digits() == 0) return LiteralKind::kInvalid;
  }
  if (at != end && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != end && (*at == '+' || *at == '-')) ++at;
    if (digits() == 0) return LiteralKind::kInvalid;
  }
  return at == end ? LiteralKind::kNumber : LiteralKind::kInvalid;
}

struct Range {
  std::int64_t min;
  std::int64_t max;
};

template <class T>
constexpr Range range_of() {
  return {std::numeric_limits<T>::min(), std::numeric_limits<T>::max()};
}

// Takes no integers at all.
constexpr Range kNoIntegers{0, -1};

Range range_of(ColumnType type) {
  switch (type) {
    case ColumnType::kSmallint:
      return range_of<std::int16_t>();
    case ColumnType::kInteger:
    case ColumnType::kDate:
      return range_of<std::int32_t>();
    case ColumnType::kBigint:
    case ColumnType::kTimestamp:
      return range_of<std::int64_t>();
    case ColumnType::kBoolean:
    case ColumnType::kText:
    case ColumnType::kEnum:
    case ColumnType::kUuid:
    case ColumnType::kJson:
    case ColumnType::kTimestamptz:
      break;
  }
  return kNoIntegers;
}

bool decode_integer(const Column& column, TimeUnit unit, std::int64_t number, Value& out,
                    BadCode& wrong) {
  const Range range = range_of(column.type);
  if (number < range.min || number > range.max) {
    wrong = range.max == kNoIntegers.max ? BadCode::kWrongType : BadCode::kOutOfRange;
    return false;
  }
  out = column.type == ColumnType::kTimestamp ? to_micros(number, unit) : number;
  return true;
}

bool decode_iso(std::optional<std::int64_t> parsed, Value& out, BadCode& wrong) {
  wrong = BadCode::kWrongType;
  if (parsed) out = *parsed;
  return parsed.has_value();
}

// What a value of the type looks like in a record.
std::string_view expected_form(ColumnType type) {
  switch (type) {
    case ColumnType::kBoolean:
      return "true or false";
    case ColumnType::kSmallint:
      return "an integer of 16 bits";
    case ColumnType::kInteger:
      return "an integer of 32 bits";
    case ColumnType::kBigint:
      return "an integer of 64 bits";
    case ColumnType::kText:
    case ColumnType::kEnum:
    case ColumnType::kUuid:
    case ColumnType::kTimestamptz:
      return "a string";
    case ColumnType::kJson:
      return "a string that holds JSON";
    case ColumnType::kTimestamp:
      return "an integer or an ISO 8601 date and time";
    case ColumnType::kDate:
      return "an integer of 32 bits or an ISO 8601 date";
  }
  return "a value";
}

}  // namespace

LiteralKind literal_kind(std::string_view token) {
  if (token.empty()) return LiteralKind::kInvalid;
  switch (token.front()) {
    case 'n':
      return token == "null" ? LiteralKind::kNull : LiteralKind::kInvalid;
    case 't':
      return token == "true" ? LiteralKind::kTrue : LiteralKind::kInvalid;
    case 'f':
      return token == "false" ? LiteralKind::kFalse : LiteralKind::kInvalid;
    case '{':
    case '[':
      return LiteralKind::kContainer;
    default:
      return number_kind(token);
  }
}

bool integer_of(std::string_view token, std::int64_t& out) {
  if (short_integer(token, out)) return true;
  if (literal_kind(token) != LiteralKind::kInteger) return false;
  const char* const end = token.data() + token.size();
  const auto [at, error] = std::from_chars(token.data(), end, out);
  return error == std::errc{} && at == end;
}

bool decode_literal(const Column& column, TimeUnit unit, std::string_view token, Value& out,
                    BadCode& wrong) {
  // Most are short numbers; the words are told by their first letter.
  std::int64_t number = 0;
  if (!token.empty() && token.front() <= '9' && short_integer(token, number)) {
    return decode_integer(column, unit, number, out, wrong);
  }
  const LiteralKind kind = literal_kind(token);
  switch (kind) {
    case LiteralKind::kNull:
      out = Null{};
      return true;
    case LiteralKind::kInteger:
      if (integer_of(token, number)) {
        return decode_integer(column, unit, number, out, wrong);
      }
      wrong =
          range_of(column.type).max == kNoIntegers.max ? BadCode::kWrongType : BadCode::kOutOfRange;
      return false;
    case LiteralKind::kTrue:
    case LiteralKind::kFalse:
      if (column.type != ColumnType::kBoolean) break;
      out = kind == LiteralKind::kTrue;
      return true;
    case LiteralKind::kNumber:
    case LiteralKind::kContainer:
      break;
    case LiteralKind::kInvalid:
      wrong = BadCode::kBadJson;
      return false;
  }
  wrong = BadCode::kWrongType;
  return false;
}

bool decode_text(const Column& column, std::string_view text, Value& out, BadCode& wrong) {
  switch (column.type) {
    case ColumnType::kText:
    case ColumnType::kJson:
      out = text;
      if (text == kUnavailable) out = Unknown{};
      return true;
    case ColumnType::kUuid:
    case ColumnType::kTimestamptz:
      out = text;
      return true;
    case ColumnType::kEnum:
      out = text;
      wrong = BadCode::kUnknownEnumValue;
      return std::find(column.values.begin(), column.values.end(), text) != column.values.end();
    case ColumnType::kTimestamp:
      return decode_iso(micros_from_iso(text), out, wrong);
    case ColumnType::kDate:
      return decode_iso(days_from_iso(text), out, wrong);
    case ColumnType::kBoolean:
    case ColumnType::kSmallint:
    case ColumnType::kInteger:
    case ColumnType::kBigint:
      break;
  }
  wrong = BadCode::kWrongType;
  return false;
}

std::string bad_value_reason(BadCode code, std::string_view image, const Column& column) {
  if (code == BadCode::kUnknownEnumValue) {
    return fmt::format("{}.{}: expected one of the {} declared values of this enum", image,
                       column.name, column.values.size());
  }
  return fmt::format("{}.{}: expected {}", image, column.name, expected_form(column.type));
}

}  // namespace tidemark
