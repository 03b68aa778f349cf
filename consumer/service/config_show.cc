#include "consumer/service/config_show.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "consumer/kafka/kafka_options.h"
#include "consumer/store/pg_conninfo.h"

namespace tidemark {
namespace {

using nlohmann::ordered_json;
// Values by "section.name".
using Values = std::map<std::string, ordered_json>;

Values values_of(const Config& config) {
  const BatchLimits& batch = config.pipeline.batch;
  return {
      {"topics.prefix", config.topics.prefix},
      {"topics.list", config.topics.list},
      {"postgres.connection", config.postgres.connection},
      {"postgres.migrate_connection", config.postgres.migrate_connection},
      {"postgres.allow_unverified_hosts", config.postgres.allow_unverified_hosts},
      {"postgres.lock_timeout_ms", config.postgres.lock_timeout.count()},
      {"postgres.statement_timeout_ms", config.postgres.statement_timeout.count()},
      {"source.connection", config.source_connection},
      {"schemas.path", config.schemas.string()},
      {"batch.lanes", config.lanes},
      {"batch.rows_max", batch.rows_max},
      {"batch.records_max", batch.records_max},
      {"batch.bytes_max", batch.bytes_max},
      {"batch.age_max_ms", batch.age_max.count()},
      {"batch.catchup_age_max_ms", batch.catchup_age_max.count()},
      {"batch.catchup_records", batch.catchup_records},
      {"recount.enabled", config.recount.enabled},
      {"recount.slot", config.recount.slot},
      {"recount.every_ms", config.recount.every.count()},
      {"recount.producers_ms", config.recount.producers.count()},
      {"recount.silence_ms", config.recount.silence.count()},
      {"derive.enabled", config.derive.enabled},
      {"derive.threads", config.derive.threads},
      {"derive.users_max", config.derive.users_max},
      {"derive.slow_ms", config.derive.slow.count()},
      {"derive.sweep_every_ms", config.derive.sweep_every.count()},
      {"limits.message_bytes_max", config.pipeline.decode.message_bytes_max},
      {"limits.depth_max", config.pipeline.decode.depth_max},
      {"limits.parked_max", config.pipeline.parked_max},
      {"http.listen", fmt::format("{}:{}", config.http.host, config.http.port)},
      {"http.token", config.http.token},
      {"http.token_file", config.http.token_file.string()},
      {"log.level", config.log.level},
      {"log.format", config.log.format},
  };
}

bool is_connection(const ConfigKey& key) { return key.name.ends_with("connection"); }

std::string line(const std::string& name, const ordered_json& value, std::string_view origin) {
  return fmt::format("{} = {}  # {}\n", name,
                     value.dump(-1, ' ', false, ordered_json::error_handler_t::replace), origin);
}

std::string_view origin_of(const ConfigOrigins& origins, const std::string& path,
                           std::string_view otherwise) {
  const auto found = origins.find(path);
  return found == origins.end() ? otherwise : std::string_view(found->second);
}

std::string show_kafka(const Config& config, const ConfigOrigins& origins) {
  std::map<std::string, std::string> properties;  // a later one replaces an earlier one
  for (const auto& [name, value] : effective_kafka_properties(config.kafka)) {
    properties[name] = is_secret_property(name) ? "***" : value;
  }
  std::string text = "[kafka]\n";
  for (const auto& [name, value] : properties) {
    text += line(name, without_secrets(value, config.kafka),
                 origin_of(origins, "kafka." + name, "Tidemark's"));
  }
  return text;
}

ordered_json shown_value(const ConfigKey& key, const ordered_json& value) {
  if (key.section == "http" && key.name == "token") return value == "" ? "" : "***";
  if (!is_connection(key)) return value;
  const std::string text = value.get<std::string>();
  return text.empty() ? text : without_password(text);
}

ordered_json schema_of(const ConfigKey& key, const ordered_json& standard) {
  ordered_json schema;
  switch (key.type) {
    case ConfigType::kText:
      schema = {{"type", "string"}, {"minLength", 1}};
      break;
    case ConfigType::kTexts:
      schema = {{"type", "array"},
                {"items", {{"type", "string"}, {"minLength", 1}}},
                {"minItems", 1},
                {"uniqueItems", true}};
      break;
    case ConfigType::kNumber:
      schema = {{"type", "integer"}, {"minimum", key.low}, {"maximum", key.high}};
      break;
    case ConfigType::kFlag:
      schema = {{"type", "boolean"}};
      break;
  }
  if (key.section == "log") {
    schema["enum"] = key.name == "level" ? log_levels() : log_formats();
  }
  const bool empty = standard.empty() || standard == "";
  if (!empty) schema["default"] = standard;
  return schema;
}

}  // namespace

std::string show_config(const Config& config, const ConfigOrigins& origins) {
  std::string text = show_kafka(config, origins);
  const Values values = values_of(config);
  std::string_view section;
  for (const ConfigKey& key : config_keys()) {
    if (key.section != section) text += fmt::format("\n[{}]\n", key.section);
    section = key.section;
    const std::string path = fmt::format("{}.{}", key.section, key.name);
    text += line(std::string(key.name), shown_value(key, values.at(path)),
                 origin_of(origins, path, "default"));
  }
  if (!config.topics.map.empty()) text += "\n[topics.map]\n";
  for (const auto& [table, topic] : config.topics.map) {
    text += line(ordered_json(table).dump(), topic,
                 origin_of(origins, "topics.map." + table, "default"));
  }
  return text;
}

std::string config_schema() {
  const Values standards = values_of(Config());
  ordered_json sections;
  // librdkafka has some 200 properties, each a text, an integer or a flag; nested tables are dots.
  sections["kafka"] = {{"type", "object"}, {"additionalProperties", true}};
  for (const ConfigKey& key : config_keys()) {
    ordered_json& section = sections[std::string(key.section)];
    section["type"] = "object";
    section["additionalProperties"] = false;
    section["properties"][std::string(key.name)] =
        schema_of(key, standards.at(fmt::format("{}.{}", key.section, key.name)));
  }
  sections["topics"]["properties"]["map"] = {{"type", "object"},
                                             {"additionalProperties", {{"type", "string"}}}};
  const ordered_json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                               {"title", "Tidemark's configuration"},
                               {"type", "object"},
                               {"required", {"kafka", "topics", "postgres"}},
                               {"additionalProperties", false},
                               {"properties", sections}};
  return schema.dump(2) + "\n";
}

}  // namespace tidemark
