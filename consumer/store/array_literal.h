// Array literals for `unnest($1::type[])`: libpqxx 6 can't pass arrays as parameters.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark {

// Builds the text form of a one-dimensional array, element by element, in call order. Texts are
// always quoted, so that any UTF-8 text without NUL comes back unchanged, "NULL" and "" too.
class ArrayLiteral {
 public:
  // Room for `elements` of about `element_bytes` each: spares growing, no bound.
  explicit ArrayLiteral(std::size_t elements = 0, std::size_t element_bytes = 8);

  void add(std::integral auto value) { add_integer(static_cast<std::int64_t>(value)); }
  void add(std::string_view text);
  void add(bool) = delete;  // would be written as a number
  void add_null();

  // The literal, "{...}"; leaves the builder empty.
  std::string take();

 private:
  void add_integer(std::int64_t value);
  void separate();

  std::string text_;
};

std::string array_of(std::span<const std::int64_t> values);
std::string array_of(std::span<const std::int32_t> values);
std::string array_of(std::span<const std::string> values);

}  // namespace tidemark
