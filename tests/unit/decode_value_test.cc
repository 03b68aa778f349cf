#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "consumer/core/decode.h"
#include "tests/unit/decode_tester.h"

namespace tidemark {
namespace {

using testing::event;
using testing::Fields;
using testing::object;
using testing::row_with;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

using DecodeValue = testing::DecoderTest;

TEST_F(DecodeValue, IntegersUpToTheirTypesRange) {
  EXPECT_EQ(value_of("si", "-32768"), Value(std::int64_t{-32768}));
  EXPECT_EQ(value_of("i", "2147483647"), Value(std::int64_t{2147483647}));
  EXPECT_EQ(value_of("id", "-9223372036854775808"), Value(kMin));
  EXPECT_EQ(value_of("id", "9223372036854775807"), Value(kMax));
  EXPECT_EQ(value_of("id", "123456789012345678"), Value(std::int64_t{123456789012345678}));
  EXPECT_EQ(value_of("i", "-0"), Value(std::int64_t{0}));
  EXPECT_EQ(value_of("i", "null"), Value(Null{}));
  EXPECT_EQ(code_of_value("si", "32768"), "out_of_range");
  EXPECT_EQ(code_of_value("i", "-2147483649"), "out_of_range");
  EXPECT_EQ(code_of_value("id", "9223372036854775808"), "out_of_range");
  EXPECT_EQ(code_of_value("i", "123456789012345678901234567890"), "out_of_range");
}

TEST_F(DecodeValue, ValuesOfAnotherType) {
  for (const char* json : {"\"1\"", "1.5", "1e3", "1.0", "true", "[1]", "{}"}) {
    EXPECT_EQ(code_of_value("i", json), "wrong_type") << json;
  }
  for (const char* json : {"1", "\"true\"", "0", "[]"}) {
    EXPECT_EQ(code_of_value("b", json), "wrong_type") << json;
  }
  for (const char* json : {"1", "true", "1.5", "{\"a\":1}", "12345678901234567890"}) {
    EXPECT_EQ(code_of_value("txt", json), "wrong_type") << json;
  }
  EXPECT_EQ(code(decode(event("c", "null", "[]"))), "wrong_type");
  EXPECT_EQ(code(decode(event("c", "null", "\"row\""))), "wrong_type");
}

TEST_F(DecodeValue, ThingsThatAreNoJson) {
  for (const char* json : {"nul", "truee", "01", "1.", ".5", "+1", "1e", "NaN", "Infinity", "-",
                           "0x1", "'a'", "1 2", "", "}", "]"}) {
    EXPECT_EQ(code_of_value("i", json), "bad_json") << json;
  }
  EXPECT_EQ(code_of_value("txt", R"("\x")"), "bad_json");
  EXPECT_EQ(code_of_value("i", std::string("1\0", 2)), "bad_json");
  EXPECT_EQ(code_of_value("txt", "\"\n\""), "bad_json");
}

TEST_F(DecodeValue, WhiteSpaceAndEscapesInAnyPlace) {
  const std::string value =
      " {\n\"op\" : \"\\u0063\" ,\t\"source\":{ \"schema\" :\"public\",\"\\u0074able\":\"t\" }, "
      "\"\\u0061fter\" : { \"id\" : 1 , \"b\" : true , \"si\":2 , \"i\" : 3\r\n, \"txt\" : "
      "\"x\" , \"\\u0065\":\"tr\\u0061ck\",\"j\": null,\"ts\":4 ,\"ts3\":5 ,\"dt\" :6 } } \n";
  for (int again = 0; again < 2; ++again) {
    ASSERT_EQ(code(decode(value)), "decoded");
    EXPECT_EQ(change_.after[3], Value(std::int64_t{3}));
    EXPECT_EQ(change_.after[5], Value(std::string_view("track")));
  }
}

TEST_F(DecodeValue, TextsAreUnescaped) {
  EXPECT_EQ(value_of("txt", R"("")"), Value(std::string_view("")));
  EXPECT_EQ(value_of("txt", R"("a\"\\\/\n\u00e9\ud83d\ude00")"),
            Value(std::string_view("a\"\\/\n\xc3\xa9\xf0\x9f\x98\x80")));
  EXPECT_EQ(value_of("j", R"("{\"a\": 1}")"), Value(std::string_view("{\"a\": 1}")));
}

TEST_F(DecodeValue, TextsThatPostgresCannotHold) {
  for (const char* json :
       {R"("a\u0000b")", R"("\ud800")", R"("\udc00")", R"("\ud83dx")", R"("\uD83D\u0041")"}) {
    const DecodeResult result = decode(event("c", "null", row_with("txt", json)));
    EXPECT_EQ(code(result), "bad_encoding") << json;
    EXPECT_EQ(reason(result).rfind("after.txt: ", 0), 0u) << reason(result);
  }
  EXPECT_EQ(code_of_value("txt", "\"\xff\""), "bad_encoding");
  EXPECT_EQ(code_of_value("txt", "\"\xed\xa0\x80\""), "bad_encoding");
}

TEST_F(DecodeValue, UnavailableValueIsUnknown) {
  EXPECT_EQ(value_of("txt", R"("__debezium_unavailable_value")"), Value(Unknown{}));
  EXPECT_EQ(value_of("j", R"("__debezium_unavailable_value")"), Value(Unknown{}));
  EXPECT_EQ(code_of_value("e", R"("__debezium_unavailable_value")"), "unknown_enum_value");
}

TEST_F(DecodeValue, EnumValueThatIsNotDeclared) {
  const DecodeResult result = decode(event("c", "null", row_with("e", R"("secret")")));
  EXPECT_EQ(code(result), "unknown_enum_value");
  EXPECT_EQ(reason(result).find("secret"), std::string::npos);
}

TEST_F(DecodeValue, TimestampsInTheirUnits) {
  EXPECT_EQ(value_of("ts", "1709251199123456"), Value(std::int64_t{1709251199123456}));
  EXPECT_EQ(value_of("ts3", "1709251199123"), Value(std::int64_t{1709251199123000}));
  EXPECT_EQ(value_of("ts", "9223372036854775807"), Value(kMax));
  EXPECT_EQ(value_of("ts", "-9223372036854775808"), Value(kMin));
  EXPECT_EQ(value_of("ts3", "-9223372036854775808"), Value(kMin));
  EXPECT_EQ(value_of("ts3", "-9223372036832400000"), Value(kMin));
}

TEST_F(DecodeValue, IsoTimestamps) {
  const std::vector<std::pair<const char*, std::int64_t>> good = {
      {"\"2024-02-29T23:59:59.123456Z\"", 1709251199123456},
      {"\"2024-02-29T23:59:59.123Z\"", 1709251199123000},
      {"\"2024-02-29T23:59:59.123456789Z\"", 1709251199123456},
      {"\"2024-02-29T23:59:59\"", 1709251199000000},
      {"\"2024-02-29T23:59Z\"", 1709251140000000},
      {"\"2024-03-01T01:59:59+02:00\"", 1709251199000000},
      {"\"1969-12-31T23:59:59.999999Z\"", -1},
      {"\"0000-01-01T00:00:00Z\"", -62167219200000000},
      {"\"-0044-03-15T00:00:00Z\"", -63549360000000000},
      {"\"-292275055-05-16T23:00:00Z\"", kMin},
      {"\"+292278994-08-17T07:12:55.807Z\"", kMax}};
  for (const auto& [json, micros] : good) EXPECT_EQ(value_of("ts", json), Value(micros)) << json;
  for (const char* json :
       {"\"2023-02-29T00:00:00Z\"", "\"2024-13-01T00:00:00Z\"", "\"2024-01-01T24:00:00Z\"",
        "\"2024-01-01\"", "\"2024-01-01 00:00:00\"", "\"2024-01-01T00:00:00Zx\"", "\"\"",
        "\"2024-1-1T00:00:00Z\"", "\"2024-01-01T00:00:60Z\"", "\"2024-01-01T00:00:00.\"",
        "\"2024-01-01T00:00:00+99:00\"", "\"99999999999-01-01T00:00:00Z\"", "\"infinity\""}) {
    EXPECT_EQ(code_of_value("ts", json), "wrong_type") << json;
  }
}

TEST_F(DecodeValue, Dates) {
  EXPECT_EQ(value_of("dt", "19782"), Value(std::int64_t{19782}));
  EXPECT_EQ(value_of("dt", "\"2024-02-29Z\""), Value(std::int64_t{19782}));
  EXPECT_EQ(value_of("dt", "\"1970-01-01\""), Value(std::int64_t{0}));
  EXPECT_EQ(value_of("dt", "\"1969-12-31Z\""), Value(std::int64_t{-1}));
  EXPECT_EQ(code_of_value("dt", "2147483648"), "out_of_range");
  EXPECT_EQ(code_of_value("dt", "\"2024-02-30Z\""), "wrong_type");
}

TEST_F(DecodeValue, SchemaNamesTheUnitOfATimestampInAnyOrder) {
  const auto schema = [](const std::string& name) {
    return R"({"type":"struct","fields":[{"type":"struct","field":"after","fields":[)"
           R"({"type":"int64","field":"id"},{"type":"int64","field":"ts","name":")" +
           name + "\"}]}]}";
  };
  const std::string payload = event("c", "null", row_with("ts", "1500"));
  const std::vector<std::pair<const char*, std::int64_t>> units = {
      {"io.debezium.time.MicroTimestamp", 1500},
      {"io.debezium.time.Timestamp", 1500000},
      {"org.apache.kafka.connect.data.Timestamp", 1500000},
      {"io.debezium.time.NanoTimestamp", 1}};
  for (const auto& [name, micros] : units) {
    const Fields first = {{"schema", schema(name)}, {"payload", payload}};
    const Fields last = {{"payload", payload}, {"schema", schema(name)}};
    ASSERT_EQ(code(decode(object(first))), "decoded");
    EXPECT_EQ(change_.after[7], Value(micros)) << name;
    ASSERT_EQ(code(decode(object(last))), "decoded");
    EXPECT_EQ(change_.after[7], Value(micros)) << name;
    ASSERT_EQ(code(decode_as(object(last), {{table("u"), table("t")}, false})), "decoded");
    EXPECT_EQ(change_.after[7], Value(micros)) << name;
  }
  ASSERT_EQ(code(decode(payload)), "decoded");  // without a schema, the declared unit again
  EXPECT_EQ(change_.after[7], Value(std::int64_t{1500}));
}

}  // namespace
}  // namespace tidemark
