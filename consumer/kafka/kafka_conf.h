// librdkafka's configuration object, filled. Included by this folder's .cc files only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/kafka/kafka_client.h"
#include "consumer/kafka/kafka_handles.h"
#include "consumer/kafka/kafka_options.h"

namespace tidemark {

// A property's value; empty when it isn't there. Of several, the last, as librdkafka has it.
std::string kafka_property(const KafkaProperties& properties, std::string_view name);

// The effective properties, as an object. Only for properties without problems.
KafkaConf make_conf(const KafkaProperties& properties);

// A numeric property as librdkafka understood it.
std::int64_t conf_number(const rd_kafka_conf_t* conf, const char* name);

// Throws WorldError(kConfig) when there are problems.
void throw_when_unusable(const std::vector<std::string>& problems);

// A consumer, whose callbacks and logs all come inside our polls. Throws WorldError(kConfig).
KafkaClient make_client(KafkaConf conf, const KafkaProperties& properties);

// Does a log line of this facility come a second time, through the error callback?
bool is_told_as_error(std::string_view facility);

// librdkafka's levels are syslog's.
KafkaLogLevel level_of_syslog(int level);

}  // namespace tidemark
