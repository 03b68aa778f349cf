// What the Kafka source is told: librdkafka's properties, the topics, and where to report to.
//
// The exactness of the counters rests on some of librdkafka's properties (DESIGN P4, P6; EVENTS
// "librdkafka 2.0.2"). Those are ours: a user who sets them otherwise is refused with the reason.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemark {

// Name and value, as librdkafka's CONFIGURATION.md has them. A later one replaces an earlier one.
using KafkaProperties = std::vector<std::pair<std::string, std::string>>;

// How urgent a message is.
enum class KafkaLogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

// One message for the log. Never holds a secret or a value of a record. The views live as long as
// the call.
struct KafkaLog {
  KafkaLogLevel level = KafkaLogLevel::kInfo;
  std::string_view facility;  // short word, e.g. "topic_missing"; librdkafka's own are upper case
  std::string_view message;
};

// All callbacks run on the thread that calls the source, inside its calls, and must not throw.
struct KafkaOptions {
  KafkaProperties properties;
  // Exact names, or regular expressions that begin with ^.
  std::vector<std::string> topics;
  std::function<void(const KafkaLog&)> on_log;
  // librdkafka's statistics (STATISTICS.md), every statistics.interval.ms (5 s, when
  // that is not set).
  std::function<void(std::string_view json)> on_stats;
  // No broker answers any more (false), or one answers again (true). Once for each change; what was
  // never reported is reachable.
  std::function<void(bool reachable)> on_reachable;
  // So long must a refused log-in or TLS handshake last, with no broker reachable, until it is an
  // error: longer than a broker's restart that has its credentials a moment late, short enough that
  // an operator who mistyped a password sees it at once.
  std::chrono::milliseconds auth_patience{5'000};
  // Leaving the group may take so long. Members that don't leave are noticed by session.timeout.ms.
  std::chrono::milliseconds close_patience{3'000};
};

// Why these properties can't be used: one sentence each, which names the property and never its
// value when it is a secret. Empty: they can. Asks no broker.
std::vector<std::string> validate_kafka_properties(const KafkaProperties& properties);

// The properties that a source really runs with: ours, the user's, and our defaults for what the
// user left open. Only for properties without problems.
KafkaProperties effective_kafka_properties(const KafkaProperties& properties);

// Is the property's value a secret (password, key, token)?
bool is_secret_property(std::string_view name);

// `text` with each secret value of `properties` replaced by ***.
std::string without_secrets(std::string text, const KafkaProperties& properties);

}  // namespace tidemark
