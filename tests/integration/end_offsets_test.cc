// What a fence, a replay and a verify rely on: where the topics begin and end, or why nobody says.
#include "consumer/kafka/end_offsets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/mock_kafka.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Steady = std::chrono::steady_clock;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

constexpr seconds kPatience{120};  // only a hang takes so long

KafkaOptions of(const MockKafka& kafka, std::vector<std::string> topics,
                const KafkaProperties& more = {}) {
  KafkaOptions options;
  options.properties = kafka.properties("asking");
  options.properties.insert(options.properties.end(), more.begin(), more.end());
  options.topics = std::move(topics);
  return options;
}

EndOffset end(const std::string& topic, std::int32_t partition, std::int64_t low,
              std::int64_t high) {
  return {{topic, Partition(partition)}, Offset(low), Offset(high)};
}

// What the call threw; none when it threw nothing.
template <class Call>
std::optional<WorldError> thrown_by(const Call& call) {
  try {
    call();
  } catch (const WorldError& error) {
    return error;
  }
  return std::nullopt;
}

TEST(EndOffsets, EveryPartitionOfEveryTopicIsTold) {
  MockKafka kafka(2);
  kafka.create_topic("b", 1);
  kafka.create_topic("a", 3);
  kafka.create_topic("not_named", 1);
  kafka.move_leader("a", 0, 1);
  kafka.move_leader("a", 1, 2);
  kafka.produce_numbers("a", 1, 0, 10);
  kafka.produce_numbers("b", 0, 0, 7);
  EndOffsets ends(of(kafka, {"b", "a", "b"}));
  EXPECT_THAT(ends.partitions(kPatience), ElementsAre(Pair("a", 3), Pair("b", 1)));
  EXPECT_THAT(ends.read(kPatience), ElementsAre(end("a", 0, 0, 0), end("a", 1, 0, 10),
                                                end("a", 2, 0, 0), end("b", 0, 0, 7)));
}

TEST(EndOffsets, EachCallAsksAnew) {
  MockKafka kafka;
  kafka.create_topic("growing", 1);
  EndOffsets ends(of(kafka, {"growing"}));
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(ends.read(kPatience), ElementsAre(end("growing", 0, 0, 10 * i)));
    kafka.produce_numbers("growing", 0, 10 * i, 10);
  }
}

TEST(EndOffsets, WhatIsPurgedIsBelowTheLowOffset) {
  MockKafka kafka;
  kafka.create_topic("low", 1);
  kafka.produce_numbers("low", 0, 0, 10'000, 900);  // 9 MB, of which the mock keeps 5 MiB
  const std::vector<EndOffset> all = EndOffsets(of(kafka, {"low"})).read(kPatience);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_GT(all[0].low, Offset(0));
  EXPECT_EQ(all[0].high, Offset(10'000));
}

// The mock makes every topic that is asked for: missing is one that it says so of.
TEST(EndOffsets, AMissingTopicIsAbsentAndTheOthersAreTold) {
  MockKafka kafka;
  kafka.create_topic("here", 1);
  kafka.create_topic("gone", 2);
  kafka.produce_numbers("here", 0, 0, 3);
  EndOffsets ends(of(kafka, {"gone", "here"}));
  kafka.fail_topic("gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  EXPECT_THAT(ends.partitions(kPatience), ElementsAre(Pair("here", 1)));
  EXPECT_THAT(ends.read(kPatience), ElementsAre(end("here", 0, 0, 3)));
  EXPECT_EQ(ends.at_time(KafkaTimestamp(1), kPatience).size(), 1U);
  kafka.fail_topic("gone", 0);
  EXPECT_EQ(ends.read(kPatience).size(), 3U);
}

TEST(EndOffsets, WhenNoTopicExistsThereIsNothingToTell) {
  MockKafka kafka;
  kafka.create_topic("gone", 1);
  kafka.fail_topic("gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  EndOffsets ends(of(kafka, {"gone"}));
  EXPECT_THAT(ends.partitions(kPatience), IsEmpty());
  EXPECT_THAT(ends.read(kPatience), IsEmpty());
  EXPECT_THAT(ends.at_time(KafkaTimestamp(1), kPatience), IsEmpty());
}

// The mock knows no record of any time: librdkafka 2.0.2's answers "none" to every question.
TEST(EndOffsets, WithoutARecordOfThatTimeReadingStartsAtTheEnd) {
  MockKafka kafka;
  kafka.create_topic("old", 2);
  kafka.produce({"old", 1, "key", "value", 1'700'000'000'000});
  EndOffsets ends(of(kafka, {"old"}));
  const std::vector<StartAt> starts = ends.at_time(KafkaTimestamp(1'800'000'000'000), kPatience);
  ASSERT_EQ(starts.size(), 2U);
  EXPECT_EQ(starts[0].where, (TopicPartition{"old", Partition(0)}));
  EXPECT_EQ(starts[0].offset, Offset(0));
  EXPECT_EQ(starts[1].where, (TopicPartition{"old", Partition(1)}));
  EXPECT_EQ(starts[1].offset, Offset(1));
}

TEST(EndOffsets, BrokersThatAreDownAreRetriedInTimeAndFoundAgain) {
  MockKafka kafka;
  kafka.create_topic("down", 1);
  kafka.produce_numbers("down", 0, 0, 5);
  EndOffsets ends(of(kafka, {"down"}));
  ASSERT_THAT(ends.read(kPatience), ElementsAre(end("down", 0, 0, 5)));
  kafka.set_down();
  const auto began = Steady::now();
  const auto error = thrown_by([&] { ends.read(milliseconds(500)); });
  EXPECT_LT(Steady::now() - began, kPatience);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kRetry);
  EXPECT_THAT(error->what(), HasSubstr("topic down"));
  kafka.set_up();
  EXPECT_THAT(ends.read(kPatience), ElementsAre(end("down", 0, 0, 5)));
}

// Half of the partitions would be no answer: a fence would be dropped on it.
TEST(EndOffsets, OnePartitionWithoutItsLeaderMakesNoHalfAnswer) {
  MockKafka kafka(2);
  kafka.create_topic("half", 2);
  kafka.move_leader("half", 0, 1);
  kafka.move_leader("half", 1, 2);
  kafka.produce_numbers("half", 1, 0, 5);
  EndOffsets ends(of(kafka, {"half"}));
  ASSERT_EQ(ends.read(kPatience).size(), 2U);
  kafka.set_down(2);
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { ends.read(milliseconds(500)); },
           [&] { ends.at_time(KafkaTimestamp(1'700'000'000'000), milliseconds(500)); }}) {
    const auto error = thrown_by(call);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::kRetry);
  }
  kafka.set_up(2);
  EXPECT_THAT(ends.read(kPatience), ElementsAre(end("half", 0, 0, 0), end("half", 1, 0, 5)));
}

TEST(EndOffsets, ATopicWithoutTheRightToItIsDeniedAndNeverMissing) {
  MockKafka kafka;
  kafka.create_topic("open", 1);
  kafka.create_topic("secret", 1);
  kafka.fail_topic("secret", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  EndOffsets ends(of(kafka, {"open", "secret"}));
  const auto error = thrown_by([&] { ends.read(kPatience); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kDenied);
  EXPECT_THAT(error->what(), HasSubstr("topic secret"));
  EXPECT_THAT(error->what(), HasSubstr("allow the user Read and Describe"));
}

// The mock knows no SASL: to a client that insists on it, it is a broker that refuses handshakes.
TEST(EndOffsets, ARefusedLogInIsDeniedWhenItLastsAndKeepsTheSecret) {
  MockKafka kafka;
  KafkaOptions options = of(kafka, {"closed"},
                            {{"security.protocol", "sasl_plaintext"},
                             {"sasl.mechanism", "PLAIN"},
                             {"sasl.username", "tidemark"},
                             {"sasl.password", "hunter2-secret"}});
  options.auth_patience = milliseconds(1'000);
  EndOffsets ends(std::move(options));
  std::optional<WorldError> error;
  const auto deadline = Steady::now() + kPatience;
  do {
    error = thrown_by([&] { ends.partitions(milliseconds(500)); });
    ASSERT_TRUE(error);
  } while (error->kind() == ErrorKind::kRetry && Steady::now() < deadline);
  EXPECT_EQ(error->kind(), ErrorKind::kDenied);
  EXPECT_THAT(error->what(), HasSubstr("sasl.*"));
  EXPECT_THAT(error->what(), Not(HasSubstr("hunter2")));
}

TEST(EndOffsets, PatternsAndMissingNamesAreConfigurationErrors) {
  const MockKafka kafka;
  for (const std::vector<std::string>& topics :
       {std::vector<std::string>{}, {"^app\\..*"}, {"a", ""}}) {
    const auto error = thrown_by([&] { const EndOffsets ends(of(kafka, topics)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::kConfig);
    EXPECT_THAT(error->what(), HasSubstr("topics: "));
  }
}

}  // namespace
}  // namespace tidemark
