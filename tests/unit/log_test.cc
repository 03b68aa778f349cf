// A line of the log is one line, whatever it tells of.
#include "consumer/service/log.h"

#include <gmock/gmock.h>
#include <spdlog/details/log_msg.h>

#include <nlohmann/json.hpp>
#include <regex>

namespace tidemark {
namespace {

using testing::HasSubstr;

std::string line_of(spdlog::formatter& formatter, const std::string& text) {
  const spdlog::details::log_msg message(spdlog::log_clock::time_point{}, {}, "tidemark",
                                         spdlog::level::warn, text);
  spdlog::memory_buf_t out;
  formatter.format(message, out);
  return {out.data(), out.size()};
}

TEST(Log, JsonLinesHoldAnyText) {
  for (const std::string text : {"plain", "\"quoted\" and \\", "two\nlines\r\n", "tab\t and \x01",
                                 "caf\xc3\xa9 \xe2\x9c\x93"}) {
    const std::string line = line_of(*json_formatter(), text);
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["msg"], text);
    EXPECT_EQ(json["level"], "warning");
    EXPECT_EQ(json["ts"], "1970-01-01T00:00:00.000Z");
  }
}

TEST(Log, BytesThatAreNoUtf8AreReplaced) {
  const std::string line = line_of(*json_formatter(), "bad \xff\xfe, cut \xe2\x9c");
  EXPECT_THAT(nlohmann::json::parse(line)["msg"].get<std::string>(), HasSubstr("\xef\xbf\xbd"));
}

TEST(Log, LogfmtQuotesTheTextOnOneLine) {
  EXPECT_EQ(line_of(*logfmt_formatter(), "a \"b\"\nc"),
            "ts=1970-01-01T00:00:00.000Z level=warning msg=\"a \\\"b\\\"\\nc\"\n");
}

TEST(Log, ACopyOfAFormatterWritesTheSame) {
  const auto original = json_formatter();
  EXPECT_EQ(line_of(*original->clone(), "x"), line_of(*original, "x"));
}

}  // namespace
}  // namespace tidemark
