#include "consumer/service/config.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <regex>
#include <sstream>

#include "consumer/core/declaration_toml_section.h"
#include "consumer/service/config_overrides.h"

extern char** environ;

namespace tidemark {
namespace {

using std::chrono::milliseconds;

// Bounds of numbers below: far beyond what is sensible, so that a slip of a unit is noticed.
constexpr std::int64_t kMillisMax = 3'600'000;
constexpr std::int64_t kSweepMillisMax = 2'592'000'000;  // 30 days
constexpr std::int64_t kCountMax = 1'000'000'000;
constexpr std::int64_t kBytesMax = std::int64_t{64} << 30;
constexpr std::int64_t kLanesMax = 64;

bool is_loopback(const std::string& host) {
  in6_addr six{};
  in_addr four{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24U == 127;
  if (inet_pton(AF_INET6, host.c_str(), &six) == 1) return IN6_IS_ADDR_LOOPBACK(&six) != 0;
  return host == "localhost";
}

class Reader {
 public:
  Reader(const std::string& file, const std::map<std::string, std::string>& environment)
      : folder_(std::filesystem::path(file).parent_path()), environment_(environment) {}

  Config read(const Section& root) {
    root.allow_keys({"kafka", "topics", "postgres", "source", "schemas", "batch", "recount",
                     "derive", "limits", "http", "log"});
    Config config;
    if (auto s = required(root, "kafka")) read_kafka(*s, "", config);
    if (auto s = required(root, "topics")) read_topics(*s, config.topics);
    if (auto s = required(root, "postgres")) read_postgres(*s, config.postgres);
    if (auto s = root.section("source")) read_source(*s, config);
    if (auto s = root.section("schemas")) read_schemas(*s, config);
    if (auto s = root.section("batch")) read_batch(*s, config);
    if (auto s = root.section("recount")) read_recount(*s, config);
    if (auto s = root.section("derive")) read_derive(*s, config.derive);
    if (auto s = root.section("limits")) read_limits(*s, config.pipeline);
    if (auto s = root.section("http")) read_http(*s, config.http);
    if (auto s = root.section("log")) read_log(*s, config.log);
    return config;
  }

 private:
  static std::optional<Section> required(const Section& root, std::string_view key) {
    if (!root.has(key)) root.error(root.place(), fmt::format("section [{}] is missing", key));
    return root.section(key);
  }

  std::string expand(const Section& section, const PlacedText& value) const {
    if (value.place.line == 0) return value.text;  // of the environment already: it stands as it is
    static const std::regex reference(R"(\$\{([A-Za-z_][A-Za-z0-9_]*)\})");
    std::string out;
    auto rest = value.text.cbegin();
    for (std::sregex_iterator it(value.text.begin(), value.text.end(), reference), end; it != end;
         ++it) {
      out.append(rest, (*it)[0].first);
      const auto found = environment_.find((*it)[1].str());
      if (found != environment_.end()) {
        out += found->second;
      } else {
        section.error(value.place,
                      fmt::format("environment variable '{}' is not set", (*it)[1].str()));
      }
      rest = (*it)[0].second;
    }
    return out.append(rest, value.text.cend());
  }

  void text(const Section& section, std::string_view key, std::string& out) const {
    if (auto value = section.optional_text(key)) out = expand(section, *value);
  }

  template <class T>
  static void count(const Section& section, std::string_view key, std::int64_t low,
                    std::int64_t high, T& out) {
    if (auto value = section.number(key, low, high)) out = static_cast<T>(*value);
  }
  static void millis(const Section& section, std::string_view key, milliseconds& out,
                     std::int64_t most = kMillisMax) {
    if (auto value = section.number(key, 0, most)) out = milliseconds(*value);
  }

  // `a.b = 1` is a table in a table in TOML; librdkafka's names have the dots.
  void read_kafka(const Section& section, const std::string& prefix, Config& config) {
    for (const SectionEntry& entry : section.entries()) {
      const std::string name = prefix + entry.key.text;
      if (const auto* table = entry.value->as_table()) {
        read_kafka(section.of(*table), name + ".", config);
      } else if (const auto* string = entry.value->as_string()) {
        const PlacedText value{string->get(), section.place_of(*entry.value)};
        config.kafka.emplace_back(name, expand(section, value));
      } else if (const auto* number = entry.value->as_integer()) {
        config.kafka.emplace_back(name, std::to_string(number->get()));
      } else if (const auto* flag = entry.value->as_boolean()) {
        config.kafka.emplace_back(name, flag->get() ? "true" : "false");
      } else {
        section.error(section.place_of(*entry.value),
                      fmt::format("'{}' is {}; expected a string, an integer or a boolean", name,
                                  kind_of(*entry.value)));
      }
    }
  }

  void read_topics(const Section& section, Config::Topics& topics) const {
    section.allow_keys({"prefix", "map", "list"});
    text(section, "prefix", topics.prefix);
    if (section.has("list")) {
      for (const PlacedText& topic : section.texts("list")) {
        topics.list.push_back(expand(section, topic));
      }
    }
    if (auto map = section.section("map")) {
      for (const SectionEntry& entry : map->entries()) {
        if (auto topic = map->text(entry.key.text)) {
          topics.map[entry.key.text] = expand(*map, *topic);
        }
      }
    }
    if (topics.prefix.empty() && topics.list.empty() && topics.map.empty()) {
      section.error(section.place(), "[topics] needs 'prefix', 'list' or 'map'");
    }
  }

  void read_postgres(const Section& section, Config::Postgres& postgres) const {
    section.allow_keys({"connection", "migrate_connection", "allow_unverified_hosts",
                        "lock_timeout_ms", "statement_timeout_ms"});
    text(section, "connection", postgres.connection);
    text(section, "migrate_connection", postgres.migrate_connection);
    if (const auto allow = section.flag("allow_unverified_hosts")) {
      postgres.allow_unverified_hosts = *allow;
    }
    millis(section, "lock_timeout_ms", postgres.lock_timeout);
    millis(section, "statement_timeout_ms", postgres.statement_timeout);
  }

  void read_source(const Section& section, Config& config) const {
    section.allow_keys({"connection"});
    text(section, "connection", config.source_connection);
  }

  void read_schemas(const Section& section, Config& config) const {
    section.allow_keys({"path"});
    std::string path;
    text(section, "path", path);
    if (!path.empty()) config.schemas = folder_ / path;
  }

  void read_batch(const Section& section, Config& config) const {
    section.allow_keys({"lanes", "rows_max", "records_max", "bytes_max", "age_max_ms",
                        "catchup_age_max_ms", "catchup_records"});
    BatchLimits& batch = config.pipeline.batch;
    count(section, "lanes", 1, kLanesMax, config.lanes);
    count(section, "rows_max", 1, kCountMax, batch.rows_max);
    count(section, "records_max", 1, kCountMax, batch.records_max);
    count(section, "bytes_max", 1, kBytesMax, batch.bytes_max);
    millis(section, "age_max_ms", batch.age_max);
    millis(section, "catchup_age_max_ms", batch.catchup_age_max);
    count(section, "catchup_records", 1, kCountMax, batch.catchup_records);
  }

  void read_recount(const Section& section, Config& config) const {
    section.allow_keys({"enabled", "slot", "every_ms", "producers_ms", "silence_ms"});
    if (const auto enabled = section.flag("enabled")) config.recount.enabled = *enabled;
    text(section, "slot", config.recount.slot);
    millis(section, "every_ms", config.recount.every);
    millis(section, "producers_ms", config.recount.producers);
    millis(section, "silence_ms", config.recount.silence);
    config.pipeline.not_new = config.recount.enabled ? NotNewPolicy::kSuspect : NotNewPolicy::kDrop;
  }

  static void read_derive(const Section& section, Config::Derive& derive) {
    section.allow_keys({"enabled", "threads", "users_max", "slow_ms", "sweep_every_ms"});
    if (const auto enabled = section.flag("enabled")) derive.enabled = *enabled;
    count(section, "threads", 0, kLanesMax, derive.threads);
    count(section, "users_max", 1, 100'000, derive.users_max);
    millis(section, "slow_ms", derive.slow);
    millis(section, "sweep_every_ms", derive.sweep_every, kSweepMillisMax);
  }

  void read_limits(const Section& section, PipelineOptions& options) const {
    section.allow_keys({"message_bytes_max", "depth_max", "parked_max"});
    count(section, "message_bytes_max", 1024, kBytesMax, options.decode.message_bytes_max);
    count(section, "depth_max", 8, 1000, options.decode.depth_max);
    count(section, "parked_max", 1, kCountMax, options.parked_max);
  }

  void read_http(const Section& section, Config::Http& http) const {
    section.allow_keys({"listen", "token", "token_file"});
    if (const auto token = section.optional_text("token")) {
      http.token = expand(section, *token);
      if (http.token.empty()) section.error(token->place, "the environment's 'token' is empty");
    }
    std::string token_file;
    text(section, "token_file", token_file);
    if (!token_file.empty()) http.token_file = folder_ / token_file;
    if (!http.token.empty() && !token_file.empty()) {
      section.error(section.place_of("token_file"), "set 'token' or 'token_file', not both");
    }
    if (const auto listen = section.optional_text("listen")) read_listen(section, *listen, http);
  }

  void read_listen(const Section& section, const PlacedText& listen, Config::Http& http) const {
    const std::string value = expand(section, listen);
    const auto colon = value.rfind(':');
    const char* begin = value.data() + (colon == std::string::npos ? value.size() : colon + 1);
    const char* end = value.data() + value.size();
    const auto [last, error] = std::from_chars(begin, end, http.port);
    if (error != std::errc{} || last != end || http.port < 0 || http.port > 65535) {
      section.error(listen.place, "'listen' must be host:port, as in \"127.0.0.1:9464\"");
      return;
    }
    http.host = value.substr(0, colon);
    if (http.host.starts_with('[') && http.host.ends_with(']')) {  // IPv6, as in URLs
      http.host = http.host.substr(1, http.host.size() - 2);
    }
    if (is_loopback(http.host) || !http.token.empty() || !http.token_file.empty()) return;
    section.error(listen.place,
                  "'listen' is beyond this machine: set 'token_file', or 'token' from the "
                  "environment, that who asks for figures must have");
  }

  void read_log(const Section& section, Config::Log& log) const {
    section.allow_keys({"level", "format"});
    one_of(section, "level", log_levels(), log.level);
    one_of(section, "format", log_formats(), log.format);
  }

  void one_of(const Section& section, std::string_view key, const std::vector<std::string>& known,
              std::string& out) const {
    text(section, key, out);
    if (std::ranges::find(known, out) != known.end()) return;
    section.error(section.place_of(key),
                  fmt::format("unknown {} '{}'; expected {}", key, out, alternatives(known)));
  }

  std::filesystem::path folder_;
  const std::map<std::string, std::string>& environment_;
};

std::map<std::string, std::string> process_environment() {
  std::map<std::string, std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view line(*entry);
    const auto equals = line.find('=');
    if (equals != std::string_view::npos)
      out.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return out;
}

}  // namespace

std::variant<Config, std::vector<DeclarationError>> parse_config(
    const std::string& file, std::string_view text,
    const std::map<std::string, std::string>& environment, ConfigOrigins* origins) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    return std::vector<DeclarationError>{{.file = file,
                                          .line = error.source().begin.line,
                                          .column = error.source().begin.column,
                                          .message = std::string(error.description())}};
  }
  ErrorList errors;
  ConfigOrigins noted;
  note_places(table, file, noted);
  apply_overrides(table, environment, errors, noted);
  if (origins != nullptr) *origins = std::move(noted);
  Config config = Reader(file, environment).read(Section(table, file, errors));
  if (!errors.empty()) return errors.take_sorted();
  return config;
}

std::variant<Config, std::vector<DeclarationError>> load_config(const std::filesystem::path& file,
                                                                ConfigOrigins* origins) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) {
    return std::vector<DeclarationError>{
        {.file = file.string(), .message = "can't be read; name a configuration file by --config"}};
  }
  return parse_config(file.string(), text.str(), process_environment(), origins);
}

std::map<std::string, TopicTables> resolve_topics(const Config::Topics& topics,
                                                  const Declaration& declaration) {
  std::map<std::string, TopicTables> out;
  for (const auto& [table, topic] : topics.map) {
    const auto named = [&](const Table& declared) { return declared.name.text() == table; };
    if (std::ranges::any_of(declaration.tables, named)) continue;
    throw WorldError(ErrorKind::kConfig,
                     fmt::format("[topics.map]: no watched table is named '{}'; write it as "
                                 "\"schema.table\", as its declaration does",
                                 table));
  }
  for (std::uint32_t i = 0; i < declaration.tables.size(); ++i) {
    const Table& table = declaration.tables[i];
    for (const std::string& topic : topics.list) out[topic].tables.push_back(TableIndex(i));
    const auto mapped = topics.map.find(table.name.text());
    if (mapped != topics.map.end()) {
      out[mapped->second].tables.push_back(TableIndex(i));
    } else if (table.topic) {
      out[*table.topic].tables.push_back(TableIndex(i));
    } else if (!topics.prefix.empty()) {
      out[topics.prefix + "." + table.name.text()].tables.push_back(TableIndex(i));
    }
  }
  return out;
}

}  // namespace tidemark
