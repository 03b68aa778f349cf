#include "consumer/core/decode_time.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <limits>

namespace tidemark {
namespace {

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kSecondsPerDay = 86'400;
// Java's largest year has nine digits, and so has Debezium's infinity.
constexpr std::size_t kYearDigitsMax = 9;
constexpr std::size_t kFractionDigitsMax = 9;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t leading_digits(std::string_view text) {
  return static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) -
                                  text.begin());
}

// Takes a number of exactly `digits` digits off the front.
bool take_number(std::string_view& text, std::size_t digits, std::int64_t& out) {
  if (text.size() < digits || leading_digits(text.substr(0, digits)) != digits) return false;
  std::from_chars(text.data(), text.data() + digits, out);
  text.remove_prefix(digits);
  return true;
}

bool take_char(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

// Days since 1970 of a day in the proleptic Gregorian calendar, whose year 0 is 1 BC. The usual
// civil-day arithmetic, in eras of 400 years from March on; std::chrono's years end at 32,767.
std::int64_t days_from_civil(std::int64_t year, std::int64_t month, std::int64_t day) {
  const std::int64_t y = month <= 2 ? year - 1 : year;
  const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  const std::int64_t year_of_era = y - era * 400;
  const std::int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

std::int64_t days_in_month(std::int64_t year, std::int64_t month) {
  if (month == 2) return (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

bool take_date(std::string_view& text, std::int64_t& days) {
  const bool negative = take_char(text, '-');
  if (!negative) take_char(text, '+');
  const std::size_t year_digits = leading_digits(text);
  std::int64_t year = 0;
  std::int64_t month = 0;
  std::int64_t day = 0;
  if (year_digits < 4 || year_digits > kYearDigitsMax) return false;
  if (!take_number(text, year_digits, year) || !take_char(text, '-') ||
      !take_number(text, 2, month) || !take_char(text, '-') || !take_number(text, 2, day)) {
    return false;
  }
  if (negative) year = -year;
  if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return false;
  days = days_from_civil(year, month, day);
  return true;
}

bool take_fraction(std::string_view& text, std::int64_t& micros) {
  if (!take_char(text, '.')) return true;
  const std::size_t digits = leading_digits(text);
  if (digits < 1 || digits > kFractionDigitsMax) return false;
  if (!take_number(text, digits, micros)) return false;
  for (std::size_t i = digits; i < 6; ++i) micros *= 10;
  for (std::size_t i = digits; i > 6; --i) micros /= 10;
  return true;
}

bool take_time(std::string_view& text, std::int64_t& seconds, std::int64_t& micros) {
  std::int64_t hour = 0;
  std::int64_t minute = 0;
  std::int64_t second = 0;
  if (!take_number(text, 2, hour) || !take_char(text, ':') || !take_number(text, 2, minute)) {
    return false;
  }
  if (take_char(text, ':') && (!take_number(text, 2, second) || !take_fraction(text, micros))) {
    return false;
  }
  if (hour > 23 || minute > 59 || second > 59) return false;
  seconds = (hour * 60 + minute) * 60 + second;
  return true;
}

// Takes `Z`, `+02:00` or nothing; the text must end behind it.
bool take_zone(std::string_view text, std::int64_t& offset_seconds) {
  if (text.empty() || text == "Z") return true;
  const bool west = take_char(text, '-');
  if (!west && !take_char(text, '+')) return false;
  std::int64_t hours = 0;
  std::int64_t minutes = 0;
  if (!take_number(text, 2, hours) || !take_char(text, ':') || !take_number(text, 2, minutes)) {
    return false;
  }
  if (!text.empty() || hours > 18 || minutes > 59) return false;
  offset_seconds = (hours * 60 + minutes) * 60;
  if (west) offset_seconds = -offset_seconds;
  return true;
}

}  // namespace

std::int64_t to_micros(std::int64_t number, TimeUnit unit) {
  if (number == kMin || number == kMax) return number;
  switch (unit) {
    case TimeUnit::kMicros:
      return number;
    case TimeUnit::kMillis: {
      std::int64_t micros = 0;
      if (__builtin_mul_overflow(number, 1000, &micros)) return number < 0 ? kMin : kMax;
      return micros;
    }
    case TimeUnit::kNanos:
      return number / 1000 - (number % 1000 < 0 ? 1 : 0);
  }
  return number;
}

std::optional<std::int64_t> micros_from_iso(std::string_view text) {
  std::int64_t days = 0;
  std::int64_t seconds = 0;
  std::int64_t fraction = 0;
  std::int64_t offset = 0;
  if (!take_date(text, days) || !take_char(text, 'T') || !take_time(text, seconds, fraction) ||
      !take_zone(text, offset)) {
    return std::nullopt;
  }
  const std::int64_t whole = days * kSecondsPerDay + seconds - offset;
  std::int64_t micros = 0;
  if (__builtin_mul_overflow(whole, kMicrosPerSecond, &micros) ||
      __builtin_add_overflow(micros, fraction, &micros)) {
    return whole < 0 ? kMin : kMax;
  }
  return micros;
}

std::optional<std::int64_t> days_from_iso(std::string_view text) {
  std::int64_t days = 0;
  std::int64_t offset = 0;
  if (!take_date(text, days) || !take_zone(text, offset)) return std::nullopt;
  return std::clamp<std::int64_t>(days, std::numeric_limits<std::int32_t>::min(),
                                  std::numeric_limits<std::int32_t>::max());
}

}  // namespace tidemark
