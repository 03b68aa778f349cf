#include "consumer/service/commands.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <variant>
#include <vector>

#include "consumer/service/command_setup.h"
#include "consumer/service/config.h"
#include "consumer/service/doctor.h"
#include "consumer/service/postgres.h"
#include "consumer/service/service.h"
#include "consumer/service/status_lines.h"
#include "consumer/service/status_watch.h"
#include "consumer/store/admin.h"
#include "consumer/store/catalog.h"
#include "consumer/store/grants.h"
#include "consumer/store/indexes.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_doctor.h"

namespace tidemark {
namespace {

std::string mark_text(const ProgressRow& row) {
  if (!row.mark_lsn) return "-";
  const std::string commit = row.mark_commit ? std::to_string(row.mark_commit->value) : "null";
  return fmt::format("{},{}", commit, row.mark_lsn->value);
}

void print_progress(const std::vector<ProgressRow>& rows) {
  std::size_t width = 5;
  for (const ProgressRow& row : rows) width = std::max(width, row.where.topic.size());
  fmt::print("{:{}}  {:>9}  {:>14}  {:>6}  {:>6}  {:26}  {}\n", "topic", width, "partition",
             "next offset", "epoch", "parked", "updated", "owner");
  for (const ProgressRow& row : rows) {
    fmt::print("{:{}}  {:>9}  {:>14}  {:>6}  {:>6}  {:26}  {}\n", row.where.topic, width,
               row.where.partition.value, offset_text(row.next), row.epoch.value, row.parked,
               row.updated_at, row.owner);
    if (row.data_loss_at) fmt::print("{}\n", data_loss_text(row));
  }
}

nlohmann::json progress_json(const std::vector<ProgressRow>& rows) {
  auto list = nlohmann::json::array();
  for (const ProgressRow& row : rows) {
    nlohmann::json entry = {{"topic", row.where.topic},
                            {"partition", row.where.partition.value},
                            {"next_offset", row.next.value},
                            {"epoch", row.epoch.value},
                            {"owner", row.owner},
                            {"mark", mark_text(row)},
                            {"updated_at", row.updated_at},
                            {"parked", row.parked}};
    if (row.data_loss_at) {
      entry["data_loss"] = {{"since", *row.data_loss_at}, {"reason", row.data_loss_reason}};
    }
    list.push_back(std::move(entry));
  }
  return list;
}

std::size_t lost_partitions(const std::vector<ProgressRow>& rows) {
  std::size_t lost = 0;
  for (const ProgressRow& row : rows) lost += row.data_loss_at ? 1 : 0;
  return lost;
}

// What would count beside us, and what rules need: as `doctor`, for who takes over.
ExitCode check_take_over(const Config& config, const Declaration& declaration) {
  PgDoctor doctor(declaration, {.pg = pg_options(config, Role::kMigration),
                                .group_id = group_id(config),
                                .slot = config.recount.slot});
  const Diagnosis diagnosis = diagnose(doctor.take_over_checks());
  fmt::print("{}", text_of(diagnosis));
  return diagnosis.count(Finding::Level::kError) == 0 ? ExitCode::kOk : ExitCode::kFound;
}

ExitCode make_indexes(const Config& config, const Declaration& declaration) {
  const BuiltIndexes result = build_indexes(pg_options(config, Role::kMigration), declaration);
  for (const std::string& name : result.built) fmt::print("made index {}\n", name);
  for (const std::string& name : result.building) {
    fmt::print("left alone, as another session makes it: {}\n", name);
  }
  fmt::print("{} indexes made; the others that are needed are there\n", result.built.size());
  return ExitCode::kOk;
}

}  // namespace

ExitCode run_command(const CommonOptions& common) {
  install_stop_signals();
  const Config config = read_config(common);
  try {
    run_service(config, read_declaration(config));
  } catch (const WorldError& error) {  // the one catch: what is not handled where it happens
    spdlog::error("stopping: {}", error.what());
    return exit_code(error);
  }
  return ExitCode::kOk;
}

ExitCode migrate_command(const CommonOptions& common, const MigrateCommand& command) {
  const Config config = read_config(common);
  const Declaration declaration = read_declaration(config);
  if (command.print_grants) {
    if (source_options(config)) {
      fmt::print("-- in the source:\n{}-- in the target:\n{}",
                 source_grants_sql(declaration, command.run_role),
                 target_grants_sql(declaration, command.run_role));
    } else {
      fmt::print("{}", grants_sql(declaration, command.run_role));
    }
    return ExitCode::kOk;
  }
  if (command.check) return check_take_over(config, declaration);
  if (command.indexes) return make_indexes(config, declaration);
  const MigrateResult result = migrate({.pg = pg_options(config, Role::kMigration),
                                        .group_id = group_id(config),
                                        .run_role = command.run_role},
                                       declaration);
  for (const std::string& name : result.applied) fmt::print("applied {}\n", name);
  for (const std::string& counter : result.new_counters) {
    fmt::print("suspect until its first recount: {}\n", counter);
  }
  for (const std::string& rule : result.swept) fmt::print("to be swept: rule {}\n", rule);
  if (result.declaration_changed) {
    fmt::print("declarations changed: members that run with the old ones stop; start new ones\n");
  }
  fmt::print("state is up to date for group '{}', declaration {}\n", group_id(config),
             declaration_hash(declaration));
  return ExitCode::kOk;
}

ExitCode validate_command(const CommonOptions& common, const ValidateCommand& command) {
  const Config config = read_config(common);
  Declaration declaration = read_declaration(config);
  fmt::print("configuration {} and declarations {}: {} tables, {} aggregates, hash {}\n",
             common.config.string(), config.schemas.string(), declaration.tables.size(),
             declaration.aggregates.size(), declaration_hash(declaration));
  if (command.offline) return ExitCode::kOk;
  std::size_t errors = 0;
  for (const CatalogProblem& problem : check_catalogs(config, declaration)) {
    const bool wrong = problem.severity == Severity::kError;
    fmt::print("{}: {}\n", wrong ? "error" : "warning", problem.text());
    errors += wrong ? 1 : 0;
  }
  fmt::print("database: {} error{}\n", errors, errors == 1 ? "" : "s");
  return errors == 0 ? ExitCode::kOk : ExitCode::kConfig;
}

ExitCode status_command(const CommonOptions& common, const StatusCommand& command) {
  const Config config = read_config(common);
  if (command.watch) return watch_status(config, command.interval);
  Admin admin(pg_options(config, Role::kService));
  const std::vector<ProgressRow> rows = admin.read_progress();
  const StateCounts counts = admin.counts();
  if (command.json) {
    const nlohmann::json out = {{"partitions", progress_json(rows)},
                                {"suspect_cells", counts.suspect_cells},
                                {"suspect_ranges", counts.suspect_ranges},
                                {"parked", counts.parked},
                                {"fences", counts.fences},
                                {"drift", counts.drift},
                                {"dirty_users", counts.dirty},
                                {"failed_users", counts.failed},
                                {"data_loss_partitions", lost_partitions(rows)}};
    fmt::print("{}\n", out.dump(2));
    return ExitCode::kOk;
  }
  print_progress(rows);
  fmt::print(
      "\nsuspect cells: {}\nsuspect ranges: {}\nfences outstanding: {}\nparked records: {}\n"
      "partitions with lost data: {}\ndrift found: {}\nusers to derive: {}, after a failure: {}\n",
      counts.suspect_cells, counts.suspect_ranges, counts.fences, counts.parked,
      lost_partitions(rows), counts.drift, counts.dirty, counts.failed);
  return ExitCode::kOk;
}

ExitCode offsets_show_command(const CommonOptions& common) {
  const Config config = read_config(common);
  Admin admin(pg_options(config, Role::kService));
  for (const ProgressRow& row : admin.read_progress()) {
    fmt::print("{}\t{}\t{}\tmark {}\n", row.where.topic, row.where.partition.value,
               offset_text(row.next), mark_text(row));
  }
  return ExitCode::kOk;
}

ExitCode offsets_reset_command(const CommonOptions& common, const OffsetsResetCommand& command) {
  const Config config = read_config(common);
  Admin admin(pg_options(config, Role::kService));
  if (!command.yes) {
    for (const ProgressRow& row : admin.read_progress()) {
      if (row.where.topic != command.topic) continue;
      if (command.partition && row.where.partition != *command.partition) continue;
      fmt::print("{} [{}]: {} would become {}\n", row.where.topic, row.where.partition.value,
                 offset_text(row.next), offset_text(command.offset));
    }
    fmt::print("nothing was changed; --yes does it\n");
    return ExitCode::kOk;
  }
  const std::size_t set = admin.reset_offset(
      {.topic = command.topic, .partition = command.partition, .offset = command.offset});
  if (set == 0) {
    fmt::print(stderr, "tidemark: no stored offset of topic '{}'; see tidemark offsets show\n",
               command.topic);
    return ExitCode::kData;
  }
  fmt::print("{} partition{} of {} set to {}\n", set, set == 1 ? "" : "s", command.topic,
             offset_text(command.offset));
  return ExitCode::kOk;
}

ExitCode parked_list_command(const CommonOptions& common, const ParkedListCommand& command) {
  const Config config = read_config(common);
  Admin admin(pg_options(config, Role::kService));
  const auto topic =
      command.topic.empty() ? std::nullopt : std::optional<std::string>(command.topic);
  const std::vector<ParkedRow> rows = admin.list_parked(command.limit, topic);
  for (const ParkedRow& row : rows) {
    fmt::print("{} [{}] {}  {}  {} bytes  {}  {}\n", row.where.topic, row.where.partition.value,
               row.offset.value, row.parked_at, row.payload_bytes, row.code, row.reason);
  }
  const std::uint64_t all = admin.counts().parked;
  fmt::print("{} of {} parked records\n", rows.size(), all);
  return ExitCode::kOk;
}

ExitCode parked_show_command(const CommonOptions& common, const ParkedShowCommand& command) {
  const Config config = read_config(common);
  Admin admin(pg_options(config, Role::kService));
  const auto detail = admin.show_parked({command.topic, command.partition}, command.offset);
  if (!detail) {
    fmt::print(stderr, "tidemark: no parked record of {} [{}] at offset {}\n", command.topic,
               command.partition.value, command.offset.value);
    return ExitCode::kData;
  }
  const ParkedRow& row = detail->row;
  fmt::print("{} [{}] offset {}, Kafka timestamp {} ms, parked at {}\n{}: {}\n", row.where.topic,
             row.where.partition.value, row.offset.value, row.timestamp.value, row.parked_at,
             row.code, row.reason);
  fmt::print("key: {}\n", detail->key.value_or("null"));
  fmt::print("value ({} bytes{}): {}\n", row.payload_bytes,
             detail->payload && detail->payload->size() < row.payload_bytes ? ", cut" : "",
             detail->payload.value_or("null"));
  return ExitCode::kOk;
}

std::string version_text() { return "tidemark " TIDEMARK_VERSION; }

}  // namespace tidemark
