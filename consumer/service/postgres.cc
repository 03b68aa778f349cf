#include "consumer/service/postgres.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "consumer/store/pg_conninfo.h"

namespace tidemark {
namespace {

void refuse_unverified(const std::string& section, const std::string& connection) {
  const std::vector<std::string> hosts = unverified_hosts(connection);
  if (hosts.empty()) return;
  throw WorldError(ErrorKind::kConfig,
                   fmt::format("[{}] connection: nobody verifies that {} is the right server: "
                               "add sslmode=verify-full sslrootcert=FILE, or set [postgres] "
                               "allow_unverified_hosts = true where the network is trusted",
                               section, fmt::join(hosts, ", ")));
}

}  // namespace

PgOptions pg_options(const Config& config, Role role) {
  const auto& postgres = config.postgres;
  PgOptions options;
  options.connection = role == Role::kMigration && !postgres.migrate_connection.empty()
                           ? postgres.migrate_connection
                           : postgres.connection;
  if (!postgres.allow_unverified_hosts) refuse_unverified("postgres", options.connection);
  options.lock_timeout = postgres.lock_timeout;
  options.statement_timeout = postgres.statement_timeout;
  if (role == Role::kMigration) options.application_name = "tidemark migrate";
  return options;
}

std::optional<PgOptions> source_options(const Config& config) {
  if (config.source_connection.empty() || !config.recount.enabled) return std::nullopt;
  PgOptions options = pg_options(config, Role::kService);
  options.connection = config.source_connection;
  if (!config.postgres.allow_unverified_hosts) refuse_unverified("source", options.connection);
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
