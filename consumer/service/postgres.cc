#include "consumer/service/postgres.h"

namespace tidemark {

PgOptions pg_options(const Config& config, Role role) {
  const auto& postgres = config.postgres;
  PgOptions options;
  options.connection = role == Role::kMigration && !postgres.migrate_connection.empty()
                           ? postgres.migrate_connection
                           : postgres.connection;
  options.lock_timeout = postgres.lock_timeout;
  options.statement_timeout = postgres.statement_timeout;
  if (role == Role::kMigration) options.application_name = "tidemark migrate";
  return options;
}

std::optional<PgOptions> source_options(const Config& config) {
  if (config.source_connection.empty() || !config.recount.enabled) return std::nullopt;
  PgOptions options = pg_options(config, Role::kService);
  options.connection = config.source_connection;
  return options;
}

std::string group_id(const Config& config) {
  std::string id;
  for (const auto& [name, value] : config.kafka) {
    if (name == "group.id") id = value;
  }
  return id;
}

}  // namespace tidemark
