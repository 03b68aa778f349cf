// What the decoder's tests share: a declaration with one column of each type, events as text, and
// a decoder.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "consumer/core/decode.h"
#include "tests/support/declarations.h"

namespace tidemark::testing {

inline constexpr const char* kSource =
    R"({"version":"3.7.0.Final","name":"s","ts_ms":5,"sequence":"[\"10\",\"20\"]","ts_us":5001,)"
    R"("schema":"public","table":"t","txId":7,"lsn":20,"xmin":null})";

// One column of each type beside the key, and a second table for shared topics.
inline Declaration types_declaration() {
  return DeclarationBuilder()
      .table("t")
      .key_column("id", ColumnType::kBigint)
      .nullable_column("b", ColumnType::kBoolean)
      .nullable_column("si", ColumnType::kSmallint)
      .nullable_column("i", ColumnType::kInteger)
      .nullable_column("txt", ColumnType::kText)
      .enum_column("e", {"track", "album"})
      .nullable_column("j", ColumnType::kJson)
      .nullable_column("ts", ColumnType::kTimestamp)
      .nullable_column("ts3", ColumnType::kTimestamp)
      .in_millis()
      .nullable_column("dt", ColumnType::kDate)
      .table("u")
      .key_column("id", ColumnType::kInteger)
      .table("partial")
      .key_column("id", ColumnType::kInteger)
      .nullable_column("n", ColumnType::kInteger)
      .without_full_identity()
      .table("zeros")
      .key_column("id", ColumnType::kInteger)
      .column("flag", ColumnType::kBoolean)
      .column("n", ColumnType::kInteger)
      .nullable_column("t", ColumnType::kText)
      .build();
}

// The fields of a row of t, for `row`.
using Fields = std::vector<std::pair<std::string, std::string>>;
inline Fields full_row() {
  return {{"id", "1"},         {"b", "true"},    {"si", "2"}, {"i", "3"},   {"txt", R"("x")"},
          {"e", R"("track")"}, {"j", R"("{}")"}, {"ts", "4"}, {"ts3", "5"}, {"dt", "6"}};
}

inline std::string object(const Fields& fields) {
  std::string text = "{";
  for (const auto& [key, value] : fields) {
    if (text.size() > 1) text += ',';
    text += '"' + key + "\":" + value;
  }
  return text + "}";
}

// A row of t with one column's JSON replaced.
inline std::string row_with(const std::string& column, const std::string& json) {
  Fields fields = full_row();
  for (auto& [key, value] : fields) {
    if (key == column) value = json;
  }
  return object(fields);
}

inline Fields event_fields(const std::string& op, const std::string& before,
                           const std::string& after) {
  return {{"before", before},      {"after", after},       {"source", kSource},
          {"transaction", "null"}, {"op", '"' + op + '"'}, {"ts_ms", "9"}};
}

inline std::string event(const std::string& op, const std::string& before,
                         const std::string& after) {
  return object(event_fields(op, before, after));
}

class DecoderTest : public ::testing::Test {
 protected:
  DecodeResult decode(std::string_view value) { return decode_as(value, {{table("t")}, false}); }

  DecodeResult decode_as(std::string_view value, const TopicTables& topic) {
    // A copy of exactly its size, so that the address sanitizer sees a read beyond it.
    const std::vector<char> bytes(value.begin(), value.end());
    Record record;
    record.topic = "s.public.t";
    record.key = "{}";
    record.value = std::string_view(bytes.data(), bytes.size());
    return decoder_.decode(record, topic, change_);
  }

  TableIndex table(std::string_view name) const { return table_named(declaration_, name); }

  // The value of one column of an inserted row that holds `json` there.
  Value value_of(const std::string& column, const std::string& json) {
    const DecodeResult result = decode(event("c", "null", row_with(column, json)));
    EXPECT_TRUE(std::holds_alternative<Decoded>(result)) << column << " " << json;
    if (change_.after.empty()) return Unknown{};
    return change_.after[column_named(declaration_, table("t"), column).value];
  }

  std::string code_of_value(const std::string& column, const std::string& json) {
    return code(decode(event("c", "null", row_with(column, json))));
  }

  // "decoded", or the name of the skip or of the code.
  static std::string code(const DecodeResult& result) {
    if (const auto* skip = std::get_if<SkipReason>(&result)) return std::string(skip_name(*skip));
    if (const auto* bad = std::get_if<BadRecord>(&result)) return std::string(code_name(bad->code));
    return "decoded";
  }

  static std::string reason(const DecodeResult& result) {
    const auto* bad = std::get_if<BadRecord>(&result);
    return bad == nullptr ? "" : bad->reason;
  }

  Declaration declaration_ = types_declaration();
  Decoder decoder_{declaration_, {}};
  Change change_;
};

}  // namespace tidemark::testing
