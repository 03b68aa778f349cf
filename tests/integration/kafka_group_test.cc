// A group member among others, and with a cluster that fails: it rejoins, and no record is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "consumer/kafka/kafka_source.h"
#include "tests/support/mock_kafka.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Steady = std::chrono::steady_clock;

// Only a hang takes so long. Each time that a member joins anew takes the mock 3 s.
constexpr seconds kPatience{120};

// The group's progress, which Postgres keeps in the real thing: the next offset of each partition.
using Progress = std::map<TopicPartition, std::int64_t>;

// A member that answers the group as the pipeline does, and checks that each partition's records
// come one after the other, whoever reads them.
class Member {
 public:
  Member(const MockKafka& kafka, Progress& progress, const std::string& topics,
         KafkaProperties more = {})
      : progress_(progress) {
    KafkaOptions options;
    options.properties = kafka.properties("group");
    options.properties.insert(options.properties.end(), more.begin(), more.end());
    options.topics = {topics};
    options.auth_patience = milliseconds(1'500);
    options.on_log = [this](const KafkaLog& log) {
      log_ += std::string(log.facility) + ": " + std::string(log.message) + "\n";
    };
    options.on_reachable = [this](bool reachable) { reachable_.push_back(reachable); };
    source_ = std::make_unique<KafkaSource>(std::move(options));
  }

  void step(milliseconds timeout = milliseconds(20)) {
    SourceEvent event = source_->poll(timeout);
    if (const auto* record = std::get_if<Record>(&event)) {
      ASSERT_LT(record->slot, owned_.size());
      const TopicPartition& where = owned_[record->slot];
      ASSERT_EQ(record->topic, where.topic);
      ASSERT_EQ(record->partition, where.partition);
      ASSERT_EQ(record->offset.value, progress_[where]) << where.topic << where.partition.value;
      ++progress_[where];
      ++records_;
    } else if (auto* assigned = std::get_if<Assigned>(&event)) {
      ++assignments_;
      owned_ = assigned->partitions;
      assign();
    } else if (std::holds_alternative<Revoked>(event)) {
      ++revocations_;
      owned_.clear();
      source_->unassign();
    } else {
      ASSERT_TRUE(std::holds_alternative<Idle>(event)) << "out of range";
    }
  }

  void assign() {
    std::vector<StartAt> starts;
    for (const TopicPartition& where : owned_) starts.push_back({where, Offset(progress_[where])});
    source_->assign(starts);
  }

  KafkaSource& source() { return *source_; }
  void leave() { source_->close(); }
  std::size_t owned() const { return owned_.size(); }
  const std::vector<TopicPartition>& partitions() const { return owned_; }
  int assignments() const { return assignments_; }
  int revocations() const { return revocations_; }
  std::int64_t records() const { return records_; }
  const std::string& log() const { return log_; }
  // At each look-up of metadata librdkafka says that the mock is old (AUTOCREATE): not counted.
  int lines_of_trouble() const {
    int lines = 0;
    std::istringstream log(log_);
    for (std::string line; std::getline(log, line);) {
      if (!line.starts_with("AUTOCREATE")) ++lines;
    }
    return lines;
  }
  const std::vector<bool>& reachable() const { return reachable_; }
  // On a busy machine an outage may be told more than once.
  bool is_reachable_again() const { return reachable_.size() >= 2 && reachable_.back(); }

 private:
  Progress& progress_;
  std::string log_;
  std::vector<bool> reachable_;
  std::unique_ptr<KafkaSource> source_;
  std::vector<TopicPartition> owned_;
  int assignments_ = 0;
  int revocations_ = 0;
  std::int64_t records_ = 0;
};

bool until(const std::vector<Member*>& members, const std::function<bool()>& done) {
  const auto deadline = Steady::now() + kPatience;
  while (Steady::now() < deadline && !testing::Test::HasFatalFailure()) {
    for (Member* member : members) member->step();
    if (done()) return true;
  }
  return false;
}

std::int64_t total(const Progress& progress) {
  std::int64_t sum = 0;
  for (const auto& [where, next] : progress) sum += next;
  return sum;
}

TEST(KafkaGroup, TwoMembersShareAndOneTakesOver) {
  MockKafka kafka;
  kafka.create_topic("share", 4);
  Progress progress;
  std::int64_t produced = 0;
  const auto produce = [&] {
    for (int partition = 0; partition < 4; ++partition) {
      kafka.produce_numbers("share", partition, 0, 500);
    }
    produced += 2'000;
  };
  produce();
  Member first(kafka, progress, "share");
  ASSERT_TRUE(until({&first}, [&] { return total(progress) == produced; }));
  EXPECT_EQ(first.owned(), 4U);

  Member second(kafka, progress, "share");
  ASSERT_TRUE(until({&first, &second}, [&] { return first.owned() == 2 && second.owned() == 2; }));
  EXPECT_GE(first.revocations(), 1);
  std::set<TopicPartition> both(first.partitions().begin(), first.partitions().end());
  both.insert(second.partitions().begin(), second.partitions().end());
  EXPECT_EQ(both.size(), 4U);
  produce();
  ASSERT_TRUE(until({&first, &second}, [&] { return total(progress) == produced; }));

  // It leaves: the other need not wait for the session timeout.
  first.leave();
  EXPECT_EQ(first.log().find("close: "), std::string::npos) << first.log();
  produce();
  ASSERT_TRUE(until({&second}, [&] { return total(progress) == produced; }));
  EXPECT_EQ(second.owned(), 4U);
}

// The group waits for the caller's answer, and the partitions stand still until then.
TEST(KafkaGroup, NothingFlowsUntilAssign) {
  MockKafka kafka;
  kafka.create_topic("wait", 1);
  kafka.produce_numbers("wait", 0, 0, 10);
  KafkaOptions options;
  options.properties = kafka.properties("group");
  options.properties.emplace_back("session.timeout.ms", "60000");  // no stall throws it out
  options.topics = {"wait"};
  KafkaSource source(std::move(options));
  const auto next = [&](milliseconds patience) {
    const auto deadline = Steady::now() + patience;
    SourceEvent event = Idle{};
    while (std::holds_alternative<Idle>(event) && Steady::now() < deadline) {
      event = source.poll(milliseconds(20));
    }
    return event;
  };
  ASSERT_TRUE(std::holds_alternative<Assigned>(next(kPatience)));
  EXPECT_TRUE(std::holds_alternative<Idle>(next(milliseconds(500))));
  const std::vector<StartAt> starts{{{"wait", Partition(0)}, Offset(4)}};
  source.assign(starts);
  const SourceEvent event = next(kPatience);
  ASSERT_TRUE(std::holds_alternative<Record>(event));
  EXPECT_EQ(std::get<Record>(event).offset, Offset(4));
}

// To join again first would hold up the leaving: a broker answers a member's requests in their
// order, and a join only when the whole group has joined (the mock: 1 s before session.timeout.ms).
TEST(KafkaGroup, ClosingWithAnUnansweredEventLeavesAtOnce) {
  for (const int revoked_by : {RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
                               RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION}) {
    MockKafka kafka;
    kafka.create_topic("unanswered", 1);
    std::string not_left;
    KafkaOptions options;
    options.properties = kafka.properties("group");
    options.properties.emplace_back("session.timeout.ms", "20000");
    options.close_patience = milliseconds(4'000);  // librdkafka gives up a leave after 5 s
    options.topics = {"unanswered"};
    options.on_log = [&](const KafkaLog& log) {
      if (log.facility == "close") not_left = log.message;
    };
    auto source = std::make_unique<KafkaSource>(std::move(options));
    const auto deadline = Steady::now() + kPatience;
    while (!std::holds_alternative<Assigned>(source->poll(milliseconds(50)))) {
      ASSERT_LT(Steady::now(), deadline);
    }
    if (revoked_by != RD_KAFKA_RESP_ERR_NO_ERROR) {
      const std::vector<StartAt> starts{{{"unanswered", Partition(0)}, kNotStarted}};
      source->assign(starts);
      // One would be ignored, if it came to the first heartbeat: that one is older than assign().
      kafka.fail_next(MockKafka::Api::kHeartbeat, {revoked_by, revoked_by});
      while (!std::holds_alternative<Revoked>(source->poll(milliseconds(50)))) {
        ASSERT_LT(Steady::now(), deadline);
      }
    }
    source.reset();
    EXPECT_EQ(not_left, "") << "revoked by: " << revoked_by;
  }
}

TEST(KafkaGroup, CoordinatorErrorsOfEveryKindLoseNothing) {
  using Api = MockKafka::Api;
  MockKafka kafka(2);
  kafka.create_topic("errors", 2);
  kafka.move_coordinator("group", 1);
  Progress progress;
  // Before it has joined: what makes joining hard.
  kafka.fail_next(Api::kFindCoordinator,
                  {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT});
  kafka.fail_next(Api::kJoinGroup,
                  {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                   RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID});
  kafka.fail_next(Api::kSyncGroup,
                  {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR});
  Member member(kafka, progress, "errors");
  std::int64_t produced = 0;
  const auto all_arrives = [&] {
    kafka.produce_numbers("errors", 0, 0, 100);
    kafka.produce_numbers("errors", 1, 0, 100);
    produced += 200;
    return until({&member}, [&] { return total(progress) == produced; });
  };
  ASSERT_TRUE(all_arrives()) << member.log();

  struct Fault {
    Api api;
    int code;
    bool rejoins;
  };
  const std::vector<Fault> faults{
      {Api::kHeartbeat, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, true},
      {Api::kHeartbeat, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, true},
      {Api::kHeartbeat, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, true},
      {Api::kHeartbeat, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, false},
      {Api::kHeartbeat, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, false},
      {Api::kHeartbeat, RD_KAFKA_RESP_ERR__TRANSPORT, false},
  };
  for (const Fault& fault : faults) {
    const int revocations = member.revocations();
    kafka.fail_next(fault.api, {fault.code});
    if (fault.rejoins) {
      ASSERT_TRUE(until({&member}, [&] {
        return member.revocations() > revocations && member.owned() == 2;
      })) << member.log();
    }
    ASSERT_TRUE(all_arrives()) << rd_kafka_err2name(static_cast<rd_kafka_resp_err_t>(fault.code));
  }
  kafka.move_coordinator("group", 2);
  ASSERT_TRUE(all_arrives()) << member.log();
  kafka.fail_next(Api::kOffsetCommit, {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID});
  const int revocations = member.revocations();
  const std::vector<StartAt> done{{{"errors", Partition(0)}, Offset(1)}};
  member.source().commit_advisory(done);
  ASSERT_TRUE(until({&member}, [&] {
    return member.revocations() > revocations && member.owned() == 2;
  })) << member.log();
  ASSERT_TRUE(all_arrives()) << member.log();
}

TEST(KafkaGroup, BrokersDownAndUpAgain) {
  MockKafka kafka(2);
  kafka.create_topic("outage", 2);
  kafka.move_leader("outage", 0, 1);
  kafka.move_leader("outage", 1, 2);
  Progress progress;
  kafka.produce_numbers("outage", 0, 0, 1'000);
  kafka.produce_numbers("outage", 1, 0, 1'000);
  Member member(kafka, progress, "outage");
  ASSERT_TRUE(until({&member}, [&] { return total(progress) == 2'000; })) << member.log();
  EXPECT_TRUE(member.reachable().empty());

  kafka.set_down();
  ASSERT_TRUE(until({&member}, [&] { return !member.reachable().empty(); })) << member.log();
  EXPECT_FALSE(member.reachable()[0]);
  // Longer than the patience with refused log-ins: a broker that is down is never an error.
  const auto later = Steady::now() + milliseconds(3'000);
  ASSERT_TRUE(until({&member}, [&] { return Steady::now() >= later; }));
  EXPECT_THROW(member.source().watermarks({"outage", Partition(0)}, milliseconds(100)), WorldError);

  kafka.set_up();
  kafka.produce_numbers("outage", 0, 0, 1'000);
  kafka.produce_numbers("outage", 1, 0, 1'000);
  ASSERT_TRUE(until({&member}, [&] {
    return total(progress) == 4'000 && member.is_reachable_again();
  })) << member.log();

  EXPECT_LT(member.lines_of_trouble(), 15) << member.log();
}

// What was fetched before an outage, and what the client does by itself, are no signs of life.
TEST(KafkaGroup, OnlyABrokersAnswerEndsAnOutage) {
  MockKafka kafka;
  kafka.create_topic("silent", 1);
  kafka.produce_numbers("silent", 0, 0, 2'000);
  Progress progress;
  Member member(kafka, progress, "silent");
  ASSERT_TRUE(until({&member}, [&] { return total(progress) > 0; })) << member.log();
  kafka.set_down();
  // The session (4 s) runs out meanwhile: the client revokes its partitions by itself.
  ASSERT_TRUE(until({&member}, [&] { return member.revocations() == 1; })) << member.log();
  EXPECT_THAT(member.reachable(), testing::ElementsAre(false)) << member.log();
  kafka.set_up();
  ASSERT_TRUE(until({&member}, [&] {
    return member.is_reachable_again() && total(progress) == 2'000;
  })) << member.log();
}

TEST(KafkaGroup, ClosingIsBoundedWhileTheBrokersAreDown) {
  MockKafka kafka;
  kafka.create_topic("bounded", 1);
  Progress progress;
  auto member = std::make_unique<Member>(kafka, progress, "bounded");
  ASSERT_TRUE(until({member.get()}, [&] { return member->owned() == 1; }));
  kafka.set_down();
  ASSERT_TRUE(until({member.get()}, [&] { return !member->reachable().empty(); }));
  const std::vector<StartAt> done{{{"bounded", Partition(0)}, Offset(1)}};
  member->source().commit_advisory(done);
  const auto began = Steady::now();
  member.reset();
  // 3 s of close_patience, 1 s for librdkafka to end, and what a busy machine takes. Unbounded, it
  // would last until the brokers are up again.
  EXPECT_LT(Steady::now() - began, seconds(30));
}

TEST(KafkaGroup, ATopicThatComesLaterIsReadFromItsBeginning) {
  MockKafka kafka;
  kafka.create_topic("app.a", 1);
  Progress progress;
  Member member(kafka, progress, "^app\\..*");
  ASSERT_TRUE(until({&member}, [&] { return member.owned() == 1; })) << member.log();
  kafka.create_topic("app.b", 2);
  kafka.create_topic("other", 1);
  kafka.produce_numbers("app.b", 1, 0, 100);
  ASSERT_TRUE(until({&member}, [&] { return total(progress) == 100; })) << member.log();
  EXPECT_EQ(member.owned(), 3U);
}

TEST(KafkaGroup, AMissingTopicIsSaidAndWaitedFor) {
  MockKafka kafka;
  kafka.create_topic("late", 1);
  kafka.fail_topic("late", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  Progress progress;
  Member member(kafka, progress, "late");
  ASSERT_TRUE(until({&member}, [&] {
    return member.log().find("topic_missing: ") != std::string::npos;
  })) << member.log();
  EXPECT_NE(member.log().find("topic late"), std::string::npos) << member.log();
  kafka.fail_topic("late", 0);
  kafka.produce_numbers("late", 0, 0, 10);
  ASSERT_TRUE(until({&member}, [&] { return total(progress) == 10; })) << member.log();
  EXPECT_EQ(member.log().find("topic_missing"), member.log().rfind("topic_missing"));
}

// What a wrong password or certificate does. The mock knows neither SASL nor TLS: to a member that
// insists on them it is a broker that refuses every handshake.
TEST(KafkaGroup, ARefusedHandshakeIsDeniedAfterSomeTimeAndNamesTheBroker) {
  MockKafka kafka;
  kafka.create_topic("closed", 1);
  Progress progress;
  Member member(kafka, progress, "closed",
                {{"security.protocol", "sasl_plaintext"},
                 {"sasl.mechanism", "PLAIN"},
                 {"sasl.username", "tidemark"},
                 {"sasl.password", "hunter2-secret"}});
  const auto began = Steady::now();
  try {
    until({&member}, [] { return false; });
    FAIL() << "must throw\n" << member.log();
  } catch (const WorldError& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDenied);
    const std::string what = error.what();
    EXPECT_NE(what.find("127.0.0.1:"), std::string::npos) << what;
    EXPECT_NE(what.find("sasl.*"), std::string::npos) << what;
    EXPECT_EQ((what + member.log()).find("hunter2"), std::string::npos) << what << member.log();
  }
  EXPECT_GE(Steady::now() - began, milliseconds(1'500));
  // No storm: the line is there once.
  EXPECT_LT(member.lines_of_trouble(), 8) << member.log();
}

TEST(KafkaGroup, AGroupThatMayNotBeUsedIsDeniedAndNamed) {
  MockKafka kafka;
  kafka.create_topic("closed", 1);
  kafka.fail_next(MockKafka::Api::kFindCoordinator,
                  std::vector<int>(5, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED));
  Progress progress;
  Member member(kafka, progress, "closed");
  try {
    until({&member}, [] { return false; });
    FAIL() << "must throw\n" << member.log();
  } catch (const WorldError& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDenied);
    EXPECT_NE(std::string(error.what()).find("group group"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace tidemark
