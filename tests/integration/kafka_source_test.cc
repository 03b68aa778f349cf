// What a reader of records relies on: order, positions, nothing stale, nothing skipped.
#include "consumer/kafka/kafka_source.h"

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

constexpr seconds kPatience{120};  // only a hang takes so long

// A record with bytes of its own.
struct Seen {
  std::uint32_t slot = 0;
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::int64_t timestamp_ms = 0;
};

Seen own(const Record& record) {
  return {record.slot,
          std::string(record.topic),
          record.partition.value,
          record.offset.value,
          record.key ? std::optional<std::string>(*record.key) : std::nullopt,
          record.value ? std::optional<std::string>(*record.value) : std::nullopt,
          record.timestamp.value};
}

// One member for all tests of the file: the mock lets a group's first member wait for 3 s. Each
// test reads a topic of its own, with assign().
class KafkaSourceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    kafka_ = std::make_unique<MockKafka>();
    kafka_->create_topic("joined", 1);
    KafkaOptions options;
    options.properties = kafka_->properties("readers");
    // It joins once: no stall of the machine throws it out.
    options.properties.emplace_back("session.timeout.ms", "60000");
    options.topics = {"joined"};
    options.on_log = [](const KafkaLog& log) { log_.push_back(std::string(log.message)); };
    source_ = std::make_unique<KafkaSource>(std::move(options));
    ASSERT_TRUE(
        until([](const SourceEvent& event) { return std::holds_alternative<Assigned>(event); }));
    source_->assign({});
  }

  static void TearDownTestSuite() {
    source_.reset();
    kafka_.reset();
  }

  // Polls until an event is the one that is waited for.
  static bool until(const std::function<bool(const SourceEvent&)>& wanted) {
    const auto deadline = Steady::now() + kPatience;
    while (Steady::now() < deadline) {
      if (wanted(source_->poll(milliseconds(50)))) return true;
    }
    return false;
  }

  static std::vector<Seen> read(std::size_t count) {
    std::vector<Seen> seen;
    until([&](const SourceEvent& event) {
      if (const auto* record = std::get_if<Record>(&event)) seen.push_back(own(*record));
      EXPECT_FALSE(std::holds_alternative<OutOfRange>(event));
      return seen.size() >= count;
    });
    return seen;
  }

  // Nothing more comes, though a fetch had the time to bring it.
  static bool nothing_comes() {
    const auto deadline = Steady::now() + milliseconds(300);
    while (Steady::now() < deadline) {
      if (!std::holds_alternative<Idle>(source_->poll(milliseconds(20)))) return false;
    }
    return true;
  }

  static StartAt at(const std::string& topic, std::int32_t partition, std::int64_t offset) {
    return {{topic, Partition(partition)}, Offset(offset)};
  }

  static void assign(const std::vector<StartAt>& starts) { source_->assign(starts); }

  static inline std::unique_ptr<MockKafka> kafka_;
  static inline std::unique_ptr<KafkaSource> source_;
  static inline std::vector<std::string> log_;
};

TEST_F(KafkaSourceTest, RecordsComeInOrderWithTheirSlots) {
  kafka_->create_topic("order", 3);
  kafka_->create_topic("other", 1);
  for (int partition = 0; partition < 3; ++partition) {
    kafka_->produce_numbers("order", partition, 1000 * partition, 500);
  }
  kafka_->produce_numbers("other", 0, 9000, 500);
  assign({at("order", 2, 0), at("other", 0, 100), at("order", 0, -1), at("order", 1, 499)});

  const std::vector<Seen> seen = read(500 + 400 + 500 + 1);
  ASSERT_EQ(seen.size(), 1401U);
  EXPECT_TRUE(nothing_comes());
  std::map<std::uint32_t, std::int64_t> next{{0, 0}, {1, 100}, {2, 0}, {3, 499}};
  const std::map<std::uint32_t, std::pair<std::string, int>> where{
      {0, {"order", 2}}, {1, {"other", 0}}, {2, {"order", 0}}, {3, {"order", 1}}};
  for (const Seen& record : seen) {
    ASSERT_EQ(record.offset, next[record.slot]++);
    ASSERT_EQ(std::pair(record.topic, record.partition), where.at(record.slot));
    const std::int64_t base = record.topic == "other" ? 9000 : 1000 * record.partition;
    ASSERT_EQ(record.value, std::to_string(base + record.offset));
  }
}

TEST_F(KafkaSourceTest, NullAndEmptyAreTold) {
  kafka_->create_topic("nulls", 1);
  kafka_->produce({"nulls", 0, std::nullopt, "value", 1'700'000'000'123});
  kafka_->produce({"nulls", 0, "key", std::nullopt});
  kafka_->produce({"nulls", 0, std::nullopt, std::nullopt});
  kafka_->produce({"nulls", 0, "", ""});
  assign({at("nulls", 0, -1)});

  const std::vector<Seen> seen = read(4);
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[0].key, std::nullopt);
  EXPECT_EQ(seen[0].value, "value");
  EXPECT_EQ(seen[0].timestamp_ms, 1'700'000'000'123);
  EXPECT_EQ(seen[1].key, "key");
  EXPECT_EQ(seen[1].value, std::nullopt);
  EXPECT_EQ(seen[2].key, std::nullopt);
  EXPECT_EQ(seen[2].value, std::nullopt);
  EXPECT_EQ(seen[3].key, "");
  EXPECT_EQ(seen[3].value, "");
}

TEST_F(KafkaSourceTest, ALargeMessageComesWhole) {
  kafka_->create_topic("large", 1);
  std::string large(100'000'000, 'x');
  large.back() = 'y';
  kafka_->produce({"large", 0, "large", large});
  assign({at("large", 0, 0)});
  const std::vector<Seen> seen = read(1);
  ASSERT_EQ(seen.size(), 1U) << testing::PrintToString(log_);
  EXPECT_TRUE(seen[0].value == large);
}

TEST_F(KafkaSourceTest, AssignGoesBackAndForwardExactly) {
  constexpr int kRecords = 20'000;
  kafka_->create_topic("back", 2);
  kafka_->produce_numbers("back", 0, 0, kRecords);
  kafka_->produce_numbers("back", 1, 0, kRecords);
  // Each time in the middle of what was fetched: whatever was fetched before must not be seen.
  unsigned random = 1;
  for (int round = 0; round < 200; ++round) {
    random = random * 1'103'515'245U + 12'345U;
    const std::int64_t first = (random >> 8U) % (kRecords - 200);
    const std::int64_t second = (random >> 4U) % (kRecords - 200);
    // The slots change their partitions, too.
    const int swapped = round % 2;
    assign({at("back", swapped, first), at("back", 1 - swapped, second)});
    std::map<std::uint32_t, std::int64_t> next{{0, first}, {1, second}};
    for (const Seen& record : read(1 + random % 150)) {
      ASSERT_EQ(record.offset, next[record.slot]++) << "round " << round;
      ASSERT_EQ(record.partition, record.slot == 0 ? swapped : 1 - swapped);
    }
  }
}

TEST_F(KafkaSourceTest, AssignToFewerPartitionsSilencesTheOthers) {
  kafka_->create_topic("fewer", 2);
  kafka_->produce_numbers("fewer", 0, 0, 5'000);
  kafka_->produce_numbers("fewer", 1, 0, 5'000);
  assign({at("fewer", 0, 0), at("fewer", 1, 0)});
  ASSERT_EQ(read(100).size(), 100U);
  assign({at("fewer", 1, 3)});
  const std::vector<Seen> seen = read(4'997);
  ASSERT_EQ(seen.size(), 4'997U);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    ASSERT_EQ(seen[i].partition, 1);
    ASSERT_EQ(seen[i].offset, static_cast<std::int64_t>(i) + 3);
  }
  source_->unassign();
  kafka_->produce_numbers("fewer", 1, 5'000, 10);
  EXPECT_TRUE(nothing_comes());
}

TEST_F(KafkaSourceTest, WhatWasPausedComesAgainWithAssign) {
  kafka_->create_topic("pause", 2);
  kafka_->produce_numbers("pause", 0, 0, 3'000);
  kafka_->produce_numbers("pause", 1, 0, 3'000);
  assign({at("pause", 0, 0), at("pause", 1, 0)});
  std::map<std::uint32_t, std::int64_t> next;
  for (const Seen& record : read(1'000)) ASSERT_EQ(record.offset, next[record.slot]++);

  source_->pause_all();
  EXPECT_TRUE(nothing_comes());
  assign({at("pause", 0, next[0]), at("pause", 1, next[1])});
  for (const Seen& record : read(1'000)) ASSERT_EQ(record.offset, next[record.slot]++);

  source_->pause({"pause", Partition(0)});
  const std::size_t rest = static_cast<std::size_t>(3'000 - next[1]);
  for (const Seen& record : read(rest)) {
    ASSERT_EQ(record.slot, 1U);
    ASSERT_EQ(record.offset, next[1]++);
  }
  EXPECT_TRUE(nothing_comes());
  assign({at("pause", 0, next[0]), at("pause", 1, next[1])});
  for (const Seen& record : read(static_cast<std::size_t>(3'000 - next[0]))) {
    ASSERT_EQ(record.offset, next[record.slot]++);
  }
  EXPECT_EQ(next[0], 3'000);
}

TEST_F(KafkaSourceTest, AnOffsetPastTheEndIsOutOfRange) {
  kafka_->create_topic("high", 2);
  kafka_->produce_numbers("high", 0, 0, 10);
  kafka_->produce_numbers("high", 1, 0, 10);
  assign({at("high", 0, 11), at("high", 1, 10)});
  std::optional<OutOfRange> out;
  ASSERT_TRUE(until([&](const SourceEvent& event) {
    if (const auto* one = std::get_if<OutOfRange>(&event)) out = *one;
    return out.has_value();
  }));
  EXPECT_EQ(out->where, (TopicPartition{"high", Partition(0)}));
  // Once; the end itself is in range; and the source never jumps by itself.
  EXPECT_TRUE(nothing_comes());
  kafka_->produce_numbers("high", 1, 10, 1);
  const std::vector<Seen> seen = read(1);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].slot, 1U);
  EXPECT_EQ(seen[0].offset, 10);
}

TEST_F(KafkaSourceTest, APurgedOffsetIsOutOfRangeAndTheEarliestIsNot) {
  kafka_->create_topic("low", 1);
  kafka_->produce_numbers("low", 0, 0, 10'000, 900);  // 9 MB, of which the mock keeps 5 MiB
  const Watermarks held = source_->watermarks({"low", Partition(0)}, kPatience);
  ASSERT_GT(held.low, Offset(0));
  ASSERT_EQ(held.high, Offset(10'000));
  assign({at("low", 0, held.low.value - 1)});
  ASSERT_TRUE(
      until([](const SourceEvent& event) { return std::holds_alternative<OutOfRange>(event); }));
  assign({at("low", 0, -1)});
  const std::vector<Seen> seen = read(1);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].offset, held.low.value);
  EXPECT_EQ(source_->cached_high({"low", Partition(0)}), Offset(10'000));
}

// The error of the first assign is still queued when the second comes, and must not be told after
// it: it would be taken for a loss of data.
TEST_F(KafkaSourceTest, AnErrorFromBeforeAnAssignIsNotToldAfterIt) {
  kafka_->create_topic("stale", 2);
  kafka_->produce_numbers("stale", 0, 0, 10);
  kafka_->produce_numbers("stale", 1, 0, 2'000);
  for (int round = 0; round < 5; ++round) {
    assign({at("stale", 0, 20), at("stale", 1, 0)});
    ASSERT_TRUE(
        until([](const SourceEvent& event) { return std::holds_alternative<Record>(event); }));
    // Behind that record the error waits. A few answers of the broker later it is there for sure.
    for (int i = 0; i < 10; ++i) {
      source_->watermarks({"stale", Partition(0)}, kPatience);
    }
    assign({at("stale", 0, 5), at("stale", 1, 2'000)});
    const std::vector<Seen> seen = read(5);
    ASSERT_EQ(seen.size(), 5U);
    ASSERT_TRUE(nothing_comes());
  }
}

TEST_F(KafkaSourceTest, WatermarksOfAnUnknownPartitionAreRetried) {
  kafka_->create_topic("nowhere", 1);
  try {
    source_->watermarks({"nowhere", Partition(7)}, milliseconds(300));
    FAIL() << "must throw";
  } catch (const WorldError& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kRetry);
    EXPECT_NE(std::string(error.what()).find("topic nowhere [7]"), std::string::npos);
  }
  EXPECT_EQ(source_->cached_high({"nowhere", Partition(7)}), std::nullopt);
}

// The earliest offset can't be asked for at first: the partition must not stand still, nor be lost.
TEST_F(KafkaSourceTest, TheEarliestOffsetIsAskedForUntilItIsKnown) {
  kafka_->create_topic("earliest", 2);
  kafka_->produce_numbers("earliest", 0, 0, 100);
  kafka_->produce_numbers("earliest", 1, 0, 100);
  kafka_->fail_next(MockKafka::Api::kListOffsets,
                    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                     RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_UNKNOWN,
                     RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR__TRANSPORT});
  assign({at("earliest", 0, -1), at("earliest", 1, 50)});
  std::map<std::uint32_t, std::int64_t> next{{0, 0}, {1, 50}};
  for (const Seen& record : read(150)) ASSERT_EQ(record.offset, next[record.slot]++);
  EXPECT_EQ(next[0], 100);
  EXPECT_EQ(next[1], 100);
  EXPECT_GT(source_->counts().rereads, 0U);
}

// It may come back as another topic, with other records at our offsets: who reads must look again.
TEST_F(KafkaSourceTest, ATopicThatVanishesIsToldAgain) {
  kafka_->create_topic("vanishing", 2);
  kafka_->produce_numbers("vanishing", 0, 0, 10);
  assign({at("vanishing", 1, 0), at("vanishing", 0, 0)});
  ASSERT_EQ(read(10).size(), 10U);
  kafka_->fail_topic("vanishing", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  std::optional<Assigned> told;
  ASSERT_TRUE(until([&](const SourceEvent& event) {
    if (const auto* assigned = std::get_if<Assigned>(&event)) told = *assigned;
    return told.has_value();
  }));
  EXPECT_EQ(told->partitions, (std::vector<TopicPartition>{{"vanishing", Partition(1)},
                                                           {"vanishing", Partition(0)}}));
  kafka_->fail_topic("vanishing", 0);
  kafka_->produce_numbers("vanishing", 0, 10, 10);
  assign({at("vanishing", 0, 9)});
  const std::vector<Seen> seen = read(11);
  ASSERT_EQ(seen.size(), 11U);
  EXPECT_EQ(seen.front().offset, 9);
  EXPECT_EQ(seen.back().offset, 19);
}

TEST_F(KafkaSourceTest, FetchErrorsLoseNothing) {
  kafka_->create_topic("fetch", 2);
  assign({at("fetch", 0, -1), at("fetch", 1, 0)});
  std::map<std::uint32_t, std::int64_t> next;
  const std::vector<int> kErrors{RD_KAFKA_RESP_ERR_UNKNOWN,
                                 RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                                 RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                 RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
                                 RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
                                 RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
                                 RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
                                 RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                                 RD_KAFKA_RESP_ERR__TRANSPORT};
  for (const int error : kErrors) {
    kafka_->fail_next(MockKafka::Api::kFetch, {error, error});
    kafka_->produce_numbers("fetch", 0, static_cast<int>(next[0]), 100);
    kafka_->produce_numbers("fetch", 1, static_cast<int>(next[1]), 100);
    const std::vector<Seen> seen = read(200);
    ASSERT_EQ(seen.size(), 200U) << rd_kafka_err2name(static_cast<rd_kafka_resp_err_t>(error));
    for (const Seen& record : seen) ASSERT_EQ(record.offset, next[record.slot]++);
  }
}

TEST_F(KafkaSourceTest, AMissingAclIsDeniedAndNamesTheTopic) {
  kafka_->create_topic("secret", 1);
  kafka_->produce_numbers("secret", 0, 0, 10);
  // More than one: a fetch for an earlier test's topic may still be on its way and take one.
  assign({});
  kafka_->fail_next(MockKafka::Api::kFetch,
                    std::vector<int>(5, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED));
  assign({at("secret", 0, 0)});
  try {
    read(1);
    FAIL() << "must throw";
  } catch (const WorldError& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDenied);
    const std::string what = error.what();
    EXPECT_NE(what.find("topic secret [0]"), std::string::npos) << what;
    EXPECT_NE(what.find("allow the user Read"), std::string::npos) << what;
  }
  kafka_->fail_no_more(MockKafka::Api::kFetch);
  assign({});
}

TEST_F(KafkaSourceTest, AdvisoryCommitsNeverWait) {
  kafka_->create_topic("commit", 1);
  kafka_->produce_numbers("commit", 0, 0, 10);
  const KafkaCounts before = source_->counts();
  kafka_->fail_next(MockKafka::Api::kOffsetCommit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
                                                    RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE});
  assign({at("commit", 0, 0)});
  ASSERT_EQ(read(10).size(), 10U);
  const std::vector<StartAt> done{at("commit", 0, 10), at("joined", 0, -1)};
  for (int i = 0; i < 20; ++i) source_->commit_advisory(done);
  EXPECT_LT(source_->counts().commits_sent - before.commits_sent, 20U);
  EXPECT_GT(source_->counts().commits_skipped, before.commits_skipped);
  // They are answered, well or not, and further ones go out.
  ASSERT_TRUE(until([&](const SourceEvent&) {
    return source_->counts().commits_failed > before.commits_failed;
  }));
  ASSERT_TRUE(until([&](const SourceEvent&) {
    const auto sent = source_->counts().commits_sent;
    source_->commit_advisory(done);
    return source_->counts().commits_sent > sent + 0 && sent > before.commits_sent + 4;
  }));
}

}  // namespace
}  // namespace tidemark
