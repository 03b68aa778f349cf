#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <variant>
#include <vector>

#include "consumer/core/decode.h"
#include "tests/unit/decode_tester.h"

namespace tidemark {
namespace {

using testing::event;
using testing::event_fields;
using testing::Fields;
using testing::full_row;
using testing::object;
using testing::row_with;

using DecodeHostile = testing::DecoderTest;

TEST_F(DecodeHostile, CutAtEveryByteIsBadJson) {
  const std::string plain = event("u", object(full_row()), row_with("txt", R"("é\n")"));
  const std::string whole = R"({"schema":{"a":[1,{"b":"c"}]},"payload":)" + plain + "}";
  for (const std::string& text : {plain, whole}) {
    ASSERT_EQ(code(decode(text)), "decoded");
    for (std::size_t size = 0; size < text.size(); ++size) {
      ASSERT_EQ(code(decode(std::string_view(text).substr(0, size))), "bad_json") << size;
    }
  }
}

TEST_F(DecodeHostile, SomethingBehindTheDocument) {
  const std::string text = event("c", "null", object(full_row()));
  for (const char* tail : {"}", "{}", ",", "null", "]", "x", "\"\""}) {
    EXPECT_EQ(code(decode(text + tail)), "bad_json") << tail;
  }
  EXPECT_EQ(code(decode(text + " \n\t")), "decoded");
}

TEST_F(DecodeHostile, NestedBeyondTheLimit) {
  const auto nested = [](std::size_t depth, const char* open, const char* close) {
    std::string text;
    for (std::size_t i = 0; i < depth; ++i) text += open;
    text += "1";
    for (std::size_t i = 0; i < depth; ++i) text += close;
    return text;
  };
  EXPECT_EQ(code(decode(nested(1025, "[", "]"))), "too_deep");
  EXPECT_EQ(code(decode(nested(1025, "{\"a\":", "}"))), "too_deep");
  Fields fields = event_fields("c", "null", object(full_row()));
  fields[3].second = nested(63, "[", "]");  // within the envelope's own object: 64
  EXPECT_EQ(code(decode(object(fields))), "decoded");
  fields[3].second = nested(64, "[", "]");
  EXPECT_EQ(code(decode(object(fields))), "too_deep");
  fields[3].second = '"' + std::string(5000, '[') + '"';
  EXPECT_EQ(code(decode(object(fields))), "decoded");
  const std::string payload = object(event_fields("c", "null", object(full_row())));
  const auto with_schema = [&](std::size_t depth) {
    return object({{"schema", nested(depth, "{\"a\":", "}")}, {"payload", payload}});
  };
  EXPECT_EQ(code(decode(with_schema(63))), "decoded");
  EXPECT_EQ(code(decode(with_schema(64))), "too_deep");
  Fields row = full_row();
  row.emplace_back("undeclared", nested(63, "{\"a\":", "}"));
  EXPECT_EQ(code(decode(event("c", "null", object(row)))), "too_deep");
}

TEST_F(DecodeHostile, FieldsThatStandTwice) {
  const Fields fields = event_fields("u", object(full_row()), object(full_row()));
  for (const auto& field : fields) {
    Fields doubled = fields;
    doubled.push_back(field);
    EXPECT_EQ(code(decode(object(doubled))), "doubled_field") << field.first;
  }
  Fields row = full_row();
  row.emplace_back("i", "3");
  EXPECT_EQ(code(decode(event("c", "null", object(row)))), "doubled_field");
  row.back().first = R"(\u0069)";
  EXPECT_EQ(code(decode(event("c", "null", object(row)))), "doubled_field");
  const std::string source = R"({"op":"t","source":{"schema":"a","table":"b","schema":"a"}})";
  EXPECT_EQ(code(decode(source)), "doubled_field");
}

TEST_F(DecodeHostile, UndeclaredColumnsAreIgnoredWhateverTheyHold) {
  Fields row = full_row();
  row.insert(row.begin(), {"other", R"({"id":[1,"]"],"i":null})"});
  row.insert(row.begin() + 4, {"other", R"("\u0000")"});
  row.emplace_back("ID", "5");
  row.emplace_back("", "null");
  ASSERT_EQ(code(decode(event("c", "null", object(row)))), "decoded");
  EXPECT_EQ(change_.after[0], Value(std::int64_t{1}));
}

TEST_F(DecodeHostile, AnyOrderOfKeysGivesTheSameChange) {
  Fields row = full_row();
  Fields envelope = event_fields("u", object(row), row_with("i", "7"));
  ASSERT_EQ(code(decode(object(envelope))), "decoded");
  const std::int64_t expected = 7;
  std::vector<std::size_t> order(envelope.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  do {
    Fields shuffled;
    for (const std::size_t i : order) shuffled.push_back(envelope[i]);
    std::rotate(row.begin(), row.begin() + 3, row.end());
    shuffled[order[0]].second = shuffled[order[0]].second;
    ASSERT_EQ(code(decode(object(shuffled))), "decoded");
    ASSERT_EQ(change_.after[3], Value(expected));
    ASSERT_EQ(change_.before[3], Value(std::int64_t{3}));
    ASSERT_EQ(change_.position, (Position{Lsn{10}, Lsn{20}}));
  } while (std::next_permutation(order.begin(), order.end()));
  do {
    ASSERT_EQ(code(decode(event("c", "null", object(row)))), "decoded");
    ASSERT_EQ(change_.after[3], Value(std::int64_t{3}));
    ASSERT_EQ(change_.after[9], Value(std::int64_t{6}));
    std::rotate(row.begin(), row.begin() + 1, row.end());
  } while (row.front().first != "id");
}

TEST_F(DecodeHostile, SchemaRegistryPrefix) {
  const std::string json = event("c", "null", object(full_row()));
  const std::string prefix("\0\0\0\0\x2a", 5);
  EXPECT_EQ(code(decode(prefix + json)), "decoded");
  const DecodeResult avro = decode(prefix + std::string("\x02\x0e"
                                                        "abc",
                                                        5));
  EXPECT_EQ(code(avro), "unsupported_format");
  EXPECT_NE(reason(avro).find("JsonConverter"), std::string::npos);
  EXPECT_EQ(code(decode(prefix)), "unsupported_format");
  EXPECT_EQ(code(decode(std::string(1, '\0'))), "unsupported_format");
}

TEST_F(DecodeHostile, EmptyAndJunk) {
  for (const std::string junk :
       {"", " ", "\n", "junk", "{", "}", "\xff\xfe", "\xef\xbb\xbf{}", "{\"op\"}", "{\"op\":}",
        "{,}", "{\"a\":1,}", "{1:2}", "\"", "{\"a\" 1}", "{\"op\":\"c\",\"op2\":}", "{\"a\":1]"}) {
    const std::string got = code(decode(junk));
    EXPECT_TRUE(got == "bad_json" || got == "bad_encoding") << junk << " gave " << got;
  }
}

TEST_F(DecodeHostile, LongRecordsAndTheSmallOnesBehindThem) {
  Decoder small(declaration_, {4096, 64});
  std::string value = event("c", "null", row_with("txt", '"' + std::string(5000, 'x') + '"'));
  Record record;
  record.value = value;
  EXPECT_EQ(code(small.decode(record, {{table("t")}, false}, change_)), "too_large");
  value = event("c", "null", row_with("txt", '"' + std::string(3 << 20, 'x') + '"'));
  ASSERT_EQ(code(decode(value)), "decoded");
  EXPECT_EQ(std::get<std::string_view>(change_.after[4]).size(), std::size_t{3} << 20);
  EXPECT_EQ(value_of("txt", R"("y")"), Value(std::string_view("y")));
}

TEST_F(DecodeHostile, ByteMutationsNeverCrashAndNeverGiveHalfARow) {
  const std::string text = event("u", object(full_row()), row_with("txt", R"("a\u00e9")"));
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const char byte : {'"', '\\', '{', '}', '[', ']', ',', ':', '0', 'x', ' ', '\0', '\xff'}) {
      std::string mutated = text;
      mutated[at] = byte;
      if (code(decode(mutated)) != "decoded") continue;
      ASSERT_TRUE(change_.before.empty() || change_.before.size() == 10u);
      ASSERT_TRUE(change_.after.empty() || change_.after.size() == 10u);
    }
  }
}

TEST_F(DecodeHostile, ReasonsNeverHoldValues) {
  constexpr const char* kSecret = "hunter2";
  const std::string quoted = std::string("\"") + kSecret + "\"";
  for (const char* column : {"id", "b", "si", "i", "e", "ts", "dt"}) {
    const DecodeResult result = decode(event("c", "null", row_with(column, quoted)));
    ASSERT_NE(code(result), "decoded");
    EXPECT_EQ(reason(result).find(kSecret), std::string::npos) << reason(result);
    EXPECT_NE(reason(result).find(std::string("after.") + column), std::string::npos);
  }
  EXPECT_EQ(reason(decode(event(kSecret, "null", "null"))).find(kSecret), std::string::npos);
}

}  // namespace
}  // namespace tidemark
