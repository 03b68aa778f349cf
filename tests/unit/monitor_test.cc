#include "consumer/service/monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Token : public ::testing::Test {
 protected:
  ~Token() override { std::filesystem::remove(file_); }

  Config::Http in_file(const std::string& text) {
    std::ofstream(file_) << text;
    Config::Http http;
    http.token_file = file_;
    return http;
  }

  // Tests are processes side by side.
  const std::filesystem::path file_ =
      ::testing::TempDir() + "tidemark-token-" + std::to_string(::getpid());
};

TEST_F(Token, IsWhatTheFileHoldsWithoutItsLastLineBreak) {
  EXPECT_EQ(read_token(in_file("0123456789abcdef\n")), "0123456789abcdef");
  EXPECT_EQ(read_token({}), "") << "none is demanded on this machine";
}

TEST_F(Token, OneThatCouldBeGuessedOrNeverBeSentIsRefusedAndNotTold) {
  for (const std::string token : {"", "\n", "hush", "0123456789abcde", "0123456789 abcdef",
                                  "0123456789abcdef\n0123456789abcdef", "0123456789abcdé"}) {
    try {
      read_token(in_file(token));
      ADD_FAILURE() << token;
    } catch (const WorldError& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("tidemark-token"), Not(HasSubstr("hush"))));
    }
  }
}

TEST_F(Token, AFileThatIsNotThereIsNamed) {
  Config::Http http;
  http.token_file = "/nowhere/token";
  try {
    read_token(http);
    ADD_FAILURE() << "was read";
  } catch (const WorldError& error) {
    EXPECT_THAT(error.what(), HasSubstr("'/nowhere/token' can't be read"));
  }
}

}  // namespace
}  // namespace tidemark
