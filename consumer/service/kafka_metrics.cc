#include "consumer/service/kafka_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace tidemark {
namespace {

using nlohmann::json;

// A number somewhere inside; 0 when it isn't there.
double number(const json& in, const char* pointer) {
  const json::json_pointer where(pointer);
  return in.contains(where) && in[where].is_number() ? in[where].get<double>() : 0;
}

// The object of that name; an empty one when it isn't there.
const json& members(const json& in, const char* name) {
  static const json none = json::object();
  const auto found = in.find(name);
  return found != in.end() && found->is_object() ? *found : none;
}

// librdkafka gives the sum since its start, Prometheus' counters are added to.
void raise(prometheus::Counter& counter, double to) {
  counter.Increment(std::max(0.0, to - counter.Value()));
}

}  // namespace

struct KafkaMetrics::Impl {
  prometheus::Registry& registry;

  prometheus::Gauge& gauge(const char* name, const char* help) const {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
  }
  prometheus::Counter& counter(const char* name, const char* help) const {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
  }

  prometheus::Counter& received =
      counter("tidemark_kafka_received_bytes_total", "Bytes of records that came from brokers.");
  prometheus::Counter& disconnects =
      counter("tidemark_kafka_disconnects_total", "Connections to brokers that ended.");
  prometheus::Gauge& brokers =
      gauge("tidemark_kafka_brokers_up", "Brokers that we are connected to.");
  prometheus::Gauge& round_trip =
      gauge("tidemark_kafka_round_trip_seconds", "Longest p99 of brokers' round trips lately.");
  prometheus::Gauge& queued_records =
      gauge("tidemark_kafka_queued_records", "Records that were fetched and not taken yet.");
  prometheus::Gauge& queued_bytes =
      gauge("tidemark_kafka_queued_bytes", "Bytes of records that were fetched and not taken yet.");
};

KafkaMetrics::KafkaMetrics(prometheus::Registry& registry) : impl_(new Impl{registry}) {}
KafkaMetrics::~KafkaMetrics() = default;

void KafkaMetrics::update(std::string_view statistics) {
  const json all = json::parse(statistics, nullptr, false);
  if (!all.is_object()) return;
  raise(impl_->received, number(all, "/rxmsg_bytes"));
  double up = 0;
  double disconnects = 0;
  double round_trip_us = 0;
  for (const auto& [name, broker] : members(all, "brokers").items()) {
    if (!broker.is_object()) continue;
    if (broker.value("state", "") == "UP") ++up;
    disconnects += number(broker, "/disconnects");
    round_trip_us = std::max(round_trip_us, number(broker, "/rtt/p99"));
  }
  double records = 0;
  double bytes = 0;
  for (const auto& [name, topic] : members(all, "topics").items()) {
    if (!topic.is_object()) continue;
    for (const auto& [id, partition] : members(topic, "partitions").items()) {
      records += number(partition, "/fetchq_cnt");
      bytes += number(partition, "/fetchq_size");
    }
  }
  raise(impl_->disconnects, disconnects);
  impl_->brokers.Set(up);
  impl_->round_trip.Set(round_trip_us / 1e6);
  impl_->queued_records.Set(records);
  impl_->queued_bytes.Set(bytes);
}

}  // namespace tidemark
