// How checks are carried out and told; what they find is tested where it can be made.
#include "consumer/service/doctor.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "consumer/core/ports.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

constexpr auto kError = Finding::Level::kError;
constexpr auto kWarning = Finding::Level::kWarning;

DoctorCheck check_that(const std::string& side, const std::string& name,
                       std::vector<Finding> findings, bool gate = false) {
  return {side, name, [findings] { return findings; }, gate};
}

DoctorCheck check_that_throws(const std::string& side, const std::string& name, bool gate = false) {
  return {side, name,
          []() -> std::vector<Finding> { throw WorldError(ErrorKind::kRetry, "no answer"); }, gate};
}

TEST(Doctor, ACheckThatCannotSeeIsAFindingAndStopsNoOther) {
  const Diagnosis diagnosis = diagnose(std::vector{
      check_that_throws("postgres", "slot"),
      check_that("postgres", "clock", {{kWarning, "the clock", "off", "ntp"}}),
  });
  EXPECT_EQ(diagnosis.count(kError), 1U);
  EXPECT_EQ(diagnosis.count(kWarning), 1U);
  EXPECT_EQ(diagnosis.checks[0].findings[0].what, "no answer");
}

TEST(Doctor, BehindAShutGateOnlyItsOwnSideIsSkipped) {
  const Diagnosis diagnosis = diagnose(std::vector{
      check_that_throws("postgres", "connection", true),
      check_that_throws("postgres", "slot"),
      check_that("kafka", "brokers", {}, true),
      check_that("kafka", "topics", {}),
  });
  EXPECT_EQ(diagnosis.count(kError), 1U);
  EXPECT_TRUE(diagnosis.checks[1].skipped);
  EXPECT_FALSE(diagnosis.checks[3].skipped);
}

TEST(Doctor, AWarningShutsNoGate) {
  const Diagnosis diagnosis = diagnose(std::vector{
      check_that("postgres", "connection", {{kWarning, "slow", "w", "m"}}, true),
      check_that("postgres", "slot", {}),
  });
  EXPECT_FALSE(diagnosis.checks[1].skipped);
}

TEST(Doctor, TellsPeopleWhatIsWrongWhyItMattersAndWhatMendsIt) {
  const std::string text = text_of(diagnose(std::vector{
      check_that("postgres", "slot", {{kError, "nobody reads", "it fills", "restart it"}}),
      check_that("kafka", "topics", {}),
  }));
  EXPECT_EQ(text,
            "error    postgres: slot\n"
            "  error: nobody reads\n"
            "    why:  it fills\n"
            "    mend: restart it\n"
            "ok       kafka: topics\n"
            "2 checks, 1 error, 0 warnings\n");
}

TEST(Doctor, TellsMachinesTheSame) {
  const auto json = nlohmann::json::parse(json_of(diagnose(std::vector{
      check_that("postgres", "slot", {{kWarning, "a \"quoted\"\nline \xff", "w", "m"}}),
  })));
  EXPECT_EQ(json["errors"], 0);
  EXPECT_EQ(json["warnings"], 1);
  EXPECT_EQ(json["checks"][0]["state"], "warning");
  EXPECT_THAT(json["checks"][0]["findings"][0]["what"].get<std::string>(), HasSubstr("\"quoted\""));
}

}  // namespace
}  // namespace tidemark
