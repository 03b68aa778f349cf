#include "consumer/service/command_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <variant>
#include <vector>

#include "consumer/core/declaration_toml.h"
#include "consumer/kafka/kafka_options.h"
#include "consumer/service/kafka_log.h"
#include "consumer/service/log.h"
#include "consumer/service/postgres.h"
#include "consumer/store/source_database.h"

namespace tidemark {
namespace {

[[noreturn]] void refuse(const std::vector<DeclarationError>& errors) {
  for (const DeclarationError& error : errors) {
    fmt::print(stderr, "{}\n", error.text());
  }
  throw WorldError(ErrorKind::kConfig,
                   fmt::format("{} error{} above", errors.size(), errors.size() == 1 ? "" : "s"));
}

}  // namespace

Config read_config(const CommonOptions& common, ConfigOrigins* origins) {
  auto loaded = load_config(common.config, origins);
  if (auto* errors = std::get_if<std::vector<DeclarationError>>(&loaded)) refuse(*errors);
  Config config = std::move(std::get<Config>(loaded));
  const std::vector<std::string> refused = validate_kafka_properties(config.kafka);
  if (!refused.empty()) {
    std::vector<DeclarationError> errors;
    for (const std::string& reason : refused) {
      errors.push_back({.file = common.config.string(), .message = "[kafka]: " + reason});
    }
    refuse(errors);
  }
  set_up_log(common.log_level.empty() ? config.log.level : common.log_level, config.log.format);
  return config;
}

Declaration read_declaration(const Config& config) {
  auto loaded = load_declaration(config.schemas);
  if (auto* errors = std::get_if<std::vector<DeclarationError>>(&loaded)) refuse(*errors);
  Declaration declaration = std::move(std::get<Declaration>(loaded));
  // Rules read the source tables: without these there is nothing to derive from.
  if (!config.derive.enabled || !config.recount.enabled) declaration.rules.clear();
  if (source_options(config)) {
    const std::string refused = refused_with_a_source(declaration);
    if (!refused.empty()) throw WorldError(ErrorKind::kConfig, "[source]: " + refused);
  }
  return declaration;
}

std::vector<CatalogProblem> check_catalogs(const Config& config, Declaration& declaration) {
  PgConnection target(pg_options(config, Role::kService));
  const std::optional<PgOptions> elsewhere = source_options(config);
  if (!elsewhere) return check_catalog(target, declaration);
  PgConnection source(*elsewhere);
  return check_catalog(target, declaration, &source);
}

std::vector<AggregateIndex> named_aggregates(const Declaration& declaration,
                                             std::span<const std::string> names) {
  std::vector<AggregateIndex> found;
  for (const std::string& name : names) {
    const auto same = [&](const Aggregate& aggregate) {
      return aggregate.name.text() == name || aggregate.name.name == name;
    };
    const auto it = std::ranges::find_if(declaration.aggregates, same);
    if (it == declaration.aggregates.end()) {
      throw WorldError(ErrorKind::kConfig,
                       fmt::format("no aggregate '{}' is declared: name it as schema.table", name));
    }
    found.emplace_back(static_cast<std::uint32_t>(it - declaration.aggregates.begin()));
  }
  return found;
}

KafkaOptions kafka_beside_group(const Config& config,
                                const std::map<std::string, TopicTables>& topics) {
  KafkaOptions kafka;
  kafka.properties = config.kafka;
  kafka.on_log = log_kafka;
  for (const auto& [topic, tables] : topics) kafka.topics.push_back(topic);
  return kafka;
}

}  // namespace tidemark
