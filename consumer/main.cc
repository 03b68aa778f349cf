// The command line.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

#include "consumer/service/commands.h"
#include "consumer/service/config_commands.h"
#include "consumer/service/derive_command.h"
#include "consumer/service/doctor_command.h"
#include "consumer/service/exit_code.h"
#include "consumer/service/parked_commands.h"
#include "consumer/service/rebuild_command.h"
#include "consumer/service/recount_commands.h"
#include "consumer/service/replay_commands.h"
#include "consumer/service/verify_command.h"

namespace {

using tidemark::CommonOptions;
using tidemark::ExitCode;

constexpr const char* kDescription =
    "Keeps counters in Postgres exactly right from Debezium's change events on Kafka.\n\n"
    "A first run:\n"
    "  tidemark validate --config tidemark.toml     checks configuration, declarations, database\n"
    "  tidemark migrate  --config tidemark.toml     makes the state schema, as the migrating role\n"
    "  tidemark run      --config tidemark.toml     a member; start as many as you like\n"
    "  tidemark status   --config tidemark.toml     how far each partition is, what is wrong";

constexpr const char* kFooter =
    "Exit codes: 0 well, 1 drift or a fault, 64 usage, 65 not found, 69 unreachable, 70 bug, 75 "
    "try again,\n"
    "77 denied, 78 configuration or declarations.";

// The command that was asked for; set by CLI11's callbacks.
using Action = std::function<ExitCode()>;

void add_run(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* run =
      app.add_subcommand("run", "Joins the group and keeps the counters until SIGTERM.");
  run->callback([&] { action = [&] { return tidemark::run_command(common); }; });
}

void add_migrate(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* migrate = app.add_subcommand(
      "migrate", "Makes or upgrades the state schema and takes up changed declarations.");
  static tidemark::MigrateCommand command;
  migrate
      ->add_option("--run-role", command.run_role,
                   "role of `run`, which gets its rights on schema tidemark; \"\" for none")
      ->capture_default_str();
  migrate->add_flag("--print-grants", command.print_grants,
                    "only print the grants on the application's tables that `run` needs");
  migrate->add_flag("--check", command.check,
                    "only look for triggers that count too, and for indexes that are missing");
  migrate->add_flag("--indexes", command.indexes,
                    "only make the indexes that rules and reward triggers need, beside the\n"
                    "writers; as the tables' owner, and again after a failure");
  migrate->callback([&] { action = [&] { return tidemark::migrate_command(common, command); }; });
}

void add_validate(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* validate = app.add_subcommand(
      "validate",
      "Checks configuration and declarations, and the database's catalog against them.");
  static tidemark::ValidateCommand command;
  validate->add_flag("--offline", command.offline, "files only, no database");
  validate->callback([&] { action = [&] { return tidemark::validate_command(common, command); }; });
}

void add_config(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* config = app.add_subcommand("config", "The configuration.");
  config->require_subcommand(1);
  CLI::App* show = config->add_subcommand(
      "show", "What counts, and where each value comes from: file, environment or default.");
  show->callback([&] { action = [&] { return tidemark::config_show_command(common); }; });
  CLI::App* schema = config->add_subcommand("schema", "A JSON Schema of the file, for editors.");
  schema->callback([&] { action = [] { return tidemark::config_schema_command(); }; });
}

void add_status(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* status =
      app.add_subcommand("status", "Offsets, owners, suspects, parked records, lost data.");
  static tidemark::StatusCommand command;
  static std::int64_t interval = command.interval.count();
  auto* json = status->add_flag("--json", command.json, "for machines");
  auto* watch = status->add_flag("--watch", command.watch,
                                 "again and again, with lag and rates, until Ctrl-C: in place on a "
                                 "terminal,\nas blocks elsewhere");
  watch->excludes(json);
  status->add_option("--interval", interval, "seconds between two looks of --watch")
      ->check(CLI::Range(1, 3'600))
      ->needs(watch)
      ->capture_default_str();
  status->callback([&] {
    command.interval = std::chrono::seconds(interval);
    action = [&] { return tidemark::status_command(common, command); };
  });
}

void add_offsets(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* offsets = app.add_subcommand("offsets", "The stored offsets.");
  offsets->require_subcommand(1);
  CLI::App* show = offsets->add_subcommand("show", "Prints them.");
  show->callback([&] { action = [&] { return tidemark::offsets_show_command(common); }; });

  CLI::App* reset = offsets->add_subcommand("reset",
                                            "Sets them. Going back is safe: what came before is "
                                            "recounted. Going forward skips records, and\n"
                                            "what they changed is missing from the counts.");
  static tidemark::OffsetsResetCommand command;
  static int partition = -1;
  static std::string to;
  reset->add_option("--topic", command.topic, "the topic")->required();
  reset->add_option("--partition", partition, "one partition; all of them without it");
  reset->add_option("--to", to, "an offset, or `earliest`")->required();
  reset->add_flag("--yes", command.yes, "do it; without it only says what would be done");
  reset->callback([&] {
    if (partition >= 0) command.partition = tidemark::Partition(partition);
    command.offset = tidemark::Offset(-1);
    if (to != "earliest" && !CLI::detail::lexical_cast(to, command.offset.value)) {
      throw CLI::ValidationError("--to", "expected an offset or `earliest`");
    }
    action = [&] { return tidemark::offsets_reset_command(common, command); };
  });
}

// Bounds of what is meant, as the command line has them.
struct ParkedOptions {
  std::string topic;
  std::string code;
  std::int32_t partition = -1;
  std::int64_t from = -1;
  std::int64_t to = -1;

  tidemark::ParkedBounds bounds() const {
    tidemark::ParkedBounds bounds;
    if (!topic.empty()) bounds.topic = topic;
    if (!code.empty()) bounds.code = code;
    if (partition >= 0) bounds.partition = tidemark::Partition(partition);
    if (from >= 0) bounds.from = tidemark::Offset(from);
    if (to >= 0) bounds.to = tidemark::Offset(to);
    return bounds;
  }
};

void add_parked(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* parked = app.add_subcommand("parked", "Records that could not be taken.");
  parked->require_subcommand(1);
  CLI::App* list = parked->add_subcommand("list", "A line each, without their contents.");
  static tidemark::ParkedListCommand list_command;
  list->add_option("--topic", list_command.topic, "only this topic's");
  list->add_option("--limit", list_command.limit, "at most so many")->capture_default_str();
  list->callback(
      [&] { action = [&] { return tidemark::parked_list_command(common, list_command); }; });

  CLI::App* show = parked->add_subcommand("show", "One record with its contents (user data).");
  static tidemark::ParkedShowCommand show_command;
  show->add_option("topic", show_command.topic, "topic")->required();
  show->add_option("partition", show_command.partition.value, "partition")->required();
  show->add_option("offset", show_command.offset.value, "offset")->required();
  show->callback(
      [&] { action = [&] { return tidemark::parked_show_command(common, show_command); }; });

  CLI::App* replay = parked->add_subcommand(
      "replay",
      "Decodes them again: what one names is recounted, never counted, and it is parked no\n"
      "more. One that still can't be decoded stays.");
  static ParkedOptions replayed;
  replay->add_option("--topic", replayed.topic, "only this topic's");
  replay->add_option("--partition", replayed.partition, "only this partition's");
  replay->add_option("--from", replayed.from, "from this offset on");
  replay->add_option("--to", replayed.to, "up to this offset, it too");
  replay->add_option("--code", replayed.code, "only those of this code");
  replay->callback([&] {
    action = [&] { return tidemark::parked_replay_command(common, {replayed.bounds()}); };
  });

  CLI::App* drop = parked->add_subcommand(
      "drop", "Forgets them: what they may have changed is recounted once more.");
  static ParkedOptions dropped;
  static bool yes = false;
  drop->add_option("--topic", dropped.topic, "only this topic's");
  drop->add_option("--partition", dropped.partition, "only this partition's");
  drop->add_option("--from", dropped.from, "from this offset on");
  drop->add_option("--to", dropped.to, "up to this offset, it too");
  drop->add_option("--code", dropped.code, "only those of this code");
  drop->add_flag("--yes", yes, "do it; without it only says what would be done");
  drop->callback([&] {
    action = [&] { return tidemark::parked_drop_command(common, {dropped.bounds(), yes}); };
  });
}

void add_recount(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* recount = app.add_subcommand(
      "recount", "Counts again from the source tables, beside the running stream, and waits.");
  static tidemark::RecountCommand command;
  auto* aggregate = recount->add_option("--aggregate", command.aggregates, "an aggregate; repeat");
  auto* keys = recount->add_option("--keys", command.keys, "only these keys of the one aggregate")
                   ->delimiter(',')
                   ->needs(aggregate);
  auto* full = recount->add_flag("--full", command.full, "all aggregates")->excludes(aggregate);
  recount->callback([&common, &action, keys, full] {
    if (command.aggregates.empty() && full->count() == 0) {
      throw CLI::ValidationError("recount", "name --aggregate, or ask for --full");
    }
    if (keys->count() != 0 && command.aggregates.size() != 1) {
      throw CLI::ValidationError("--keys", "needs exactly one --aggregate");
    }
    action = [&] { return tidemark::recount_command(common, command); };
  });
}

void add_replay(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* replay = app.add_subcommand(
      "replay",
      "Reads topics again, beside the group, up to their ends of now: what the changes "
      "name is recounted\nby the running members. Ctrl-C stops it; the same command goes "
      "on there.");
  static tidemark::ReplayCommand command;
  replay->add_option("--topic", command.topics, "only this topic; repeat");
  replay
      ->add_option("--from", command.from,
                   "`beginning`, an offset in each partition, or a time like 2026-11-21T16:00:00Z")
      ->required();
  replay->add_flag("--restart", command.restart, "drop an unfinished replay of these topics");
  replay->callback([&] {
    if (!tidemark::parse_replay_from(command.from)) {
      throw CLI::ValidationError("--from", "expected `beginning`, an offset or an ISO 8601 time");
    }
    action = [&] { return tidemark::replay_command(common, command); };
  });
}

void add_rebuild(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* rebuild = app.add_subcommand(
      "rebuild",
      "Counts from zero by all that the topics hold, without a look at the source tables: into\n"
      "other tables beside the group, as the migrating role; or in place, where there are no\n"
      "source tables.");
  static tidemark::RebuildCommand command;
  rebuild->add_option("--into", command.into, "a schema for the rebuilt tables; made if missing");
  rebuild->add_flag("--restart", command.restart, "drop an unfinished one, and empty its tables");
  rebuild->add_flag("--incomplete", command.incomplete,
                    "also when topics no longer hold their beginning");
  rebuild->add_flag("--yes", command.yes, "in place: do it; without it only says what would be");
  rebuild->callback([&] { action = [&] { return tidemark::rebuild_command(common, command); }; });
}

void add_verify(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* verify = app.add_subcommand(
      "verify",
      "Recounts every cell beside the stream and writes nothing. Lag is taken out by reading what\n"
      "is on its way. Exits 1 when a cell is wrong.");
  static tidemark::VerifyCommand command;
  static std::int64_t patience = command.patience.count();
  verify->add_option("--aggregate", command.aggregates, "only these, as schema.table");
  verify->add_option("--patience", patience, "seconds to wait for Debezium")->capture_default_str();
  verify->add_flag("--json", command.json, "for machines");
  verify->callback([&] {
    command.patience = std::chrono::seconds(patience);
    action = [&] { return tidemark::verify_command(common, command); };
  });
}

void add_derive(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* derive = app.add_subcommand(
      "derive", "Has challenges derived again: marks users, and the running members derive them.");
  static tidemark::DeriveCommand command;
  derive->add_option("--rule", command.rules, "a rule; repeat")->required();
  auto* since =
      derive->add_option("--since-block", command.since_block,
                         "users of rows above this block; lowers the rules' checkpoints to it");
  auto* users = derive->add_option("--users", command.users, "these users")->delimiter(',');
  auto* all = derive->add_flag("--all", command.all, "all users that the rules concern");
  since->excludes(users)->excludes(all);
  users->excludes(all);
  derive->callback([&] {
    if (!command.since_block && command.users.empty() && !command.all) {
      throw CLI::ValidationError("derive", "name --since-block or --users, or ask for --all");
    }
    action = [&] { return tidemark::derive_command(common, command); };
  });
}

void add_doctor(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* doctor = app.add_subcommand(
      "doctor",
      "Looks at all that a group needs, in Postgres and in Kafka, and says what is wrong, why it\n"
      "matters and what mends it. Writes nothing. Exits 1 when something must be mended.");
  static tidemark::DoctorCommand command;
  doctor->add_flag("--json", command.json, "for machines");
  doctor->callback([&] { action = [&] { return tidemark::doctor_command(common, command); }; });
}

void add_drift(CLI::App& app, const CommonOptions& common, Action& action) {
  CLI::App* drift =
      app.add_subcommand("drift", "What was wrong, for another reason than lag.");
  drift->require_subcommand(1);
  CLI::App* list = drift->add_subcommand("list", "The newest, a line each.");
  static tidemark::DriftListCommand command;
  list->add_option("--limit", command.limit, "at most so many")->capture_default_str();
  list->add_flag("--json", command.json, "for machines");
  list->callback([&] { action = [&] { return tidemark::drift_list_command(common, command); }; });
}

ExitCode act(const Action& action) {
  try {
    return action();
  } catch (const tidemark::WorldError& error) {
    std::fprintf(stderr, "tidemark: %s\n", error.what());
    return tidemark::exit_code(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tidemark: bug: %s\n", error.what());
    return ExitCode::kBug;
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(kDescription, "tidemark");
  app.footer(kFooter);
  app.set_version_flag("--version", tidemark::version_text());
  app.require_subcommand(1);
  app.fallthrough();
  CommonOptions common;
  std::string config = common.config.string();
  app.add_option("-c,--config", config, "configuration file")->capture_default_str();
  app.add_option("--log-level", common.log_level, "trace, debug, info, warn or error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}));
  Action action;
  add_run(app, common, action);
  add_migrate(app, common, action);
  add_validate(app, common, action);
  add_config(app, common, action);
  add_status(app, common, action);
  add_offsets(app, common, action);
  add_parked(app, common, action);
  add_recount(app, common, action);
  add_replay(app, common, action);
  add_verify(app, common, action);
  add_rebuild(app, common, action);
  add_derive(app, common, action);
  add_drift(app, common, action);
  add_doctor(app, common, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  common.config = config;
  return static_cast<int>(act(action));
}
