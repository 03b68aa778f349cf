// librdkafka's configuration object, filled. Included by this folder's .cc files only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "consumer/kafka/kafka_handles.h"
#include "consumer/kafka/kafka_options.h"

namespace tidemark {

// A property's value; empty when it isn't there. Of several, the last, as librdkafka has it.
std::string kafka_property(const KafkaProperties& properties, std::string_view name);

// The effective properties, as an object. Only for properties without problems.
KafkaConf make_conf(const KafkaProperties& properties);

// A numeric property as librdkafka understood it.
std::int64_t conf_number(const rd_kafka_conf_t* conf, const char* name);

// librdkafka's levels are syslog's.
KafkaLogLevel level_of_syslog(int level);

}  // namespace tidemark
