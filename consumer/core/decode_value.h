// One JSON scalar to a column's value. Internal to the decoder; knows no JSON library.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "consumer/core/change.h"
#include "consumer/core/declaration.h"
#include "consumer/core/decode_time.h"

namespace tidemark {

// Debezium's placeholder for a value that it was not sent (unchanged TOAST).
inline constexpr std::string_view kUnavailable = "__debezium_unavailable_value";

// Of a JSON token that is not empty, or its first byte.
inline bool is_string(std::string_view token) { return token.front() == '"'; }
inline bool is_container(std::string_view token) {
  return token.front() == '{' || token.front() == '[';
}

// A token without the white space behind it: simdjson's end where the next begins.
inline std::string_view trimmed(std::string_view token) {
  constexpr std::string_view kSpace = " \t\r\n";
  while (!token.empty() && token.back() <= ' ' &&
         kSpace.find(token.back()) != std::string_view::npos) {
    token.remove_suffix(1);
  }
  return token;
}

// What a JSON token other than a string is.
enum class LiteralKind { kNull, kTrue, kFalse, kInteger, kNumber, kContainer, kInvalid };

// `token` has no white space around it; of an object or array, it may be only the bracket.
LiteralKind literal_kind(std::string_view token);

// The number of a token. False: it is of another kind than kInteger, or beyond int64.
//
// Here and below, results are out-parameters: a std::optional that is returned is written in parts
// and read back whole, which stalls for longer than the number takes.
bool integer_of(std::string_view token, std::int64_t& out);

// A token that is no string, as a value of `column`. `unit` is that of a timestamp's number. Null
// is taken in every column. False: `wrong` says what is.
bool decode_literal(const Column& column, TimeUnit unit, std::string_view token, Value& out,
                    BadCode& wrong);

// A JSON string, unescaped and without quotes, as a value of `column`. `out` may point into `text`.
bool decode_text(const Column& column, std::string_view text, Value& out, BadCode& wrong);

// What was expected, for people: "after.user_id: expected an integer". Never a value.
std::string bad_value_reason(BadCode code, std::string_view image, const Column& column);

}  // namespace tidemark
