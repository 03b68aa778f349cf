// Debezium's forms of timestamps and dates, to microseconds and days since 1970. Internal to the
// decoder. Total: any text or number gives an answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tidemark {

// What a timestamp's number counts since 1970.
enum class TimeUnit : std::uint8_t { kMillis, kMicros, kNanos };

// Microseconds. The extremes of int64, which stand for infinity in every unit, stay what they are;
// milliseconds beyond what microseconds can hold become an extreme; nanoseconds are rounded down.
std::int64_t to_micros(std::int64_t number, TimeUnit unit);

// Microseconds since 1970 of `2024-02-29T23:59:59.123456Z`: years of 4 to 9 digits with an
// optional sign, seconds and up to 9 decimals optional, a `Z`, an offset like `+02:00` or nothing
// at the end. None: another form, or no such day. Beyond int64: an extreme, as -infinity and
// infinity come as years of nine digits.
std::optional<std::int64_t> micros_from_iso(std::string_view text);

// Days since 1970 of `2024-02-29Z`, with `Z`, an offset (which is ignored) or nothing at the end.
// Beyond int32: its extremes.
std::optional<std::int64_t> days_from_iso(std::string_view text);

}  // namespace tidemark
