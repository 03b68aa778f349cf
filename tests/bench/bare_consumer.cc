// The fastest that a librdkafka consumer reads a topic: polls single messages of all partitions
// from the beginning to the end that the topic has now, and touches nothing. No group, so that no
// time goes into joining one; librdkafka's own defaults.
//
// Prints one line of JSON: messages, bytes, seconds from making the handle to the last message, and
// CPU seconds of this process.
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::bench {
namespace {

constexpr int kAskMs = 10'000;
constexpr int kPollMs = 100;
// So long without a message is a broker that is gone.
constexpr std::chrono::seconds kSilenceMax{30};

struct Destroy {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using Handle = std::unique_ptr<rd_kafka_t, Destroy>;

void check(rd_kafka_resp_err_t error) {
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(error));
}

Handle make_handle(const std::string& brokers) {
  char error[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  // A group id is needed to poll; nothing is subscribed, committed or joined.
  const std::pair<const char*, const char*> properties[] = {{"bootstrap.servers", brokers.c_str()},
                                                            {"group.id", "bare"},
                                                            {"enable.auto.commit", "false"}};
  for (const auto& [name, value] : properties) {
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) {
      throw std::runtime_error(error);
    }
  }
  Handle handle(rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error));
  if (!handle) throw std::runtime_error(error);
  check(rd_kafka_poll_set_consumer(handle.get()));
  return handle;
}

// How many messages the partitions hold; assigns them all.
std::int64_t assign_all(rd_kafka_t* handle, const std::string& topic, int partitions) {
  const std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy> list(
      rd_kafka_topic_partition_list_new(partitions));
  std::int64_t messages = 0;
  for (int partition = 0; partition < partitions; ++partition) {
    std::int64_t low = 0;
    std::int64_t high = 0;
    check(rd_kafka_query_watermark_offsets(handle, topic.c_str(), partition, &low, &high, kAskMs));
    messages += high - low;
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = low;
  }
  check(rd_kafka_assign(handle, list.get()));
  return messages;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void consume(const std::string& brokers, const std::string& topic, int partitions) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const Handle handle = make_handle(brokers);
  const std::int64_t wanted = assign_all(handle.get(), topic, partitions);
  std::int64_t taken = 0;
  std::int64_t bytes = 0;
  auto heard_at = start;
  while (taken < wanted) {
    const std::unique_ptr<rd_kafka_message_t, Destroy> message(
        rd_kafka_consumer_poll(handle.get(), kPollMs));
    if (!message) {
      if (Clock::now() - heard_at > kSilenceMax) throw std::runtime_error("nothing comes any more");
      continue;
    }
    check(message->err);
    bytes += static_cast<std::int64_t>(message->len);
    if (++taken % 1024 == 0) heard_at = Clock::now();
  }
  const std::chrono::duration<double> took = Clock::now() - start;
  fmt::print("{{\"messages\":{},\"bytes\":{},\"seconds\":{:.4f},\"cpu_seconds\":{:.3f}}}\n", taken,
             bytes, took.count(), cpu_seconds());
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  std::string brokers;
  std::string topic;
  int partitions = 6;
  CLI::App app("Reads a topic once and touches nothing.");
  app.add_option("--brokers", brokers, "bootstrap.servers")->required();
  app.add_option("--topic", topic, "the topic")->required();
  app.add_option("--partitions", partitions, "how many it has")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    tidemark::bench::consume(brokers, topic, partitions);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bare_consumer: {}\n", error.what());
    return 70;
  }
  return 0;
}
