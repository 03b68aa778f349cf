// Which of librdkafka's properties a user may set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "consumer/kafka/connection_watch.h"
#include "consumer/kafka/kafka_source.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

KafkaProperties with(KafkaProperties more) {
  more.emplace_back("bootstrap.servers", "localhost:1");
  more.emplace_back("group.id", "g");
  return more;
}

TEST(KafkaProperties, TheUsualOnesAreTaken) {
  EXPECT_THAT(validate_kafka_properties(with({{"security.protocol", "sasl_ssl"},
                                              {"sasl.mechanism", "SCRAM-SHA-512"},
                                              {"sasl.username", "u"},
                                              {"sasl.password", "p"},
                                              {"ssl.ca.location", "/etc/ca.pem"},
                                              {"fetch.min.bytes", "1"},
                                              {"partition.assignment.strategy", "roundrobin,range"},
                                              {"enable.auto.commit", "false"},
                                              {"auto.offset.reset", "error"},
                                              {"isolation.level", "read_committed"}})),
              IsEmpty());
}

TEST(KafkaProperties, ThoseThatBreakThePromiseAreRefusedWithTheReason) {
  const std::vector<std::pair<std::string, std::string>> refused{
      {"enable.auto.commit", "true"},
      {"enable.auto.offset.store", "true"},
      {"auto.offset.reset", "earliest"},
      {"isolation.level", "read_uncommitted"},
      {"enable.partition.eof", "true"},
      {"allow.auto.create.topics", "true"},
      {"partition.assignment.strategy", "cooperative-sticky"},
      {"partition.assignment.strategy", "range,cooperative-sticky"},
      {"partition.assignment.strategy", "sticky"},
      {"partition.assignment.strategy", ""},
      {"partition.assignment.strategy", "range,"},
      {"group.protocol", "consumer"},
      {"group.protocol.type", "x"},
      {"rebalance_cb", "x"},
      {"error_cb", "x"},
      {"plugin.library.paths", "/tmp/x.so"},
      {"auto.commit.interval.ms", "1"},
      {"offset.store.method", "file"},
      {"enable.auto.comit", "false"},
      {"session.timeout.ms", "soon"},
      {"session.timeout.ms", "0"},
  };
  for (const auto& [name, value] : refused) {
    const std::vector<std::string> problems = validate_kafka_properties(with({{name, value}}));
    EXPECT_THAT(problems, ElementsAre(HasSubstr(name))) << name << "=" << value;
  }
}

TEST(KafkaProperties, BrokersAndGroupMustBeNamed) {
  EXPECT_THAT(validate_kafka_properties({}),
              ElementsAre(HasSubstr("bootstrap.servers"), HasSubstr("group.id")));
  EXPECT_THAT(validate_kafka_properties({{"bootstrap.servers", ""}, {"group.id", ""}}),
              ElementsAre(HasSubstr("bootstrap.servers"), HasSubstr("group.id")));
}

TEST(KafkaProperties, SecretsAreNeverShown) {
  const KafkaProperties properties = with({{"sasl.password", "hunter2"},
                                           {"ssl.key.password", "x"},
                                           {"sasl.oauthbearer.client.secret", "sesame"}});
  EXPECT_EQ(without_secrets("bad hunter2 and hunter2, sesame", properties), "bad *** and ***, ***");
  EXPECT_TRUE(is_secret_property("ssl.keystore.password"));
  EXPECT_FALSE(is_secret_property("sasl.username"));
}

TEST(KafkaProperties, OursWinAndTheUsersReplaceTheDefaults) {
  const auto value_of = [](const KafkaProperties& properties, std::string_view wanted) {
    std::string found;
    for (const auto& [name, value] : properties) {
      if (name == wanted) found = value;
    }
    return found;
  };
  const KafkaProperties all = effective_kafka_properties(
      with({{"session.timeout.ms", "45000"}, {"max.partition.fetch.bytes", "1000"}}));
  EXPECT_EQ(value_of(all, "session.timeout.ms"), "45000");
  EXPECT_EQ(value_of(all, "fetch.message.max.bytes"), "");
  EXPECT_EQ(value_of(all, "enable.auto.commit"), "false");
  EXPECT_EQ(value_of(all, "auto.offset.reset"), "error");
  EXPECT_EQ(value_of(all, "client.id"), "tidemark");
}

TEST(KafkaSourceStart, WhatCanNotWorkIsAConfigurationError) {
  const auto refused = [](KafkaOptions options) {
    try {
      const KafkaSource source(std::move(options));
    } catch (const WorldError& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return std::string(error.what());
    }
    return std::string("not refused");
  };
  KafkaOptions options;
  options.properties = with({{"enable.auto.commit", "true"}});
  EXPECT_THAT(refused(options), AllOf(HasSubstr("enable.auto.commit"), HasSubstr("topics")));
  options.topics = {"a"};
  // Only librdkafka knows that these two don't go together.
  options.properties = with({{"session.timeout.ms", "90000"}, {"max.poll.interval.ms", "10000"}});
  EXPECT_THAT(refused(options), HasSubstr("max.poll.interval.ms"));
  options.properties = with({{"security.protocol", "ssl"},
                             {"ssl.keystore.location", "/nowhere.p12"},
                             {"ssl.keystore.password", "hunter2"}});
  EXPECT_THAT(refused(options), AllOf(HasSubstr("/nowhere.p12"), Not(HasSubstr("hunter2"))));
  options.properties = with({});
  options.topics = {"^(unbalanced"};
  EXPECT_THAT(refused(options), HasSubstr("^(unbalanced"));
}

TEST(ConnectionWatch, DownIsNeverRefused) {
  ConnectionWatch watch(seconds(5));
  ConnectionWatch::TimePoint now{};
  EXPECT_TRUE(watch.all_down(now));
  EXPECT_FALSE(watch.all_down(now));
  for (int i = 0; i < 600; ++i) {
    now += seconds(1);
    ASSERT_TRUE(watch.probe_due(now));
    ASSERT_EQ(watch.probed(false, now), ConnectionWatch::Verdict::kSame);
    ASSERT_FALSE(watch.probe_due(now));
  }
  EXPECT_EQ(watch.probed(true, now), ConnectionWatch::Verdict::kUp);
  EXPECT_FALSE(watch.probe_due(now + seconds(10)));
}

TEST(ConnectionWatch, RefusedIsAnErrorOnlyWhenItLasts) {
  ConnectionWatch watch(seconds(5));
  ConnectionWatch::TimePoint now{};
  watch.refused("wrong password", now);
  EXPECT_EQ(watch.probed(false, now + seconds(4)), ConnectionWatch::Verdict::kSame);
  watch.refused("wrong password", now + seconds(4));
  EXPECT_EQ(watch.probed(false, now + seconds(5)), ConnectionWatch::Verdict::kRefused);
  EXPECT_EQ(watch.why(), "wrong password");
  // A broker that can't be reached at all may be down: the clock begins anew.
  watch.unreachable();
  EXPECT_EQ(watch.probed(false, now + seconds(20)), ConnectionWatch::Verdict::kSame);
  // And so it does when one lets us in.
  watch.refused("wrong password", now + seconds(21));
  EXPECT_FALSE(watch.heard());
  EXPECT_EQ(watch.probed(false, now + seconds(40)), ConnectionWatch::Verdict::kSame);
}

}  // namespace
}  // namespace tidemark
