#include "consumer/store/array_literal.h"

#include <charconv>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

template <class T>
std::string build(std::span<const T> values) {
  ArrayLiteral array(values.size());
  for (const T& value : values) array.add(value);
  return array.take();
}

}  // namespace

ArrayLiteral::ArrayLiteral(std::size_t elements, std::size_t element_bytes) {
  text_.reserve(elements * (element_bytes + 1) + 2);
  text_.push_back('{');
}

void ArrayLiteral::separate() {
  if (text_.size() > 1) text_.push_back(',');
}

void ArrayLiteral::add_integer(std::int64_t value) {
  separate();
  char digits[24];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  TIDEMARK_CHECK(error == std::errc{});
  text_.append(digits, end);
}

void ArrayLiteral::add(std::string_view text) {
  separate();
  text_.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') text_.push_back('\\');
    text_.push_back(c);
  }
  text_.push_back('"');
}

void ArrayLiteral::add_null() {
  separate();
  text_.append("NULL");
}

std::string ArrayLiteral::take() {
  text_.push_back('}');
  return std::exchange(text_, "{");
}

std::string array_of(std::span<const std::int64_t> values) { return build(values); }
std::string array_of(std::span<const std::int32_t> values) { return build(values); }
std::string array_of(std::span<const std::string> values) { return build(values); }

}  // namespace tidemark
