#include "consumer/store/parked_rows.h"

#include <optional>
#include <string>
#include <string_view>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

unsigned digit_of(char c) { return static_cast<unsigned>(c >= 'a' ? c - 'a' + 10 : c - '0'); }

// What encode(..., 'hex') gives, back to bytes; none for NULL.
std::optional<std::string> bytes_of(const SqlResult& rows, std::size_t row, std::size_t column) {
  if (rows.is_null(row, column)) return std::nullopt;
  const std::string_view hex = rows.text(row, column);
  TIDEMARK_CHECK(hex.size() % 2 == 0);
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(digit_of(hex[i]) << 4U | digit_of(hex[i + 1])));
  }
  return bytes;
}

}  // namespace

ParkedRow parked_row(const SqlResult& rows, std::size_t row) {
  return {
      {std::string(rows.text(row, 0)), Partition(static_cast<std::int32_t>(rows.integer(row, 1)))},
      Offset(rows.integer(row, 2)),
      KafkaTimestamp(rows.integer(row, 3)),
      std::string(rows.text(row, 4)),
      std::string(rows.text(row, 5)),
      static_cast<std::uint64_t>(rows.integer(row, 6)),
      std::string(rows.text(row, 7))};
}

ParkedDetail parked_detail(const SqlResult& rows, std::size_t row) {
  return {parked_row(rows, row), bytes_of(rows, row, 8), bytes_of(rows, row, 9)};
}

}  // namespace tidemark
