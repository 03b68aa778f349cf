#include "consumer/service/kafka_log.h"

#include <spdlog/spdlog.h>

namespace tidemark {

void log_kafka(const KafkaLog& log) {
  switch (log.level) {
    case KafkaLogLevel::kDebug:
      return spdlog::debug("kafka: {}: {}", log.facility, log.message);
    case KafkaLogLevel::kInfo:
      return spdlog::info("kafka: {}: {}", log.facility, log.message);
    case KafkaLogLevel::kWarning:
      return spdlog::warn("kafka: {}: {}", log.facility, log.message);
    case KafkaLogLevel::kError:
      return spdlog::error("kafka: {}: {}", log.facility, log.message);
  }
}

}  // namespace tidemark
