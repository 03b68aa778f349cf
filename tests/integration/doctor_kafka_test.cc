// What `tidemark doctor` finds in Kafka: each fault is made on purpose.
#include "consumer/service/doctor_kafka.h"

#include <gmock/gmock.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "consumer/service/doctor.h"
#include "tests/support/declarations.h"
#include "tests/support/envelope.h"
#include "tests/support/mock_kafka.h"

namespace tidemark::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kTopic = "app.public.follows";
constexpr const char* kHeartbeats = "__debezium-heartbeat.app";
constexpr const char* kGood =
    R"({"op":"m","source":{"schema":"","table":""},"message":{"prefix":"p","content":""}})";
// The mock answers within milliseconds, a busy machine within seconds.
constexpr std::chrono::milliseconds kPatience{15'000};
constexpr std::chrono::milliseconds kShortly{1'000};
constexpr int kTopicDenied = 29;
constexpr int kGroupDenied = 30;

// A record's timestamp, so many milliseconds from now.
std::int64_t in_ms(std::int64_t ms) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count() + ms;
}

TopicSettingsMap no_settings(const KafkaOptions&, std::chrono::milliseconds) { return {}; }

class KafkaDoctorTest : public ::testing::Test {
 protected:
  KafkaDoctorTest() {
    set_retention_ms(-1);
    kafka_.create_topic(kTopic, 2);
    kafka_.create_topic(kHeartbeats, 1);
    kafka_.produce({.topic = kTopic, .key = "{}", .value = kGood});
    kafka_.produce({.topic = kHeartbeats, .key = "{}", .value = "{}"});
  }

  Diagnosis look(std::chrono::milliseconds patience = kPatience) {
    KafkaOptions options;
    options.properties = kafka_.properties("counters");
    options.topics = {kTopic};
    const TopicTables tables{.tables = {table_named(declaration_, "follows")}};
    KafkaDoctor doctor(declaration_, {.limits = {},
                                      .kafka = options,
                                      .topics = {{kTopic, tables}},
                                      .prefix = "app",
                                      .stored = [this] { return stored_; },
                                      .settings = settings_,
                                      .patience = patience});
    return diagnose(doctor.checks());
  }
  std::vector<std::string> found(std::chrono::milliseconds patience = kPatience) {
    std::vector<std::string> lines;
    for (const CheckResult& check : look(patience).checks) {
      for (const Finding& finding : check.findings) {
        EXPECT_FALSE(finding.why.empty() || finding.mend.empty()) << finding.what;
        lines.push_back(check.name + ": " + finding.what);
      }
    }
    return lines;
  }

  // The mock can't be asked for it.
  void set_retention_ms(std::int64_t ms) {
    settings_ = [ms](const KafkaOptions& kafka, std::chrono::milliseconds) {
      return TopicSettingsMap{
          {kafka.topics.at(0), TopicSettings{.cleanup_policy = "delete", .retention_ms = ms}}};
    };
  }

  MockKafka kafka_;
  Declaration declaration_ = music_declaration();
  std::vector<StartAt> stored_ = {{{kTopic, Partition(0)}, Offset(1)},
                                  {{kTopic, Partition(1)}, kNotStarted}};
  std::function<TopicSettingsMap(const KafkaOptions&, std::chrono::milliseconds)> settings_;
};

TEST_F(KafkaDoctorTest, FindsNothingWhereNothingIsWrong) { EXPECT_THAT(found(), IsEmpty()); }

TEST_F(KafkaDoctorTest, StoredOffsetsThatTheTopicDoesNotReach) {
  stored_[0].offset = Offset(7);
  stored_.push_back({{kTopic, Partition(2)}, Offset(3)});
  EXPECT_THAT(found(),
              ElementsAre("retention: app.public.follows [0] ends at 1, and 7 is read next",
                          "retention: app.public.follows [2] is stored, and is not there"));
}

TEST_F(KafkaDoctorTest, RecordsThatWerePurgedBeforeTheyWereRead) {
  stored_[1].offset = Offset(1);
  kafka_.produce_numbers(kTopic, 1, 0, 12, 1'000'000);  // the mock keeps 5 MiB
  const std::vector<std::string> lines = found();
  ASSERT_FALSE(lines.empty());
  EXPECT_THAT(lines[0], HasSubstr("retention: app.public.follows [1] begins at "));
}

TEST_F(KafkaDoctorTest, ATopicThatKeepsTooLittleAndRecordsThatWaitInIt) {
  set_retention_ms(3'600'000);
  kafka_.produce({.topic = kTopic, .key = "{}", .value = kGood});  // of no time, to the mock
  EXPECT_THAT(found(),
              ElementsAre(HasSubstr("topic settings: app.public.follows keeps records for 1 h 00 "
                                    "min only"),
                          HasSubstr("retention: app.public.follows [0]: 1 records wait to be read, "
                                    "the oldest for more than half")));
}

TEST_F(KafkaDoctorTest, ABrokerThatCannotBeAskedForSettingsIsToldAndTheRestIsLookedAt) {
  settings_ = [](const KafkaOptions& options, std::chrono::milliseconds) {
    return read_topic_settings(options, kShortly);
  };
  stored_[0].offset = Offset(7);
  const std::vector<std::string> lines = found();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0], HasSubstr("topic settings: kafka: group counters: can't ask for the "
                                  "topics' configuration"));
  EXPECT_THAT(lines[1], HasSubstr("retention: "));
}

TEST_F(KafkaDoctorTest, RecordsThatCannotBeDecoded) {
  kafka_.produce({.topic = kTopic, .partition = 1, .key = "{}", .value = "{\"secret\": "});
  const std::vector<std::string> lines = found();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines[0], HasSubstr("samples: 1 of the last 2 records of app.public.follows can't be "
                                  "decoded: bad_json"));
}

TEST_F(KafkaDoctorTest, ATopicAndAGroupThatWeMayNotUse) {
  kafka_.fail_topic(kTopic, kTopicDenied);
  EXPECT_THAT(found(), ElementsAre(HasSubstr("brokers: kafka: group counters, topic "
                                             "app.public.follows")));
  kafka_.fail_topic(kTopic, 0);
  kafka_.fail_next(MockKafka::Api::kFindCoordinator, std::vector<int>(50, kGroupDenied));
  const std::vector<std::string> lines = found();  // of the coordinator librdkafka asks by itself
  EXPECT_THAT(lines, Contains(HasSubstr("group: kafka: group counters")));
  EXPECT_THAT(lines, Contains(HasSubstr("allow the user Read on the group")));
}

TEST_F(KafkaDoctorTest, AClockThatIsAhead) {
  kafka_.produce({.topic = kTopic, .key = "{}", .value = kGood, .timestamp_ms = in_ms(60'000)});
  EXPECT_THAT(found(), ElementsAre(HasSubstr("clock: the newest record was stamped ")));
}

TEST_F(KafkaDoctorTest, AClockThatOnlyTheHeartbeatsShow) {
  kafka_.produce({.topic = kHeartbeats, .key = "{}", .value = "{}", .timestamp_ms = in_ms(90'000)});
  EXPECT_THAT(found(), ElementsAre(HasSubstr("clock: the newest record was stamped ")));
}

TEST_F(KafkaDoctorTest, BrokersThatDoNotAnswer) {
  kafka_.set_down();
  const Diagnosis diagnosis = look(kShortly);
  EXPECT_EQ(diagnosis.count(Finding::Level::kError), 1U);
  EXPECT_TRUE(diagnosis.checks.back().skipped);
}

TEST(KafkaDoctor, AConnectorWithoutHeartbeatsIsFound) {
  MockKafka kafka;
  kafka.create_topic(kTopic, 1);
  KafkaOptions options;
  options.properties = kafka.properties("counters");
  options.topics = {kTopic};
  const Declaration declaration = music_declaration();
  KafkaDoctor doctor(declaration, {.limits = {},
                                   .kafka = options,
                                   .topics = {},
                                   .prefix = "app",
                                   .stored = [] { return std::vector<StartAt>(); },
                                   .settings = no_settings,
                                   .patience = kPatience});
  const Diagnosis diagnosis = diagnose(doctor.checks());
  EXPECT_THAT(text_of(diagnosis), HasSubstr("no record of __debezium-heartbeat.app"));
}

}  // namespace
}  // namespace tidemark::testing
