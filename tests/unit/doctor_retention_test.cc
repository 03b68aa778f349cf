// What `tidemark doctor` makes of what Kafka keeps.
#include "consumer/service/doctor_retention.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace tidemark {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kTopic = "app.public.likes";
const TopicPartition kFirst{kTopic, Partition(0)};
const TopicPartition kSecond{kTopic, Partition(1)};

constexpr std::int64_t kHourMs = 3'600'000;

TopicSettings settings(std::int64_t ms, std::int64_t bytes, const std::string& policy = "delete") {
  return {.cleanup_policy = policy, .retention_ms = ms, .retention_bytes = bytes};
}

// "level: what" of each, which must say why and what mends it.
std::vector<std::string> told(const std::vector<Finding>& findings) {
  std::vector<std::string> lines;
  for (const Finding& finding : findings) {
    EXPECT_FALSE(finding.why.empty() || finding.mend.empty()) << finding.what;
    lines.push_back((finding.level == Finding::Level::kError ? "error: " : "warning: ") +
                    finding.what);
  }
  return lines;
}

// --- settings -----------------------------------------------------------------------------------

TEST(DoctorSettings, AWeekOrForEverIsLongEnough) {
  EXPECT_THAT(told(judge_settings({{"a", settings(168 * kHourMs, -1)},
                                   {"b", settings(-1, -1)},
                                   {"c", settings(24 * kHourMs, 1'000)}})),
              IsEmpty());
}

TEST(DoctorSettings, LessThanADayIsToldWithTheCommandThatMendsIt) {
  const std::vector<Finding> findings = judge_settings({{kTopic, settings(2 * kHourMs, -1)}});
  EXPECT_THAT(told(findings), ElementsAre("warning: app.public.likes keeps records for 2 h 00 min "
                                          "only: retention.ms = 7200000"));
  EXPECT_EQ(findings[0].mend,
            "kafka-configs.sh --bootstrap-server BROKER --alter --entity-type topics "
            "--entity-name app.public.likes --add-config retention.ms=604800000");
}

TEST(DoctorSettings, ACompactedTopicIsAnErrorAndItsTimeCountsOnlyWhereItIsDeletedToo) {
  EXPECT_THAT(told(judge_settings({{"a", settings(kHourMs, -1, "compact")},
                                   {"b", settings(kHourMs, -1, "compact,delete")}})),
              ElementsAre("error: a is compacted: cleanup.policy = compact",
                          "error: b is compacted: cleanup.policy = compact,delete",
                          HasSubstr("warning: b keeps records for 1 h 00 min only")));
}

TEST(DoctorSettings, WhatMayNotBeAskedForIsToldOnceForAll) {
  const std::vector<Finding> findings =
      judge_settings({{"a", std::nullopt}, {"b", settings(-1, -1)}, {"c", std::nullopt}});
  EXPECT_THAT(told(findings),
              ElementsAre("warning: the user may not describe the configuration of a, c"));
  EXPECT_THAT(findings[0].mend, HasSubstr("--operation DescribeConfigs --topic a"));
}

// --- what is stored -----------------------------------------------------------------------------

// Both partitions hold 100 to 200; what is read next, and from where records are how young, is the
// test's.
class DoctorRetention : public testing::Test {
 protected:
  std::vector<std::string> found(const TopicSettingsMap& settings) {
    RetentionLook look;
    look.stored = stored_;
    look.ends = {{kFirst, Offset(low_), Offset(200)}, {kSecond, Offset(low_), Offset(200)}};
    look.settings = settings;
    look.since = [this](milliseconds age) {
      asked_.push_back(age);
      return std::vector<StartAt>{{kFirst, young_}, {kSecond, young_}};
    };
    const std::vector<Finding> findings = judge_retention(look);
    mend_ = findings.empty() ? "" : findings[0].mend;
    return told(findings);
  }

  std::vector<StartAt> stored_ = {{kFirst, Offset(110)}, {kSecond, Offset(200)}};
  std::int64_t low_ = 100;
  Offset young_{150};
  std::vector<milliseconds> asked_;
  std::string mend_;
};

TEST_F(DoctorRetention, RecordsThatHaveUsedUpHalfOfTheirTime) {
  EXPECT_THAT(found({{kTopic, settings(48 * kHourMs, -1)}}),
              ElementsAre("warning: app.public.likes [0]: 90 records wait to be read, the oldest "
                          "for more than half of the 48 h 00 min that the topic keeps them"));
  EXPECT_THAT(asked_, ElementsAre(hours(24)));
  EXPECT_THAT(mend_, HasSubstr("--add-config retention.ms=604800000; then see why"));
}

TEST_F(DoctorRetention, RecordsThatAreYoungEnoughMayWait) {
  young_ = Offset(110);
  EXPECT_THAT(found({{kTopic, settings(48 * kHourMs, -1)}}), IsEmpty());
  EXPECT_THAT(found({{kTopic, settings(-1, -1)}}), IsEmpty()) << "they are kept for ever";
}

TEST_F(DoctorRetention, NobodyIsAskedForTimesWhereNothingWaits) {
  stored_ = {{kFirst, Offset(200)}, {kSecond, kNotStarted}};
  EXPECT_THAT(found({{kTopic, settings(48 * kHourMs, -1)}}), IsEmpty());
  EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(DoctorRetention, RecordsThatAreTheNextToGoByTheTopicsSize) {
  EXPECT_THAT(found({{kTopic, settings(-1, 1'000'000)}}),
              ElementsAre("warning: app.public.likes [0]: 90 records wait to be read, and 10 older "
                          "ones are left: these are deleted next"));
  EXPECT_THAT(mend_, HasSubstr("--add-config retention.bytes=-1"));
  stored_[0].offset = Offset(125);
  EXPECT_THAT(found({{kTopic, settings(-1, 1'000'000)}}), IsEmpty()) << "a quarter lies between";
  stored_[0].offset = Offset(101);
  EXPECT_THAT(found({{kTopic, settings(-1, -1)}}), IsEmpty()) << "no size is set";
  low_ = 0;
  stored_[0].offset = Offset(1);
  EXPECT_THAT(found({{kTopic, settings(-1, 1'000'000)}}), IsEmpty()) << "nothing was deleted yet";
}

TEST_F(DoctorRetention, WithoutAWordOnSettingsThePlaceAmongWhatIsLeftTells) {
  EXPECT_THAT(found({{kTopic, std::nullopt}}), ElementsAre(HasSubstr("these are deleted next")));
  EXPECT_THAT(found({}), ElementsAre(HasSubstr("these are deleted next")));
  EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(DoctorRetention, ASizeThatHoldsLessThanADayIsToldOnceForItsTopic) {
  stored_ = {};
  young_ = Offset(100);
  EXPECT_THAT(found({{kTopic, settings(-1, 1'000)}}),
              ElementsAre("warning: app.public.likes [0] keeps less than 24 h 00 min of what is "
                          "written: retention.bytes = 1000"));
  EXPECT_THAT(asked_, ElementsAre(hours(24)));
  young_ = Offset(101);
  EXPECT_THAT(found({{kTopic, settings(-1, 1'000)}}), IsEmpty());
}

TEST_F(DoctorRetention, WhatIsGoneIsAnErrorAndNothingElseIsSaidOfIt) {
  stored_ = {{kFirst, Offset(99)}, {kSecond, Offset(201)}, {{kTopic, Partition(2)}, Offset(3)}};
  EXPECT_THAT(found({{kTopic, settings(kHourMs, 1'000)}}),
              ElementsAre("error: app.public.likes [0] begins at 100, and 99 is read next",
                          "error: app.public.likes [1] ends at 200, and 201 is read next",
                          "error: app.public.likes [2] is stored, and is not there"));
}

}  // namespace
}  // namespace tidemark
