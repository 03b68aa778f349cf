// The configuration as it counts, and as a JSON Schema.
#pragma once

#include <string>

#include "consumer/service/config.h"
#include "consumer/service/config_keys.h"

namespace tidemark {

// TOML with every key, librdkafka's as they really are, and behind each where it comes from.
// Secrets are ***.
std::string show_config(const Config& config, const ConfigOrigins& origins);

// A JSON Schema (2020-12) of the file, for editors: types, bounds, defaults.
std::string config_schema();

}  // namespace tidemark
