// What the Kafka clients have to say goes to the log.
#pragma once

#include "consumer/kafka/kafka_options.h"

namespace tidemark {

void log_kafka(const KafkaLog& log);

}  // namespace tidemark
