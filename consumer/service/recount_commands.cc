#include "consumer/service/recount_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "consumer/service/command_setup.h"
#include "consumer/service/metrics.h"
#include "consumer/service/postgres.h"
#include "consumer/service/progress.h"
#include "consumer/service/recounting.h"
#include "consumer/service/service.h"
#include "consumer/store/admin.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds kLook{200};

// False when a stop was asked for: what was begun goes on with the next recounter.
template <class Done>
bool wait_until(Recounting& recounting, Done done) {
  while (!stop_was_asked()) {
    recounting.check();
    if (done()) return true;
    std::this_thread::sleep_for(kLook);
  }
  return false;
}

ExitCode recount_keys(Recounting& recounting, PgRecount& store, AggregateIndex aggregate,
                      const std::vector<std::string>& keys) {
  store.request(aggregate, keys);
  Progress progress;
  const bool done = wait_until(recounting, [&] {
    const std::size_t left = store.requests_left(aggregate);
    progress.say(fmt::format("{} keys left", left));
    return left == 0;
  });
  progress.end();
  fmt::print("{} {} keys\n", done ? "recounted" : "stopped; members go on with the", keys.size());
  return done ? ExitCode::kOk : ExitCode::kTryAgain;
}

ExitCode recount_whole(Recounting& recounting, PgRecount& store, std::uint64_t all,
                       const std::vector<AggregateIndex>& aggregates) {
  const Pass pass = store.begin_pass("command", aggregates);
  const auto begun = Steady::now();
  Progress progress;
  PassState state;
  const bool done = wait_until(recounting, [&] {
    state = store.state_of(pass);
    progress.say(fmt::format("{} rows in {} slices, {:.0f} rows/s{}; {} cells written", state.cells,
                             state.slices, rate_of(state.cells, begun),
                             time_left_text(state.cells, all - std::min(all, state.cells), begun),
                             state.corrected));
    return state.ended;
  });
  progress.end();
  fmt::print("{} {} rows in {} slices, {} cells written\n",
             done ? "recounted" : "stopped; members go on after", state.cells, state.slices,
             state.corrected);
  if (done) fmt::print("what stays different once all events have come: tidemark drift list\n");
  return done ? ExitCode::kOk : ExitCode::kTryAgain;
}

// "no row", "complete" or "3 steps".
std::string state_of(const std::optional<std::string>& challenge) {
  if (!challenge) return "no row";
  const nlohmann::json row = nlohmann::json::parse(*challenge);
  if (row.at("is_complete").get<bool>()) return "complete";
  const nlohmann::json& steps = row.at("current_step_count");
  return fmt::format("{} steps", steps.is_null() ? 0 : steps.get<std::int64_t>());
}

void print_drift(const DriftRow& row) {
  if (row.became) {
    fmt::print("{}  {}  challenge {} of {}: {} instead of {}\n", row.id, row.found_at, row.counter,
               row.key, state_of(row.was), state_of(row.became));
    return;
  }
  fmt::print("{}  {}  {}.{} of {}: {} off", row.id, row.found_at, row.aggregate, row.counter,
             row.key, row.difference);
  if (row.expected && row.found) fmt::print(" ({} instead of {})", *row.found, *row.expected);
  fmt::print("\n");
}

}  // namespace

ExitCode recount_command(const CommonOptions& common, const RecountCommand& command) {
  install_stop_signals();
  const Config config = read_config(common);
  const Declaration declaration = read_declaration(config);
  if (!config.recount.enabled) {
    throw WorldError(ErrorKind::kConfig,
                     "[recount] enabled is false: there is nothing to recount from");
  }
  const std::vector<AggregateIndex> aggregates = named_aggregates(declaration, command.aggregates);
  Metrics metrics(TIDEMARK_VERSION, declaration_hash(declaration));
  Recounting recounting(config, declaration, metrics.recount());
  PgRecount store(declaration, {.pg = pg_options(config, Role::kService),
                                .slot = config.recount.slot,
                                .source = source_options(config)});
  if (!command.keys.empty())
    return recount_keys(recounting, store, aggregates.front(), command.keys);
  const std::uint64_t all =
      Admin(pg_options(config, Role::kService)).estimated_rows(declaration, aggregates);
  return recount_whole(recounting, store, all, aggregates);
}

ExitCode drift_list_command(const CommonOptions& common, const DriftListCommand& command) {
  const Config config = read_config(common);
  Admin admin(pg_options(config, Role::kService));
  const std::vector<DriftRow> rows = admin.list_drift(command.limit);
  if (command.json) {
    auto list = nlohmann::json::array();
    for (const DriftRow& row : rows) {
      nlohmann::json entry = {
          {"id", row.id},   {"aggregate", row.aggregate},   {"counter", row.counter},
          {"key", row.key}, {"difference", row.difference}, {"found_at", row.found_at}};
      if (row.expected) entry["expected"] = *row.expected;
      if (row.found) entry["found"] = *row.found;
      if (row.became) {
        entry["was"] = row.was ? nlohmann::json::parse(*row.was) : nlohmann::json(nullptr);
        entry["became"] = nlohmann::json::parse(*row.became);
      }
      list.push_back(std::move(entry));
    }
    fmt::print("{}\n", list.dump(2));
    return ExitCode::kOk;
  }
  for (const DriftRow& row : rows) print_drift(row);
  fmt::print("{} of {} rows of drift\n", rows.size(), admin.counts().drift);
  return ExitCode::kOk;
}

}  // namespace tidemark
