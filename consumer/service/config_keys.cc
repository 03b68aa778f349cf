#include "consumer/service/config_keys.h"

#include <algorithm>
#include <array>

namespace tidemark {
namespace {

constexpr auto kText = ConfigType::kText;
constexpr auto kTexts = ConfigType::kTexts;
constexpr auto kNumber = ConfigType::kNumber;
constexpr auto kFlag = ConfigType::kFlag;

// A unit test holds them against the parser.
constexpr std::int64_t kMillisMax = 3'600'000;
constexpr std::int64_t kCountMax = 1'000'000'000;
constexpr std::int64_t kBytesMax = std::int64_t{64} << 30;

constexpr std::array kKeys = {
    ConfigKey{"topics", "prefix", kText},
    ConfigKey{"topics", "list", kTexts},
    ConfigKey{"postgres", "connection", kText},
    ConfigKey{"postgres", "migrate_connection", kText},
    ConfigKey{"postgres", "allow_unverified_hosts", kFlag},
    ConfigKey{"postgres", "lock_timeout_ms", kNumber, 0, kMillisMax},
    ConfigKey{"postgres", "statement_timeout_ms", kNumber, 0, kMillisMax},
    ConfigKey{"source", "connection", kText},
    ConfigKey{"schemas", "path", kText},
    ConfigKey{"batch", "lanes", kNumber, 1, 64},
    ConfigKey{"batch", "rows_max", kNumber, 1, kCountMax},
    ConfigKey{"batch", "records_max", kNumber, 1, kCountMax},
    ConfigKey{"batch", "bytes_max", kNumber, 1, kBytesMax},
    ConfigKey{"batch", "age_max_ms", kNumber, 0, kMillisMax},
    ConfigKey{"batch", "catchup_age_max_ms", kNumber, 0, kMillisMax},
    ConfigKey{"batch", "catchup_records", kNumber, 1, kCountMax},
    ConfigKey{"recount", "enabled", kFlag},
    ConfigKey{"recount", "slot", kText},
    ConfigKey{"recount", "every_ms", kNumber, 0, kMillisMax},
    ConfigKey{"recount", "producers_ms", kNumber, 0, kMillisMax},
    ConfigKey{"recount", "silence_ms", kNumber, 0, kMillisMax},
    ConfigKey{"derive", "enabled", kFlag},
    ConfigKey{"derive", "threads", kNumber, 0, 64},
    ConfigKey{"derive", "users_max", kNumber, 1, 100'000},
    ConfigKey{"derive", "slow_ms", kNumber, 0, kMillisMax},
    ConfigKey{"derive", "sweep_every_ms", kNumber, 0, 2'592'000'000},
    ConfigKey{"limits", "message_bytes_max", kNumber, 1024, kBytesMax},
    ConfigKey{"limits", "depth_max", kNumber, 8, 1000},
    ConfigKey{"limits", "parked_max", kNumber, 1, kCountMax},
    ConfigKey{"http", "listen", kText},
    ConfigKey{"http", "token", kText},
    ConfigKey{"http", "token_file", kText},
    ConfigKey{"log", "level", kText},
    ConfigKey{"log", "format", kText},
};

}  // namespace

std::span<const ConfigKey> config_keys() { return kKeys; }

std::optional<ConfigKey> find_config_key(std::string_view section, std::string_view name) {
  const auto found = std::ranges::find_if(
      kKeys, [&](const ConfigKey& key) { return key.section == section && key.name == name; });
  if (found == kKeys.end()) return std::nullopt;
  return *found;
}

const std::vector<std::string>& log_levels() {
  static const std::vector<std::string> levels = {"trace", "debug", "info", "warn", "error"};
  return levels;
}

const std::vector<std::string>& log_formats() {
  static const std::vector<std::string> formats = {"auto", "logfmt", "json"};
  return formats;
}

}  // namespace tidemark
