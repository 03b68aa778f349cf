#include "consumer/kafka/end_offsets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "consumer/kafka/kafka_conf.h"
#include "consumer/kafka/kafka_errors.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

int left_ms(Steady::time_point deadline) {
  return to_timeout_ms(std::chrono::ceil<milliseconds>(deadline - Steady::now()));
}

KafkaOptions checked(KafkaOptions options) {
  std::vector<std::string> problems = validate_kafka_properties(options.properties);
  if (options.topics.empty()) problems.emplace_back("topics: none is named");
  for (const std::string& topic : options.topics) {
    if (topic.empty() || topic.front() == '^') {
      problems.push_back(fmt::format("topics: '{}' is no exact name", topic));
    }
  }
  throw_when_unusable(problems);
  return options;
}

}  // namespace

EndOffsets::EndOffsets(KafkaOptions options)
    : client_(checked(std::move(options)), LoneUse::kAsk) {}

std::map<std::string, std::int32_t> EndOffsets::partitions(milliseconds timeout) {
  return count_partitions(Steady::now() + timeout);
}

std::vector<EndOffset> EndOffsets::read(milliseconds timeout) {
  const Deadline deadline = Steady::now() + timeout;
  const std::vector<TopicPartition> all = list_partitions(deadline);
  const std::vector<Offset> low = ask(all, RD_KAFKA_OFFSET_BEGINNING, deadline);
  const std::vector<Offset> high = ask(all, RD_KAFKA_OFFSET_END, deadline);
  std::vector<EndOffset> ends;
  for (std::size_t i = 0; i < all.size(); ++i) ends.push_back({all[i], low[i], high[i]});
  return ends;
}

std::vector<StartAt> EndOffsets::at_time(KafkaTimestamp time, milliseconds timeout) {
  const Deadline deadline = Steady::now() + timeout;
  const std::vector<TopicPartition> all = list_partitions(deadline);
  // The ends first: a record that comes between the two answers is then at or after what we say.
  const std::vector<Offset> ends = ask(all, RD_KAFKA_OFFSET_END, deadline);
  // Negative numbers mean something else to a broker, and no record is older than 1970.
  const std::int64_t since = std::max<std::int64_t>(time.value, 0);
  const std::vector<Offset> firsts = ask(all, since, deadline);
  std::vector<StartAt> starts;
  for (std::size_t i = 0; i < all.size(); ++i) {
    starts.push_back({all[i], firsts[i] < Offset(0) ? ends[i] : firsts[i]});
  }
  return starts;
}

void EndOffsets::ask_group(const TopicPartition& where, milliseconds timeout) {
  client_.serve();
  KafkaPartitions list = make_list(1);
  add(list, where);
  const rd_kafka_resp_err_t error =
      rd_kafka_committed(client_.get(), list.get(), to_timeout_ms(timeout));
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return client_.heard();
  // librdkafka asks for the group's coordinator again and again; why it is refused stands here.
  while (const KafkaMessage message{rd_kafka_consumer_poll(client_.get(), 0)}) {
    if (fate_of(message->err) == ErrorFate::kAct) client_.fail(trouble_of(*message));
  }
  client_.fail({error, {}, -1, -1, "can't ask for the group's committed offsets"});
}

// Each topic by its name: a list of all topics leaves out what we have no right to, which would
// then pass for missing.
std::map<std::string, std::int32_t> EndOffsets::count_partitions(Deadline deadline) {
  client_.serve();
  const std::vector<std::string>& named = client_.options().topics;
  std::map<std::string, std::int32_t> counts;
  for (const std::string& topic : std::set<std::string>(named.begin(), named.end())) {
    const std::int32_t count = partitions_of(topic, deadline);
    if (count > 0) counts.emplace(topic, count);
  }
  client_.heard();
  return counts;
}

// 0: the topic is missing.
std::int32_t EndOffsets::partitions_of(const std::string& topic, Deadline deadline) {
  const KafkaTopic handle(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
  const rd_kafka_metadata_t* answer = nullptr;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;  // librdkafka refuses the name
  if (handle) {
    error = rd_kafka_metadata(client_.get(), 0, handle.get(), &answer, left_ms(deadline));
  }
  const KafkaMetadata metadata(answer);
  std::int32_t count = 0;
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt > 0) {
    error = metadata->topics[0].err;
    count = metadata->topics[0].partition_cnt;
  }
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return count;
  if (fate_of(error) == ErrorFate::kMissing) return 0;
  client_.serve();
  client_.fail({error, topic, -1, -1, "can't ask for the topic's partitions"});
}

std::vector<TopicPartition> EndOffsets::list_partitions(Deadline deadline) {
  std::vector<TopicPartition> all;
  for (const auto& [topic, count] : count_partitions(deadline)) {
    for (std::int32_t i = 0; i < count; ++i) all.push_back({topic, Partition(i)});
  }
  return all;
}

// `what` is a time, or RD_KAFKA_OFFSET_BEGINNING or _END, which are what brokers understand in a
// time's place. Negative in the answer: no record is of that time or later.
std::vector<Offset> EndOffsets::ask(const std::vector<TopicPartition>& partitions,
                                    std::int64_t what, Deadline deadline) {
  if (partitions.empty()) return {};
  KafkaPartitions list = make_list(partitions.size());
  for (const TopicPartition& where : partitions) add(list, where).offset = what;
  const rd_kafka_resp_err_t error =
      rd_kafka_offsets_for_times(client_.get(), list.get(), left_ms(deadline));
  constexpr std::string_view kText = "can't ask for offsets";
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) client_.serve();
  std::vector<Offset> offsets;
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& one = list->elems[i];
    if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      client_.fail({one.err, one.topic, one.partition, -1, kText});
    }
    // An end that wasn't answered still holds the question.
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && what < 0 && one.offset < 0) {
      client_.fail({RD_KAFKA_RESP_ERR__TIMED_OUT, one.topic, one.partition, -1, kText});
    }
    offsets.emplace_back(one.offset);
  }
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return offsets;
  const std::string text =
      fmt::format("{} of {}", kText, fmt::join(client_.options().topics, ", "));
  client_.fail({error, {}, -1, -1, text});
}

}  // namespace tidemark
