// How much KafkaSource costs over librdkafka alone: the yardstick of the whole chain.
//
//   consume_bench --brokers localhost:9092 --topic bench [--produce 2000000] [--records N]
//
// Reads a topic from its beginning, each time the same records, three ways: a bare
// rd_kafka_consumer_poll loop with librdkafka's own defaults, the same with our properties, and
// KafkaSource. Prints one line each. --work-ns adds so much work per record, as a decoder would:
// then what counts is whether fetching goes on meanwhile. Without --brokers, a mock cluster serves
// 5 MiB a partition: good for a smoke test, useless as a figure.
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
// After rdkafka.h.
#include <librdkafka/rdkafka_mock.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/check.h"
#include "consumer/kafka/kafka_handles.h"
#include "consumer/kafka/kafka_source.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Nothing for so long: the topic's end, and not a pause of the fetcher (which is a second at most).
constexpr std::chrono::seconds kQuietMax{4};

struct BenchOptions {
  std::string brokers;
  std::string topic = "consume_bench";
  std::int64_t records = -1;  // all
  std::int64_t produce = 0;
  std::size_t value_bytes = 900;
  int partitions = 4;
  std::int64_t work_ns = 0;
  int rounds = 3;
};

struct DestroyClient {
  void operator()(rd_kafka_t* client) const noexcept { rd_kafka_destroy(client); }
};
using Client = std::unique_ptr<rd_kafka_t, DestroyClient>;

// Counts what came, and how long it took from the first record to the last.
class Meter {
 public:
  Meter(std::string name, std::int64_t wanted, std::int64_t work_ns)
      : name_(std::move(name)), wanted_(wanted), work_(work_ns) {}

  // False: enough.
  bool take(std::size_t bytes) {
    const bool first = records_ == 0;
    if (first || (records_ & kClockEvery) == 0) last_ = Steady::now();
    if (first) begin_ = last_;
    ++records_;
    bytes_ += bytes;
    if (work_.count() > 0) {
      const auto end = Steady::now() + work_;
      while (Steady::now() < end) {
      }
    }
    if (records_ != wanted_) return true;
    last_ = Steady::now();
    return false;
  }

  // Nothing came. False: nothing will.
  bool quiet() {
    if (records_ == 0) last_ = started_;
    return Steady::now() - last_ < (records_ == 0 ? kStartMax : kQuietMax);
  }

  void print() const {
    const double seconds = std::chrono::duration<double>(last_ - begin_).count();
    fmt::print("{:<34} {:>10} records {:>8.3f} s {:>10.0f} records/s {:>7.1f} MB/s\n", name_,
               records_, seconds, static_cast<double>(records_) / seconds,
               static_cast<double>(bytes_) / seconds / 1e6);
    std::fflush(stdout);
  }

 private:
  static constexpr std::int64_t kClockEvery = 255;
  static constexpr std::chrono::seconds kStartMax{30};

  std::string name_;
  std::int64_t wanted_;
  std::chrono::nanoseconds work_;
  std::int64_t records_ = 0;
  std::size_t bytes_ = 0;
  Steady::time_point started_ = Steady::now();
  Steady::time_point begin_{};
  Steady::time_point last_{};
};

KafkaProperties properties_of(const BenchOptions& options) {
  return {{"bootstrap.servers", options.brokers},
          {"group.id", fmt::format("consume_bench_{}", Steady::now().time_since_epoch().count())}};
}

Client make_client(rd_kafka_type_t type, const KafkaProperties& properties) {
  KafkaConf conf(rd_kafka_conf_new());
  std::array<char, 512> text{};
  for (const auto& [name, value] : properties) {
    if (name == "log.queue") continue;
    TIDEMARK_CHECK(rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text.data(),
                                     text.size()) == RD_KAFKA_CONF_OK);
  }
  Client client(rd_kafka_new(type, conf.get(), text.data(), text.size()));
  TIDEMARK_CHECK(client != nullptr);
  static_cast<void>(conf.release());
  return client;
}

int partition_count(rd_kafka_t* client, const std::string& topic) {
  const rd_kafka_metadata_t* metadata = nullptr;
  const std::unique_ptr<rd_kafka_topic_t, KafkaDeleter<rd_kafka_topic_destroy>> handle(
      rd_kafka_topic_new(client, topic.c_str(), nullptr));
  TIDEMARK_CHECK(rd_kafka_metadata(client, 0, handle.get(), &metadata, 10'000) ==
                 RD_KAFKA_RESP_ERR_NO_ERROR);
  const int count = metadata->topics[0].partition_cnt;
  rd_kafka_metadata_destroy(metadata);
  return count;
}

void produce(const BenchOptions& options) {
  const Client client =
      make_client(RD_KAFKA_PRODUCER, {{"bootstrap.servers", options.brokers},
                                      {"allow.auto.create.topics", "true"},
                                      {"linger.ms", "20"},
                                      {"queue.buffering.max.messages", "200000"}});
  const int partitions = std::max(1, partition_count(client.get(), options.topic));
  const std::unique_ptr<rd_kafka_topic_t, KafkaDeleter<rd_kafka_topic_destroy>> topic(
      rd_kafka_topic_new(client.get(), options.topic.c_str(), nullptr));
  std::string value(options.value_bytes, 'v');
  for (std::int64_t i = 0; i < options.produce; ++i) {
    const std::string key = std::to_string(i);
    while (rd_kafka_produce(topic.get(), static_cast<std::int32_t>(i % partitions),
                            RD_KAFKA_MSG_F_COPY, value.data(), value.size(), key.data(), key.size(),
                            nullptr) != 0) {
      rd_kafka_poll(client.get(), 10);
    }
  }
  TIDEMARK_CHECK(rd_kafka_flush(client.get(), 120'000) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

void run_bare(const BenchOptions& options, const char* name, KafkaProperties properties) {
  properties.emplace_back("enable.auto.commit", "false");
  const Client client = make_client(RD_KAFKA_CONSUMER, properties);
  rd_kafka_poll_set_consumer(client.get());
  const int partitions = partition_count(client.get(), options.topic);
  const KafkaPartitions list(rd_kafka_topic_partition_list_new(partitions));
  for (int i = 0; i < partitions; ++i) {
    rd_kafka_topic_partition_list_add(list.get(), options.topic.c_str(), i)->offset =
        RD_KAFKA_OFFSET_BEGINNING;
  }
  rd_kafka_assign(client.get(), list.get());
  Meter meter(name, options.records, options.work_ns);
  for (;;) {
    rd_kafka_message_t* message = rd_kafka_consumer_poll(client.get(), 100);
    if (message == nullptr) {
      if (!meter.quiet()) break;
      continue;
    }
    const bool more = message->err != RD_KAFKA_RESP_ERR_NO_ERROR || meter.take(message->len);
    rd_kafka_message_destroy(message);
    if (!more) break;
  }
  meter.print();
  rd_kafka_consumer_close(client.get());
}

void run_source(const BenchOptions& options) {
  KafkaOptions kafka;
  kafka.properties = properties_of(options);
  kafka.topics = {options.topic};
  KafkaSource source(std::move(kafka));
  Meter meter("KafkaSource", options.records, options.work_ns);
  std::uint64_t slots = 0;
  for (;;) {
    const SourceEvent event = source.poll(milliseconds(100));
    if (const auto* record = std::get_if<Record>(&event)) {
      slots += record->slot;
      if (!meter.take(record->value ? record->value->size() : 0)) break;
    } else if (const auto* assigned = std::get_if<Assigned>(&event)) {
      std::vector<StartAt> starts;
      for (const TopicPartition& where : assigned->partitions) {
        starts.push_back({where, kNotStarted});
      }
      source.assign(starts);
    } else if (std::holds_alternative<Idle>(event) && !meter.quiet()) {
      break;
    }
  }
  meter.print();
  source.close();
}

// A broker in this process. The client only carries it.
struct Mock {
  Client host = make_client(RD_KAFKA_PRODUCER, {{"log_level", "0"}});
  std::unique_ptr<rd_kafka_mock_cluster_t, KafkaDeleter<rd_kafka_mock_cluster_destroy>> cluster{
      rd_kafka_mock_cluster_new(host.get(), 1)};
};

int run(BenchOptions options) {
  std::optional<Mock> mock;
  if (options.brokers.empty()) {
    mock.emplace();
    rd_kafka_mock_topic_create(mock->cluster.get(), options.topic.c_str(), options.partitions, 1);
    options.brokers = rd_kafka_mock_cluster_bootstraps(mock->cluster.get());
    if (options.produce == 0) options.produce = 20'000;
  }
  if (options.produce > 0) produce(options);
  for (int round = 0; round < options.rounds; ++round) {
    run_bare(options, "librdkafka, its defaults", properties_of(options));
    run_bare(options, "librdkafka, our properties",
             effective_kafka_properties(properties_of(options)));
    run_source(options);
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  tidemark::BenchOptions options;
  CLI::App app("Measures KafkaSource against a bare librdkafka consumer");
  app.add_option("--brokers", options.brokers, "host:port; a mock cluster when it is missing");
  app.add_option("--topic", options.topic);
  app.add_option("--records", options.records, "how many to read; all when it is missing");
  app.add_option("--produce", options.produce, "write so many first");
  app.add_option("--value-bytes", options.value_bytes);
  app.add_option("--partitions", options.partitions, "of the mock's topic");
  app.add_option("--work-ns", options.work_ns, "work per record");
  app.add_option("--rounds", options.rounds);
  CLI11_PARSE(app, argc, argv);
  return tidemark::run(std::move(options));
}
