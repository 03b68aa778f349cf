// What subcommands begin with. The first two print what is wrong, by file, line and column, on
// standard error and throw WorldError(kConfig).
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/kafka/kafka_options.h"
#include "consumer/service/commands.h"
#include "consumer/service/config.h"
#include "consumer/store/catalog.h"

namespace tidemark {

// Also sets up the log, at the command line's level or the configuration's.
// `origins`, when given, hears where each value came from.
Config read_config(const CommonOptions& common, ConfigOrigins* origins = nullptr);
Declaration read_declaration(const Config& config);
// See check_catalog; with [source] in both databases.
std::vector<CatalogProblem> check_catalogs(const Config& config, Declaration& declaration);

// By schema.table, or the table's name alone. Throws WorldError(kConfig) for one that isn't
// declared.
std::vector<AggregateIndex> named_aggregates(const Declaration& declaration,
                                             std::span<const std::string> names);
// For reading these topics beside the group.
KafkaOptions kafka_beside_group(const Config& config,
                                const std::map<std::string, TopicTables>& topics);

}  // namespace tidemark
