#include "consumer/service/derive_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "consumer/service/command_setup.h"
#include "consumer/service/config.h"
#include "consumer/service/postgres.h"
#include "consumer/service/progress.h"
#include "consumer/service/service.h"
#include "consumer/store/pg_derive.h"

namespace tidemark {
namespace {

RuleIndex named_rule(const Declaration& declaration, const std::string& name) {
  const auto found = std::ranges::find(declaration.rules, name, &Rule::name);
  if (found == declaration.rules.end()) {
    std::vector<std::string> known;
    for (const Rule& rule : declaration.rules) known.push_back(rule.name);
    throw WorldError(ErrorKind::kConfig, fmt::format("no rule '{}' is declared; there are: {}",
                                                     name, fmt::join(known, ", ")));
  }
  return RuleIndex(static_cast<std::uint32_t>(found - declaration.rules.begin()));
}

// False when a stop was asked for.
bool walk(PgDerive& store, RuleIndex rule, std::optional<std::int64_t> above, std::size_t& marked) {
  Progress progress;
  const auto begun = std::chrono::steady_clock::now();
  std::optional<WalkPlace> place = WalkPlace{};
  while (place && !stop_was_asked()) {
    const PgDerive::Walked walked = store.walk(rule, *place, above);
    marked += walked.marked;
    place = walked.next;
    progress.say(fmt::format("{} users marked, {:.0f}/s", marked, rate_of(marked, begun)));
  }
  progress.end();
  return !place;
}

}  // namespace

ExitCode derive_command(const CommonOptions& common, const DeriveCommand& command) {
  install_stop_signals();
  const Config config = read_config(common);
  const Declaration declaration = read_declaration(config);
  if (declaration.rules.empty()) {
    throw WorldError(ErrorKind::kConfig,
                     "no rule is declared, or [derive] or [recount] is not enabled");
  }
  std::vector<RuleIndex> rules;
  for (const std::string& name : command.rules) rules.push_back(named_rule(declaration, name));
  PgDerive store(declaration, {.pg = pg_options(config, Role::kService)});
  for (const RuleIndex rule : rules) {
    std::size_t marked = 0;
    bool done = true;
    if (!command.users.empty()) {
      marked = store.mark(rule, command.users);
    } else {
      if (command.since_block) store.lower_checkpoint(rule, *command.since_block);
      done = walk(store, rule, command.since_block, marked);
    }
    fmt::print("rule {}: {} users marked{}\n", declaration.rule(rule).name, marked,
               done ? "; the running members derive them" : ", and stopped");
    if (!done) return ExitCode::kTryAgain;
  }
  return ExitCode::kOk;
}

}  // namespace tidemark
