#include "consumer/kafka/kafka_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "consumer/kafka/kafka_handles.h"

namespace tidemark {
namespace {

// Properties that are ours, with the one value that they may have.
struct Ours {
  std::string_view name;
  std::string_view value;
  std::string_view why;
};

constexpr std::array kOurs = {
    Ours{"enable.auto.commit", "false", "progress is kept in Postgres, with the counters"},
    Ours{"enable.auto.offset.store", "false", "progress is kept in Postgres, with the counters"},
    Ours{"auto.offset.reset", "error",
         "records that are gone must be noticed (DATA_LOSS), never jumped over"},
    Ours{"isolation.level", "read_committed",
         "an aborted transaction's records must not be counted"},
    Ours{"enable.partition.eof", "false", "the end of a partition is not an event here"},
    Ours{"allow.auto.create.topics", "false",
         "a mistyped topic must be seen, not made with the broker's default partitions"},
    Ours{"log.queue", "true", "messages are reported on the thread that polls"},
};

// Properties that can't be set at all.
struct Refused {
  std::string_view name;
  std::string_view why;
};

constexpr std::array kRefused = {
    Refused{"auto.commit.enable", "progress is kept in Postgres, with the counters"},
    Refused{"auto.commit.interval.ms", "nothing is committed by itself"},
    Refused{"offset.store.method", "progress is kept in Postgres, with the counters"},
    Refused{"offset.store.path", "progress is kept in Postgres, with the counters"},
    Refused{"offset.store.sync.interval.ms", "progress is kept in Postgres, with the counters"},
    Refused{"group.protocol", "partitions are taken over eagerly, by the classic protocol"},
    Refused{"group.protocol.type", "the group's members are consumers"},
    Refused{"group.remote.assignor", "partitions are taken over eagerly, by the classic protocol"},
    Refused{"enabled_events", "events are the source's own"},
    Refused{"opaque", "it is the source's own"},
    Refused{"default_topic_conf", "set the topic's properties by their names"},
    Refused{"interceptors", "foreign code can't see records"},
    Refused{"plugin.library.paths", "foreign code can't be loaded"},
};

constexpr std::array<std::string_view, 6> kSecrets = {
    "sasl.password",         "ssl.key.password",        "ssl.key.pem",
    "ssl.keystore.password", "sasl.oauthbearer.config", "sasl.oauthbearer.client.secret",
};

constexpr std::string_view kStrategy = "partition.assignment.strategy";

// What we set when the user doesn't. The comments say the trade-off.
constexpr std::array<std::pair<std::string_view, std::string_view>, 23> kDefaults = {{
    {"client.id", "tidemark"},
    // Round robin first: the tables' topics often have one partition each, and range would give
    // them all to one member. Range too, so that a group can be moved from it without a stop.
    {kStrategy, "roundrobin,range"},
    // Prefetched records: enough for some 100 ms at full speed, little beside the memory budget.
    {"queued.max.messages.kbytes", "32768"},
    // One answer: at most this on top of the queue for each broker, however many partitions.
    {"fetch.max.bytes", "16777216"},
    {"fetch.message.max.bytes", "2097152"},
    // A single record that is larger than all that still comes: it must be parked, not stall.
    {"receive.message.max.bytes", "268435456"},
    {"fetch.min.bytes", "1"},
    // A broker answers as soon as it has a record, so this delays none; but a partition that comes
    // or is resumed waits for the request under way to end.
    {"fetch.wait.max.ms", "100"},
    {"fetch.error.backoff.ms", "100"},
    // A flipped bit becomes an error instead of a wrong counter; a few percent of a core.
    {"check.crcs", "true"},
    // A killed member's partitions wait so long for a new owner. Heartbeats have their own thread.
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "2000"},
    // A member that doesn't poll for so long is stuck: everything slow polls meanwhile.
    {"max.poll.interval.ms", "60000"},
    // New partitions and topics are seen within this time.
    {"topic.metadata.refresh.interval.ms", "5000"},
    {"topic.metadata.propagation.max.ms", "5000"},
    // A coordinator that is gone is looked for every second (a tenth of this).
    {"coordinator.query.interval.ms", "10000"},
    // Back within two seconds after an outage, without a storm meanwhile.
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "2000"},
    // A broker that is frozen or cut off is given up, and others are asked.
    {"socket.timeout.ms", "15000"},
    {"socket.connection.setup.timeout.ms", "10000"},
    {"socket.keepalive.enable", "true"},
    {"socket.nagle.disable", "true"},
    {"log.connection.close", "false"},  // idle connections end all the time
}};

// Only read by validate: librdkafka's buffer for its own explanation.
constexpr std::size_t kErrorTextBytes = 512;

bool ends_with_callback(std::string_view name) { return name.ends_with("_cb"); }

std::string bad_strategy(std::string_view value) {
  while (!value.empty()) {
    const std::size_t comma = value.find(',');
    const std::string_view one = value.substr(0, comma);
    if (one.starts_with("cooperative")) {
      return fmt::format(
          "{}: cooperative-sticky loses partitions with librdkafka before 2.6.1, and partitions "
          "are "
          "taken over eagerly here; use range or roundrobin",
          kStrategy);
    }
    if (one != "range" && one != "roundrobin") {
      return fmt::format("{}: may only be range, roundrobin or both with a comma", kStrategy);
    }
    if (comma == std::string_view::npos) return {};
    value.remove_prefix(comma + 1);
  }
  return fmt::format("{}: is empty; use range or roundrobin", kStrategy);
}

// What speaks against one property, from our side; empty when nothing does.
std::string against(std::string_view name, std::string_view value) {
  const auto ours = std::ranges::find(kOurs, name, &Ours::name);
  if (ours != kOurs.end() && value != ours->value) {
    return fmt::format("{}: may only be {}: {}", name, ours->value, ours->why);
  }
  const auto refused = std::ranges::find(kRefused, name, &Refused::name);
  if (refused != kRefused.end()) return fmt::format("{}: can't be set: {}", name, refused->why);
  if (ends_with_callback(name)) return fmt::format("{}: callbacks are the source's own", name);
  if (name == kStrategy) return bad_strategy(value);
  return {};
}

// What librdkafka itself says against it.
std::string against_by_librdkafka(rd_kafka_conf_t* conf, const std::string& name,
                                  const std::string& value) {
  std::array<char, kErrorTextBytes> text{};
  const rd_kafka_conf_res_t result =
      rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size());
  if (result == RD_KAFKA_CONF_OK) return {};
  if (is_secret_property(name)) return fmt::format("{}: librdkafka refuses its value", name);
  return fmt::format("{}: {}", name, text.data());
}

bool has_value(const KafkaProperties& properties, std::string_view name) {
  return std::ranges::any_of(
      properties, [&](const auto& entry) { return entry.first == name && !entry.second.empty(); });
}

bool names(const KafkaProperties& properties, std::string_view name) {
  return std::ranges::any_of(properties, [&](const auto& entry) { return entry.first == name; });
}

// librdkafka knows one property under several names; a default must not override the other name.
bool user_set(const KafkaProperties& properties, std::string_view name) {
  if (name == "fetch.message.max.bytes" && names(properties, "max.partition.fetch.bytes")) {
    return true;
  }
  return names(properties, name);
}

}  // namespace

bool is_secret_property(std::string_view name) {
  return std::ranges::find(kSecrets, name) != kSecrets.end();
}

std::string without_secrets(std::string text, const KafkaProperties& properties) {
  for (const auto& [name, secret] : properties) {
    if (secret.empty() || !is_secret_property(name)) continue;
    for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at)) {
      text.replace(at, secret.size(), "***");
      at += 3;
    }
  }
  return text;
}

std::vector<std::string> validate_kafka_properties(const KafkaProperties& properties) {
  std::vector<std::string> problems;
  const KafkaConf conf(rd_kafka_conf_new());
  for (const auto& [name, value] : properties) {
    std::string problem = against(name, value);
    if (problem.empty()) problem = against_by_librdkafka(conf.get(), name, value);
    if (!problem.empty()) problems.push_back(std::move(problem));
  }
  if (!has_value(properties, "bootstrap.servers") &&
      !has_value(properties, "metadata.broker.list")) {
    problems.emplace_back("bootstrap.servers: is missing; name one or more brokers as host:port");
  }
  if (!has_value(properties, "group.id")) {
    problems.emplace_back("group.id: is missing; all members of one service share it");
  }
  return problems;
}

KafkaProperties effective_kafka_properties(const KafkaProperties& properties) {
  KafkaProperties all = properties;
  for (const auto& [name, value] : kDefaults) {
    if (!user_set(properties, name)) all.emplace_back(name, value);
  }
  for (const Ours& ours : kOurs) all.emplace_back(ours.name, ours.value);
  return all;
}

}  // namespace tidemark
