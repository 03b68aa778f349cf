// Connection settings and names that several commands take from the configuration.
#pragma once

#include <string>

#include "consumer/service/config.h"
#include "consumer/store/pg.h"

namespace tidemark {

// Which of the configured roles connects.
enum class Role : std::uint8_t { kService, kMigration };

PgOptions pg_options(const Config& config, Role role);
// [kafka] group.id; empty when it isn't set.
std::string group_id(const Config& config);

}  // namespace tidemark
