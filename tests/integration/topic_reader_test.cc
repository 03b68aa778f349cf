// What a replay relies on: each record between two offsets comes once and in order, it ends, and
// what can't be read is said.
#include "consumer/kafka/topic_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consumer/kafka/end_offsets.h"
#include "tests/support/mock_kafka.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Steady = std::chrono::steady_clock;
using testing::HasSubstr;

constexpr seconds kPatience{120};  // only a hang takes so long

class TopicReaderTest : public testing::Test {
 protected:
  KafkaOptions options() const {
    KafkaOptions options;
    options.properties = kafka_.properties("replaying");
    return options;
  }

  static ReadRange range(const std::string& topic, std::int32_t partition, std::int64_t from,
                         std::int64_t to) {
    return {{topic, Partition(partition)}, Offset(from), Offset(to)};
  }

  // Offsets by slot, until the reader is done or has given `count` records. Values are the offsets.
  static std::map<std::uint32_t, std::vector<std::int64_t>> read(TopicReader& reader,
                                                                 std::size_t count = 1'000'000) {
    std::map<std::uint32_t, std::vector<std::int64_t>> seen;
    const auto deadline = Steady::now() + kPatience;
    while (!reader.done() && count > 0 && Steady::now() < deadline) {
      const std::optional<Record> record = reader.next(milliseconds(50));
      if (!record) continue;
      --count;
      EXPECT_EQ(record->value->substr(0, record->value->find(' ')),
                std::to_string(record->offset.value));
      EXPECT_GT(reader.next_offset(record->slot), record->offset);
      seen[record->slot].push_back(record->offset.value);
    }
    return seen;
  }

  static std::vector<std::int64_t> numbers(std::int64_t first, std::int64_t end) {
    std::vector<std::int64_t> all;
    for (; first < end; ++first) all.push_back(first);
    return all;
  }

  // The error that reading to the end meets; none when it meets none in time.
  static std::optional<WorldError> error_of(TopicReader& reader) {
    try {
      read(reader);
    } catch (const WorldError& error) {
      return error;
    }
    return std::nullopt;
  }

  MockKafka kafka_;
};

TEST_F(TopicReaderTest, EachRecordOfEachRangeComesOnceAndInOrder) {
  kafka_.create_topic("many", 3);
  kafka_.create_topic("other", 1);
  for (int partition = 0; partition < 3; ++partition) {
    kafka_.produce_numbers("many", partition, 0, 3'000);
  }
  kafka_.produce_numbers("other", 0, 0, 500);
  TopicReader reader(options(), {range("many", 2, 0, 3'000), range("other", 0, 100, 400),
                                 range("many", 0, -1, 2'999), range("many", 1, 1'500, 1'501)});
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(reader.next_offset(2), kNotStarted);
  const auto seen = read(reader);
  ASSERT_TRUE(reader.done());
  EXPECT_EQ(seen.at(0), numbers(0, 3'000));
  EXPECT_EQ(seen.at(1), numbers(100, 400));
  EXPECT_EQ(seen.at(2), numbers(0, 2'999));
  EXPECT_EQ(seen.at(3), numbers(1'500, 1'501));
  EXPECT_EQ(reader.next_offset(0), Offset(3'000));
  EXPECT_EQ(reader.next_offset(1), Offset(400));
  EXPECT_EQ(reader.next_offset(2), Offset(2'999));
  EXPECT_FALSE(reader.next(milliseconds(0)));
}

TEST_F(TopicReaderTest, ARecordIsToldWhole) {
  kafka_.create_topic("whole", 1);
  kafka_.produce({"whole", 0, "key", std::nullopt, 1'700'000'000'123});
  TopicReader reader(options(), {range("whole", 0, 0, 1)});
  std::optional<Record> record;
  const auto deadline = Steady::now() + kPatience;
  while (!record && Steady::now() < deadline) record = reader.next(milliseconds(50));
  ASSERT_TRUE(record);
  EXPECT_TRUE(reader.done());  // and its views live on
  EXPECT_EQ(record->topic, "whole");
  EXPECT_EQ(record->partition, Partition(0));
  EXPECT_EQ(record->offset, Offset(0));
  EXPECT_EQ(record->timestamp, KafkaTimestamp(1'700'000'000'123));
  EXPECT_EQ(record->key, "key");
  EXPECT_EQ(record->value, std::nullopt);
}

TEST_F(TopicReaderTest, EmptyRangesAreDoneWithoutABroker) {
  kafka_.set_down();
  const TopicReader nothing(options(), {});
  EXPECT_TRUE(nothing.done());
  TopicReader empty(options(), {range("a", 0, 5, 5), range("a", 1, 7, 3), range("a", 2, -1, 0)});
  EXPECT_TRUE(empty.done());
  EXPECT_FALSE(empty.next(milliseconds(0)));
  EXPECT_EQ(empty.next_offset(0), Offset(5));
  EXPECT_EQ(empty.next_offset(1), Offset(7));
  EXPECT_EQ(empty.next_offset(2), Offset(0));
}

TEST_F(TopicReaderTest, ReadingGoesOnWhereAnotherReaderStopped) {
  kafka_.create_topic("resumed", 2);
  kafka_.produce_numbers("resumed", 0, 0, 5'000);
  kafka_.produce_numbers("resumed", 1, 0, 5'000);
  std::vector<ReadRange> rest{range("resumed", 0, -1, 5'000), range("resumed", 1, 10, 4'000)};
  std::map<std::uint32_t, std::vector<std::int64_t>> seen;
  for (int round = 0; round < 100; ++round) {
    TopicReader reader(options(), rest);
    if (reader.done()) break;
    for (const auto& [slot, offsets] : read(reader, 1'234)) {
      seen[slot].insert(seen[slot].end(), offsets.begin(), offsets.end());
    }
    rest[0].from = reader.next_offset(0);
    rest[1].from = reader.next_offset(1);
  }
  EXPECT_EQ(seen[0], numbers(0, 5'000));
  EXPECT_EQ(seen[1], numbers(10, 4'000));
}

// The whole range was purged before it was read: there is nothing to wait for.
TEST_F(TopicReaderTest, ARangeWhoseLastOffsetsAreNoRecordsIsDone) {
  kafka_.create_topic("gap", 2);
  kafka_.produce_numbers("gap", 0, 0, 10'000, 900);  // 9 MB, of which the mock keeps 5 MiB
  kafka_.produce_numbers("gap", 1, 0, 20);
  TopicReader reader(options(), {range("gap", 0, -1, 10), range("gap", 1, -1, 20)});
  const auto seen = read(reader);
  EXPECT_TRUE(reader.done());
  EXPECT_FALSE(seen.contains(0));
  EXPECT_EQ(seen.at(1), numbers(0, 20));
  EXPECT_EQ(reader.next_offset(0), Offset(10));
}

TEST_F(TopicReaderTest, TheEarliestRetainedIsNoLoss) {
  kafka_.create_topic("earliest", 1);
  kafka_.produce_numbers("earliest", 0, 0, 10'000, 900);
  KafkaOptions asking = options();
  asking.topics = {"earliest"};
  const Offset low = EndOffsets(asking).read(kPatience).at(0).low;
  ASSERT_GT(low, Offset(0));
  kafka_.fail_next(MockKafka::Api::kListOffsets,
                   {RD_KAFKA_RESP_ERR_UNKNOWN, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART});
  TopicReader reader(options(), {range("earliest", 0, -1, 10'000)});
  EXPECT_EQ(read(reader).at(0), numbers(low.value, 10'000));
}

TEST_F(TopicReaderTest, APurgedOffsetIsFatalAndNamed) {
  kafka_.create_topic("purged", 1);
  kafka_.produce_numbers("purged", 0, 0, 10'000, 900);
  TopicReader reader(options(), {range("purged", 0, 17, 10'000)});
  for (int i = 0; i < 2; ++i) {  // and again when it is asked again
    const auto error = error_of(reader);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::kFatal);
    EXPECT_THAT(error->what(), HasSubstr("topic purged [0] at offset 17"));
    EXPECT_THAT(error->what(), HasSubstr("start at an offset that the partition still holds"));
  }
  EXPECT_EQ(reader.next_offset(0), Offset(17));
}

// As when the topic was made anew after its ends were asked for.
TEST_F(TopicReaderTest, AnEndThatIsNotThereIsSaidAndReachedWhenItComes) {
  kafka_.create_topic("short", 1);
  kafka_.produce_numbers("short", 0, 0, 10);
  TopicReader reader(options(), {range("short", 0, 0, 15)});
  EXPECT_EQ(read(reader, 10).at(0), numbers(0, 10));
  const auto error = error_of(reader);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kRetry);
  EXPECT_THAT(error->what(), HasSubstr("topic short [0] at offset 10"));
  EXPECT_THAT(error->what(), HasSubstr("before 15"));
  EXPECT_EQ(reader.next_offset(0), Offset(10));
  kafka_.produce_numbers("short", 0, 10, 10);
  EXPECT_EQ(read(reader).at(0), numbers(10, 15));
  EXPECT_TRUE(reader.done());
}

TEST_F(TopicReaderTest, ADoneRangeIsSilentThoughItsPartitionGrows) {
  kafka_.create_topic("growing", 2);
  kafka_.produce_numbers("growing", 0, 0, 2'000);
  kafka_.produce_numbers("growing", 1, 0, 10);
  TopicReader reader(options(), {range("growing", 0, 0, 100), range("growing", 1, 0, 20)});
  std::map<std::uint32_t, std::size_t> counts;
  for (const auto& [slot, offsets] : read(reader, 110)) counts[slot] += offsets.size();
  EXPECT_EQ(counts[0], 100U);
  EXPECT_EQ(counts[1], 10U);
  kafka_.produce_numbers("growing", 0, 2'000, 100);
  kafka_.produce_numbers("growing", 1, 10, 10);
  const auto seen = read(reader);
  EXPECT_TRUE(reader.done());
  EXPECT_FALSE(seen.contains(0));
  EXPECT_EQ(seen.at(1), numbers(10, 20));
}

TEST_F(TopicReaderTest, ADamagedBatchIsReadAgainAndNotSkipped) {
  kafka_.create_topic("damaged", 2);
  kafka_.produce_numbers("damaged", 0, 0, 2'000, 200);
  kafka_.produce_numbers("damaged", 1, 0, 2'000, 200);
  TopicReader reader(options(), {range("damaged", 0, 5, 2'000), range("damaged", 1, -1, 2'000)});
  auto seen = read(reader, 700);
  kafka_.fail_next(MockKafka::Api::kFetch,
                   {RD_KAFKA_RESP_ERR__BAD_MSG, RD_KAFKA_RESP_ERR__BAD_COMPRESSION});
  for (const auto& [slot, offsets] : read(reader)) {
    seen[slot].insert(seen[slot].end(), offsets.begin(), offsets.end());
  }
  EXPECT_EQ(seen[0], numbers(5, 2'000));
  EXPECT_EQ(seen[1], numbers(0, 2'000));
}

TEST_F(TopicReaderTest, ABatchThatStaysDamagedIsFatalAndNamed) {
  kafka_.create_topic("rotten", 1);
  kafka_.produce_numbers("rotten", 0, 0, 10);
  kafka_.fail_next(MockKafka::Api::kFetch, std::vector<int>(20, RD_KAFKA_RESP_ERR__BAD_MSG));
  TopicReader reader(options(), {range("rotten", 0, 0, 10)});
  const auto error = error_of(reader);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kFatal);
  EXPECT_THAT(error->what(), HasSubstr("topic rotten [0]"));
}

TEST_F(TopicReaderTest, ABrokerThatIsAwayForAMomentLosesNothing) {
  kafka_.create_topic("away", 1);
  kafka_.produce_numbers("away", 0, 0, 3'000, 300);
  TopicReader reader(options(), {range("away", 0, 0, 3'000)});
  auto seen = read(reader, 10);
  kafka_.set_down();
  kafka_.fail_next(MockKafka::Api::kFetch, {RD_KAFKA_RESP_ERR__TRANSPORT});
  for (int i = 0; i < 20; ++i) {
    if (const auto record = reader.next(milliseconds(10))) {
      seen[0].push_back(record->offset.value);
    }
  }
  kafka_.set_up();
  const std::vector<std::int64_t> rest = read(reader).at(0);
  seen[0].insert(seen[0].end(), rest.begin(), rest.end());
  EXPECT_EQ(seen[0], numbers(0, 3'000));
}

TEST_F(TopicReaderTest, WhileNoBrokerAnswersNothingComesAndNothingIsDone) {
  kafka_.create_topic("down", 1);
  kafka_.produce_numbers("down", 0, 0, 5);
  kafka_.set_down();
  TopicReader reader(options(), {range("down", 0, 0, 5)});
  const auto began = Steady::now();
  EXPECT_FALSE(reader.next(milliseconds(300)));
  EXPECT_LT(Steady::now() - began, kPatience);
  EXPECT_FALSE(reader.done());
}

TEST_F(TopicReaderTest, AMissingTopicIsSaidAndNamed) {
  kafka_.create_topic("gone", 1);
  kafka_.fail_topic("gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  TopicReader reader(options(), {range("gone", 0, 0, 5)});
  const auto error = error_of(reader);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kRetry);
  EXPECT_THAT(error->what(), HasSubstr("gone [0]"));
}

TEST_F(TopicReaderTest, AMissingAclIsDeniedAndNamesTheTopic) {
  kafka_.create_topic("secret", 1);
  kafka_.produce_numbers("secret", 0, 0, 10);
  kafka_.fail_next(MockKafka::Api::kFetch, {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED});
  TopicReader reader(options(), {range("secret", 0, 0, 10)});
  const auto error = error_of(reader);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kDenied);
  EXPECT_THAT(error->what(), HasSubstr("topic secret [0]"));
  EXPECT_THAT(error->what(), HasSubstr("allow the user Read"));
}

}  // namespace
}  // namespace tidemark
