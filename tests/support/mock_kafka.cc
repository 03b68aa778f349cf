#include "tests/support/mock_kafka.h"

#include <librdkafka/rdkafka.h>
// After rdkafka.h.
#include <librdkafka/rdkafka_mock.h>

#include <array>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

constexpr int kFlushTimeoutMs = 120'000;

struct Destroy {
  void operator()(rd_kafka_t* client) const noexcept { rd_kafka_destroy(client); }
  void operator()(rd_kafka_conf_t* conf) const noexcept { rd_kafka_conf_destroy(conf); }
  void operator()(rd_kafka_mock_cluster_t* cluster) const noexcept {
    rd_kafka_mock_cluster_destroy(cluster);
  }
};

using Client = std::unique_ptr<rd_kafka_t, Destroy>;
using Conf = std::unique_ptr<rd_kafka_conf_t, Destroy>;

void set(rd_kafka_conf_t* conf, const char* name, const char* value) {
  std::array<char, 256> text{};
  const auto result = rd_kafka_conf_set(conf, name, value, text.data(), text.size());
  TIDEMARK_CHECK(result == RD_KAFKA_CONF_OK);
}

Client make_producer(Conf conf) {
  std::array<char, 256> text{};
  Client client(rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), text.data(), text.size()));
  TIDEMARK_CHECK(client != nullptr);
  static_cast<void>(conf.release());  // the client's now
  return client;
}

// Leaves the record's offset where the producer asked for it. An error is a bug of the test.
void delivered(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  TIDEMARK_CHECK(message->err == RD_KAFKA_RESP_ERR_NO_ERROR);
  if (message->_private != nullptr) {
    *static_cast<std::int64_t*>(message->_private) = message->offset;
  }
}

void* bytes(const std::optional<std::string_view>& view) {
  if (!view) return nullptr;
  // librdkafka takes a null pointer for null, and doesn't write through what it copies.
  return const_cast<char*>(view->data() == nullptr ? "" : view->data());
}

}  // namespace

struct MockKafka::Impl {
  Client host;  // only carries the cluster
  std::unique_ptr<rd_kafka_mock_cluster_t, Destroy> cluster;
  Client producer;

  void send(const MockKafka::Message& message, std::int64_t* offset) {
    std::array<rd_kafka_vu_t, 7> fields{};
    fields[0].vtype = RD_KAFKA_VTYPE_TOPIC;
    fields[0].u.cstr = message.topic.c_str();
    fields[1].vtype = RD_KAFKA_VTYPE_PARTITION;
    fields[1].u.i32 = message.partition;
    fields[2].vtype = RD_KAFKA_VTYPE_KEY;
    fields[2].u.mem = {bytes(message.key), message.key ? message.key->size() : 0};
    fields[3].vtype = RD_KAFKA_VTYPE_VALUE;
    fields[3].u.mem = {bytes(message.value), message.value ? message.value->size() : 0};
    fields[4].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    fields[4].u.i64 = message.timestamp_ms;
    fields[5].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    fields[5].u.i = RD_KAFKA_MSG_F_COPY;
    fields[6].vtype = RD_KAFKA_VTYPE_OPAQUE;
    fields[6].u.ptr = offset;
    const rd_kafka_error_t* error =
        rd_kafka_produceva(producer.get(), fields.data(), fields.size());
    TIDEMARK_CHECK(error == nullptr);
  }

  void flush() {
    TIDEMARK_CHECK(rd_kafka_flush(producer.get(), kFlushTimeoutMs) == RD_KAFKA_RESP_ERR_NO_ERROR);
  }
};

MockKafka::MockKafka(int brokers) : impl_(std::make_unique<Impl>()) {
  Conf host(rd_kafka_conf_new());
  set(host.get(), "receive.message.max.bytes", "200000000");
  set(host.get(), "log_level", "0");
  impl_->host = make_producer(std::move(host));
  impl_->cluster.reset(rd_kafka_mock_cluster_new(impl_->host.get(), brokers));
  TIDEMARK_CHECK(impl_->cluster != nullptr);
  bootstrap_servers_ = rd_kafka_mock_cluster_bootstraps(impl_->cluster.get());

  Conf conf(rd_kafka_conf_new());
  set(conf.get(), "bootstrap.servers", bootstrap_servers_.c_str());
  set(conf.get(), "log_level", "0");
  set(conf.get(), "linger.ms", "1");
  set(conf.get(), "message.max.bytes", "200000000");
  // Batches stay small enough for the mock to purge by batch, as brokers do by segment.
  set(conf.get(), "batch.size", "100000");
  rd_kafka_conf_set_dr_msg_cb(conf.get(), &delivered);
  impl_->producer = make_producer(std::move(conf));
}

MockKafka::~MockKafka() = default;

std::vector<std::pair<std::string, std::string>> MockKafka::properties(
    std::string_view group) const {
  return {{"bootstrap.servers", bootstrap_servers_},
          {"group.id", std::string(group)},
          // Above the 3 s that the mock lets a first member wait: it would be thrown out.
          {"session.timeout.ms", "4000"},
          {"heartbeat.interval.ms", "100"},
          {"fetch.wait.max.ms", "10"},
          {"fetch.error.backoff.ms", "10"},
          {"reconnect.backoff.ms", "10"},
          {"reconnect.backoff.max.ms", "100"},
          {"coordinator.query.interval.ms", "500"},
          // Metadata that comes while a leader looks up its partitions makes it join anew (2.0.2),
          // and the mock answers a join after 3 s: no multiple of this may be near that.
          {"topic.metadata.refresh.interval.ms", "700"},
          {"topic.metadata.propagation.max.ms", "100"}};
}

void MockKafka::create_topic(const std::string& topic, int partitions) {
  const auto error = rd_kafka_mock_topic_create(impl_->cluster.get(), topic.c_str(), partitions, 1);
  TIDEMARK_CHECK(error == RD_KAFKA_RESP_ERR_NO_ERROR);
}

std::int64_t MockKafka::produce(const Message& message) {
  std::int64_t offset = -1;
  impl_->send(message, &offset);
  impl_->flush();
  return offset;
}

void MockKafka::produce_numbers(const std::string& topic, std::int32_t partition, int first,
                                int count, std::size_t value_bytes) {
  for (int i = first; i < first + count; ++i) {
    const std::string key = std::to_string(i);
    std::string value = key;
    if (value.size() < value_bytes) value.resize(value_bytes, ' ');
    impl_->send({topic, partition, key, value}, nullptr);
  }
  impl_->flush();
}

void MockKafka::fail_next(Api api, const std::vector<int>& codes) {
  std::vector<rd_kafka_resp_err_t> errors;
  for (const int code : codes) errors.push_back(static_cast<rd_kafka_resp_err_t>(code));
  rd_kafka_mock_push_request_errors_array(impl_->cluster.get(), static_cast<std::int16_t>(api),
                                          errors.size(), errors.data());
}

void MockKafka::fail_no_more(Api api) {
  rd_kafka_mock_clear_request_errors(impl_->cluster.get(), static_cast<std::int16_t>(api));
}

void MockKafka::fail_topic(const std::string& topic, int code) {
  rd_kafka_mock_topic_set_error(impl_->cluster.get(), topic.c_str(),
                                static_cast<rd_kafka_resp_err_t>(code));
}

void MockKafka::set_down(int broker) {
  rd_kafka_mock_broker_set_down(impl_->cluster.get(), broker);
}

void MockKafka::set_up(int broker) { rd_kafka_mock_broker_set_up(impl_->cluster.get(), broker); }

void MockKafka::move_leader(const std::string& topic, std::int32_t partition, int broker) {
  rd_kafka_mock_partition_set_leader(impl_->cluster.get(), topic.c_str(), partition, broker);
}

void MockKafka::move_coordinator(const std::string& group, int broker) {
  rd_kafka_mock_coordinator_set(impl_->cluster.get(), "group", group.c_str(), broker);
}

}  // namespace tidemark
