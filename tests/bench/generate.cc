// Fills a topic with events of a reposts table (repost_events.h), and writes the counts that they
// add up to.
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "tests/bench/repost_events.h"

namespace tidemark::bench {
namespace {

constexpr int kFlushMs = 120'000;
constexpr std::int64_t kServeEvery = 1000;  // events between looks at delivery reports

struct Options {
  std::string brokers;
  std::string topic;
  std::string truth;
  std::int64_t events = 4'000'000;
  double rate = 0;  // events/s; 0: as fast as it goes
  // What the producer waits to fill a request. Without any, the broker is kept busy by requests.
  int linger_ms = 20;
  EventOptions event;
};

struct Destroy {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
  void operator()(rd_kafka_topic_t* handle) const { rd_kafka_topic_destroy(handle); }
};

class Producer {
 public:
  explicit Producer(const Options& options) {
    char error[512];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    const std::pair<const char*, std::string> properties[] = {
        {"bootstrap.servers", options.brokers},
        {"queue.buffering.max.messages", "200000"},
        {"queue.buffering.max.kbytes", "262144"},
        {"batch.size", "1000000"},
        {"linger.ms", std::to_string(options.linger_ms)},
        {"enable.idempotence", "true"},  // a retry must not change the order
        {"partitioner", "murmur2_random"}};
    for (const auto& [name, value] : properties) {
      if (rd_kafka_conf_set(conf, name, value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK) {
        throw std::runtime_error(error);
      }
    }
    handle_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error));
    if (!handle_) throw std::runtime_error(error);
    topic_.reset(rd_kafka_topic_new(handle_.get(), options.topic.c_str(), nullptr));
  }

  void send(const std::string& key, const std::string& value) {
    // librdkafka takes a pointer that isn't const, and with MSG_F_COPY only reads it.
    auto* bytes = const_cast<char*>(value.data());
    while (rd_kafka_produce(topic_.get(), RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, bytes,
                            value.size(), key.data(), key.size(), nullptr) != 0) {
      if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        throw std::runtime_error(rd_kafka_err2str(rd_kafka_last_error()));
      }
      rd_kafka_poll(handle_.get(), 10);
    }
    if (++sent_ % kServeEvery == 0) rd_kafka_poll(handle_.get(), 0);
  }

  void flush() {
    rd_kafka_flush(handle_.get(), kFlushMs);
    if (rd_kafka_outq_len(handle_.get()) != 0) {
      throw std::runtime_error("not all events were taken");
    }
  }

 private:
  std::unique_ptr<rd_kafka_t, Destroy> handle_;
  std::unique_ptr<rd_kafka_topic_t, Destroy> topic_;
  std::int64_t sent_ = 0;
};

void produce_all(const Options& options, RepostEvents& events) {
  Producer producer(options);
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < options.events; ++i) {
    if (options.rate > 0) {
      const std::chrono::duration<double> due(static_cast<double>(i) / options.rate);
      std::this_thread::sleep_until(
          start + std::chrono::duration_cast<std::chrono::steady_clock::duration>(due));
    }
    events.next();
    producer.send(events.key(), events.value());
  }
  producer.flush();
}

// user or item, id, count: one line each, those that are not 0.
void write_truth(const std::string& file, const RepostEvents& events) {
  std::FILE* out = std::fopen(file.c_str(), "w");
  if (out == nullptr) throw std::runtime_error("can't write " + file);
  for (std::size_t id = 0; id < events.users().size(); ++id) {
    if (events.users()[id] != 0) fmt::print(out, "user\t{}\t{}\n", id, events.users()[id]);
    if (events.items()[id] != 0) fmt::print(out, "item\t{}\t{}\n", id, events.items()[id]);
  }
  if (std::fclose(out) != 0) throw std::runtime_error("can't write " + file);
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  tidemark::bench::Options options;
  CLI::App app("Fills a topic with events of a reposts table.");
  app.add_option("--brokers", options.brokers, "bootstrap.servers")->required();
  app.add_option("--topic", options.topic, "an existing topic")->required();
  app.add_option("--truth", options.truth, "file for the counts that the events add up to");
  app.add_option("--events", options.events, "how many");
  app.add_option("--rate", options.rate, "events/s; 0: as fast as it goes");
  app.add_option("--linger-ms", options.linger_ms, "how long the producer fills a request");
  app.add_option("--ids", options.event.ids, "distinct users, and distinct items");
  app.add_option("--zipf", options.event.zipf, "exponent of the ids' distribution; 0: uniform");
  app.add_option("--seed", options.event.seed, "of the random choices");
  app.add_option("--bytes", options.event.bytes, "size of an event's value");
  CLI11_PARSE(app, argc, argv);
  try {
    tidemark::bench::RepostEvents events(options.event);
    produce_all(options, events);
    if (!options.truth.empty()) tidemark::bench::write_truth(options.truth, events);
  } catch (const std::exception& error) {
    fmt::print(stderr, "generate: {}\n", error.what());
    return 70;
  }
  return 0;
}
