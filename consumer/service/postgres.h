// Connection settings and names that several commands take from the configuration.
#pragma once

#include <optional>
#include <string>

#include "consumer/service/config.h"
#include "consumer/store/pg.h"

namespace tidemark {

// Which of the configured roles connects.
enum class Role : std::uint8_t { kService, kMigration };

// Throws WorldError(kConfig) when a host beyond this machine would be believed by its word, and
// [postgres] allow_unverified_hosts is not set.
PgOptions pg_options(const Config& config, Role role);
// Where the watched tables are, if in another database than the counters (F10).
std::optional<PgOptions> source_options(const Config& config);
// [kafka] group.id; empty when it isn't set.
std::string group_id(const Config& config);

}  // namespace tidemark
