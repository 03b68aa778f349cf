// What the subcommands do. Each prints its result on standard output and its errors, by name and
// with what to do, on standard error. Failures of the world come out as WorldError.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "consumer/core/types.h"
#include "consumer/service/exit_code.h"

namespace tidemark {

struct CommonOptions {
  std::filesystem::path config = "tidemark.toml";
  std::string log_level;  // empty: the configuration's
};

struct MigrateCommand {
  std::string run_role = "tidemark_run";  // gets its rights on schema tidemark; empty: nobody
  bool print_grants = false;              // print the grants on the application's tables, and end
  bool check = false;    // only look for what counts too, and for indexes that are missing
  bool indexes = false;  // only make the indexes that rules and reward triggers need
};

struct ValidateCommand {
  bool offline = false;  // files only; else the database's catalog too
};

struct StatusCommand {
  bool json = false;
  bool watch = false;  // again and again until a signal comes
  std::chrono::seconds interval{2};
};

struct OffsetsResetCommand {
  std::string topic;
  std::optional<Partition> partition;  // none: all stored ones of the topic
  Offset offset;                       // kNotStarted: the earliest retained
  bool yes = false;                    // without it nothing is done but said what would be
};

struct ParkedListCommand {
  std::string topic;  // empty: all
  std::size_t limit = 100;
};

struct ParkedShowCommand {
  std::string topic;
  Partition partition;
  Offset offset;
};

ExitCode run_command(const CommonOptions& common);
ExitCode migrate_command(const CommonOptions& common, const MigrateCommand& command);
ExitCode validate_command(const CommonOptions& common, const ValidateCommand& command);
ExitCode status_command(const CommonOptions& common, const StatusCommand& command);
ExitCode offsets_show_command(const CommonOptions& common);
ExitCode offsets_reset_command(const CommonOptions& common, const OffsetsResetCommand& command);
ExitCode parked_list_command(const CommonOptions& common, const ParkedListCommand& command);
ExitCode parked_show_command(const CommonOptions& common, const ParkedShowCommand& command);

// "tidemark 0.1.0".
std::string version_text();

}  // namespace tidemark
