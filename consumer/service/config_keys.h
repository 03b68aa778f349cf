// The keys of the configuration, what they can be, and where their values came from.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark {

enum class ConfigType : std::uint8_t { kText, kTexts, kNumber, kFlag };

struct ConfigKey {
  std::string_view section;
  std::string_view name;
  ConfigType type;
  std::int64_t low = 0;  // kNumber: the least and the most that the parser takes
  std::int64_t high = 0;
};

// All but those that the user names: librdkafka's in [kafka], and tables in [topics.map].
std::span<const ConfigKey> config_keys();
// None: there is no such key.
std::optional<ConfigKey> find_config_key(std::string_view section, std::string_view name);

// What [log] level and format can be.
const std::vector<std::string>& log_levels();
const std::vector<std::string>& log_formats();

// "section.name" -> "tidemark.toml:12" or "TIDEMARK__SECTION__NAME"; what is not in it is a
// default.
using ConfigOrigins = std::map<std::string, std::string>;

}  // namespace tidemark
