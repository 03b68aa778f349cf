// The configuration of a member, from one TOML file. ops/tidemark.example.toml documents each key.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/declaration_toml.h"
#include "consumer/service/config_keys.h"
#include "consumer/service/pipeline.h"

namespace tidemark {

struct Config {
  // Any librdkafka property, as written below [kafka]; nested tables are joined by dots.
  std::vector<std::pair<std::string, std::string>> kafka;

  struct Topics {
    std::string prefix;                      // <prefix>.<schema>.<table>; Debezium's topic.prefix
    std::map<std::string, std::string> map;  // "schema.table" -> topic, before everything else
    std::vector<std::string> list;           // topics that carry several watched tables
  } topics;

  struct Postgres {
    std::string connection;          // libpq's connection string, for everything but migrate
    std::string migrate_connection;  // for migrate; empty: `connection`
    // Hosts beyond this machine are believed though nobody verifies that they are the right ones.
    bool allow_unverified_hosts = false;
    std::chrono::milliseconds lock_timeout{2'000};
    std::chrono::milliseconds statement_timeout{30'000};
  } postgres;

  // libpq's connection string of the database that holds the watched tables and Debezium's slot;
  // empty: [postgres] connection.
  std::string source_connection;

  std::filesystem::path schemas = "schemas";
  std::size_t lanes = 2;

  struct Recount {
    // False: there are no source tables to count (a rebuild from topics): what isn't new is
    // dropped.
    bool enabled = true;
    std::string slot = "debezium";  // Debezium's slot.name
    std::chrono::milliseconds every{600'000};
    std::chrono::milliseconds producers{360'000};  // their metadata.max.age.ms, and some more
    std::chrono::milliseconds silence{5'000};      // see Arrival
  } recount;

  struct Derive {
    bool enabled = true;      // false: as if no rule was declared, in every member alike
    std::size_t threads = 1;  // of this member; 0: it only marks, and others derive
    std::size_t users_max = 200;
    std::chrono::milliseconds slow{1'000};
    std::chrono::milliseconds sweep_every{86'400'000};
  } derive;
  PipelineOptions pipeline;

  struct Http {
    std::string host = "127.0.0.1";
    int port = 9464;  // 0: any free one
    // Demanded of who asks for figures; at most one of these. Beyond loopback one must be there.
    std::string token;
    std::filesystem::path token_file;
  } http;

  struct Log {
    std::string level = "info";
    std::string format = "auto";  // logfmt on a terminal, json otherwise; or one of these always
  } log;
};

// Parses the text of a file named `file`. `${NAME}` in a value is replaced by the environment's;
// a name that isn't set is an error, so that a typo isn't an empty password. Unknown keys are
// errors. Relative paths are taken from the file's folder. What the environment says of single keys
// comes first (see apply_overrides). `origins`, when given, hears where each value came from.
std::variant<Config, std::vector<DeclarationError>> parse_config(
    const std::string& file, std::string_view text,
    const std::map<std::string, std::string>& environment, ConfigOrigins* origins = nullptr);

// Reads and parses; the environment is the process's.
std::variant<Config, std::vector<DeclarationError>> load_config(const std::filesystem::path& file,
                                                                ConfigOrigins* origins = nullptr);

// Each topic that is read, and the watched tables that it carries. Throws WorldError(kConfig) when
// the map names a table that isn't declared.
std::map<std::string, TopicTables> resolve_topics(const Config::Topics& topics,
                                                  const Declaration& declaration);

}  // namespace tidemark
