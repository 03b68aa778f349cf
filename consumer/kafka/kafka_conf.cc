#include "consumer/kafka/kafka_conf.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

constexpr std::size_t kErrorTextBytes = 512;

}  // namespace

std::string kafka_property(const KafkaProperties& properties, std::string_view name) {
  for (auto it = properties.rbegin(); it != properties.rend(); ++it) {
    if (it->first == name) return it->second;
  }
  return {};
}

KafkaConf make_conf(const KafkaProperties& properties) {
  KafkaConf conf(rd_kafka_conf_new());
  for (const auto& [name, value] : effective_kafka_properties(properties)) {
    std::array<char, kErrorTextBytes> text{};
    const auto result =
        rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text.data(), text.size());
    // The user's were validated, and ours are right.
    TIDEMARK_CHECK(result == RD_KAFKA_CONF_OK);
  }
  return conf;
}

std::int64_t conf_number(const rd_kafka_conf_t* conf, const char* name) {
  std::array<char, 32> text{};
  std::size_t size = text.size();
  TIDEMARK_CHECK(rd_kafka_conf_get(conf, name, text.data(), &size) == RD_KAFKA_CONF_OK);
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + size, number);
  return number;
}

void throw_when_unusable(const std::vector<std::string>& problems) {
  if (problems.empty()) return;
  throw WorldError(ErrorKind::kConfig, fmt::format("kafka: {}", fmt::join(problems, "; ")));
}

KafkaClient make_client(KafkaConf conf, const KafkaProperties& properties) {
  std::array<char, kErrorTextBytes> text{};
  KafkaClient client(rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), text.data(), text.size()));
  if (!client) {
    throw WorldError(ErrorKind::kConfig,
                     without_secrets(fmt::format("kafka: {}", text.data()), properties));
  }
  static_cast<void>(conf.release());  // the client's now
  rd_kafka_poll_set_consumer(client.get());
  rd_kafka_set_log_queue(client.get(), nullptr);
  return client;
}

bool is_told_as_error(std::string_view facility) {
  return facility == "FAIL" || facility == "ERROR";
}

KafkaLogLevel level_of_syslog(int level) {
  constexpr int kSyslogError = 3;
  constexpr int kSyslogWarning = 4;
  constexpr int kSyslogInfo = 6;
  if (level <= kSyslogError) return KafkaLogLevel::kError;
  if (level == kSyslogWarning) return KafkaLogLevel::kWarning;
  return level <= kSyslogInfo ? KafkaLogLevel::kInfo : KafkaLogLevel::kDebug;
}

}  // namespace tidemark
