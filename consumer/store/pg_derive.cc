#include "consumer/store/pg_derive.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <regex>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/core/kill_point.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/state.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::int64_t kFirstUser = std::numeric_limits<std::int64_t>::min();
// How long the stream may wait for one claim; beyond, the next is half as large.
constexpr std::chrono::milliseconds kHeldMax{100};
// Rows that one step of a sweep reads: its users are derived before the next step.
constexpr std::size_t kSweepRows = 500;
// An operator's walk only marks.
constexpr std::size_t kWalkRows = 5'000;

// Users that another deriver or a batch holds are left to it. Marks of rules that this version
// doesn't know stay for one that does.
constexpr const char* kClaimSql = R"(
select user_id, array_to_string(rules, ','), swept from tidemark.dirty
 where user_id > $1::bigint and rules && $2::text[]
   and (not_before is null or not_before <= now())
 order by user_id limit $3::integer for update skip locked)";

constexpr const char* kClaimOneSql = R"(
select user_id, array_to_string(rules, ','), swept from tidemark.dirty
 where user_id = $1::bigint and rules && $2::text[] for update skip locked)";

constexpr const char* kDeleteSql = R"(
delete from tidemark.dirty where user_id = any($1::bigint[]) and rules <@ $2::text[])";

constexpr const char* kKeepUnknownSql = R"(
update tidemark.dirty
   set rules = array(select r from unnest(rules) as r where r <> all($2::text[]))
 where user_id = any($1::bigint[]) and not rules <@ $2::text[])";

// From a second to an hour, doubling.
constexpr const char* kFailedSql = R"(
update tidemark.dirty
   set rules = array(select r from unnest(rules) as r
                      where r = any($3::text[]) or r <> all($2::text[])),
       attempts = attempts + 1, error = $4::text,
       not_before = now() + least(interval '1 hour', interval '1 second' * 2 ^ least(attempts, 12))
 where user_id = $1::bigint)";

constexpr const char* kBacklogSql = R"(
select r, count(*), extract(epoch from now() - min(marked_at))
  from tidemark.dirty, unnest(rules) as r group by r order by r)";

constexpr const char* kNextSweepSql = R"(
select rule, coalesce(phase, 0), at, phase is null from tidemark.sweeps
 where rule = any($1::text[])
   and (phase is not null or requested
        or ($2::bigint > 0 and begun_at < now() - $2::bigint * interval '1 millisecond'))
 order by phase is null, rule limit 1 for update skip locked)";

constexpr const char* kBeginSweepSql = R"(
update tidemark.sweeps
   set repair = requested, requested = false, begun_at = now(), marked = 0
 where rule = $1::text)";

constexpr const char* kMoveSweepSql = R"(
update tidemark.sweeps
   set phase = $2::integer, at = $3::bigint, marked = marked + $4::bigint,
       ended_at = case when $2::integer is null then now() else ended_at end
 where rule = $1::text)";

// Completed rows are frozen: only others can be corrected.
constexpr const char* kBeforeSql = R"(
select specifier, jsonb_build_object('is_complete', is_complete, 'current_step_count',
       current_step_count, 'completed_blocknumber', completed_blocknumber)
  from public.user_challenges
 where user_id = any($1::bigint[]) and challenge_id = $2::text and not is_complete)";

// The log's end is read after the rule's snapshot was taken: what that saw lies below it.
constexpr const char* kCorrectedSql = R"(
insert into tidemark.corrections (rule, users, specifier, was, became, inserted, offsets)
select $1::text, case when $5::boolean then array[c.user_id::bigint] else $2::bigint[] end,
       c.specifier, w.was::jsonb,
       jsonb_build_object('is_complete', c.is_complete, 'current_step_count', c.current_step_count,
                          'completed_blocknumber', c.completed_blocknumber),
       pg_current_wal_insert_lsn() - '0/0'::pg_lsn,
       (select jsonb_object_agg(topic || '[' || partition || ']', next_offset)
          from tidemark.progress)
  from unnest($3::text[], $4::text[]) as w(specifier, was)
  join public.user_challenges as c on c.challenge_id = $1::text and c.specifier = w.specifier
 where not exists (select from tidemark.sweeps as s
                    where s.rule = $1::text and (s.requested or s.repair))
 order by c.specifier)";

constexpr const char* kLowerSql = R"(
update public.indexing_checkpoints set last_checkpoint = $2::bigint
 where tablename = $1::text and last_checkpoint > $2::bigint)";

std::string first_name(RuleIndex rule) { return "before_rule_" + std::to_string(rule.value); }
std::string rule_name(RuleIndex rule) { return "rule_" + std::to_string(rule.value); }

PgOptions for_deriving(PgOptions options) {
  options.synchronous_commit = false;
  options.application_name = "tidemark derive";
  return options;
}

std::vector<std::string_view> split(std::string_view names) {
  std::vector<std::string_view> parts;
  for (std::size_t comma = names.find(','); comma != names.npos; comma = names.find(',')) {
    parts.push_back(names.substr(0, comma));
    names.remove_prefix(comma + 1);
  }
  parts.push_back(names);
  return parts;
}

std::optional<std::string> text_of(std::optional<std::int64_t> number) {
  if (!number) return std::nullopt;
  return std::to_string(*number);
}

}  // namespace

// Users whose marks we hold.
struct PgDerive::Claim {
  std::vector<std::int64_t> users;
  std::vector<std::vector<std::int64_t>> by_rule;
  std::vector<std::int64_t> swept;  // ascending
  bool unknown_rules = false;

  void add(const SqlResult& rows, const Declaration& declaration);
};

// A rule's statement, and what the world said.
struct PgDerive::Failed {
  RuleIndex rule;
  WorldError error;
};

void PgDerive::Claim::add(const SqlResult& rows, const Declaration& declaration) {
  by_rule.resize(declaration.rules.size());
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const std::int64_t user = rows.integer(row, 0);
    users.push_back(user);
    if (rows.boolean(row, 2)) swept.push_back(user);
    for (const std::string_view name : split(rows.text(row, 1))) {
      const auto rule = std::ranges::find(declaration.rules, name, &Rule::name);
      if (rule == declaration.rules.end()) {
        unknown_rules = true;
      } else {
        by_rule[static_cast<std::size_t>(rule - declaration.rules.begin())].push_back(user);
      }
    }
  }
}

PgDerive::PgDerive(const Declaration& declaration, PgDeriveOptions options)
    : declaration_(declaration),
      declaration_hash_(declaration_hash(declaration)),
      users_max_(options.users_max),
      claim_size_(options.users_max),
      after_(kFirstUser),
      session_(for_deriving(std::move(options.pg)),
               [this](PgConnection& connection) { prepare(connection); }) {
  TIDEMARK_CHECK(!declaration.rules.empty());
  ArrayLiteral names;
  for (const Rule& rule : declaration.rules) names.add(std::string_view(rule.name));
  names_ = names.take();
}

void PgDerive::prepare(PgConnection& connection) {
  {
    PgTransaction transaction(connection);
    check_schema(transaction);
    transaction.commit();
  }
  prepare_marks(connection, declaration_);
  connection.prepare({"claim", "tidemark.dirty"}, kClaimSql);
  connection.prepare({"claim_one", "tidemark.dirty"}, kClaimOneSql);
  connection.prepare({"delete_marks", "tidemark.dirty"}, kDeleteSql);
  connection.prepare({"keep_unknown", "tidemark.dirty"}, kKeepUnknownSql);
  connection.prepare({"keep_failed", "tidemark.dirty"}, kFailedSql);
  connection.prepare({"next_sweep", "tidemark.sweeps"}, kNextSweepSql);
  connection.prepare({"begin_sweep", "tidemark.sweeps"}, kBeginSweepSql);
  connection.prepare({"move_sweep", "tidemark.sweeps"}, kMoveSweepSql);
  connection.prepare({"before_sweep", "public.user_challenges"}, kBeforeSql);
  connection.prepare({"note_corrections", "tidemark.corrections"}, kCorrectedSql);
  for (std::uint32_t r = 0; r < declaration_.rules.size(); ++r) {
    const Rule& rule = declaration_.rules[r];
    if (!rule.first.empty()) {
      connection.prepare({first_name(RuleIndex(r)), rule.file}, rule.first);
    }
    connection.prepare({rule_name(RuleIndex(r)), rule.file}, rule.sql);
  }
}

// --- deriving -----------------------------------------------------------------------------------

Derived PgDerive::derive() {
  Derived derived;
  Claim claimed;
  const auto begun = Steady::now();
  try {
    PgTransaction transaction(session_.get());
    claimed = claim(transaction);
    if (claimed.users.empty()) return derived;
    // Marks that came with another declaration, its sweeps', are for its rules.
    check_declared(transaction, declaration_hash_);
    TIDEMARK_KILL_POINT("X14");
    derived.runs = run(transaction, claimed);
    finish(transaction, claimed);
    TIDEMARK_KILL_POINT("X15");
    transaction.commit();
    derived.users = claimed.users.size();
    resize(std::chrono::duration_cast<std::chrono::microseconds>(Steady::now() - begun));
  } catch (const Failed& failed) {
    if (failed.error.kind() == ErrorKind::kRetry) throw failed.error;
    // One user's fault is none of the others'.
    for (const std::int64_t user : claimed.users) derive_alone(user, derived);
  }
  return derived;
}

PgDerive::Claim PgDerive::claim(PgTransaction& transaction) {
  Claim claimed;
  const auto ask = [&] {
    claimed.add(
        transaction.run("claim", {std::to_string(after_), names_, std::to_string(claim_size_)}),
        declaration_);
  };
  ask();
  if (claimed.users.empty() && after_ != kFirstUser) {
    after_ = kFirstUser;
    ask();
  }
  if (!claimed.users.empty()) after_ = claimed.users.back();
  return claimed;
}

void PgDerive::resize(std::chrono::microseconds held) {
  claim_size_ = held > kHeldMax ? std::max<std::size_t>(claim_size_ / 2, 1)
                                : std::min(claim_size_ * 2, users_max_);
}

std::vector<RuleRun> PgDerive::run(PgTransaction& transaction, const Claim& claimed) {
  std::vector<RuleRun> runs;
  for (std::uint32_t r = 0; r < claimed.by_rule.size(); ++r) {
    if (claimed.by_rule[r].empty()) continue;
    try {
      runs.push_back(run(transaction, RuleIndex(r), claimed));
    } catch (const WorldError& error) {
      throw Failed{RuleIndex(r), error};
    }
  }
  return runs;
}

RuleRun PgDerive::run(PgTransaction& transaction, RuleIndex rule, const Claim& claimed) {
  RuleRun run{.rule = rule, .users = claimed.by_rule[rule.value]};
  std::vector<std::int64_t> marked;
  std::vector<std::int64_t> swept;
  for (const std::int64_t user : run.users) {
    (std::ranges::binary_search(claimed.swept, user) ? swept : marked).push_back(user);
  }
  if (!marked.empty()) derive_rule(transaction, marked, run);
  if (!swept.empty()) derive_swept(transaction, swept, run);
  return run;
}

SqlResult PgDerive::derive_rule(PgTransaction& transaction, const std::vector<std::int64_t>& users,
                                RuleRun& run) {
  const Rule& rule = declaration_.rule(run.rule);
  const std::string list = array_of(users);
  const auto begun = Steady::now();
  if (!rule.first.empty()) transaction.run(first_name(run.rule), {list});
  SqlResult rows = transaction.run(rule_name(run.rule), {list, rule.name});
  run.took += std::chrono::duration_cast<std::chrono::microseconds>(Steady::now() - begun);
  run.written += rows.rows();
  for (std::size_t row = 0; row < rows.rows(); ++row) run.completed += rows.boolean(row, 2) ? 1 : 0;
  return rows;
}

// Apart from the others, as a row may be another user's than the one it was derived for.
void PgDerive::derive_swept(PgTransaction& transaction, const std::vector<std::int64_t>& users,
                            RuleRun& run) {
  const std::string& name = declaration_.rule(run.rule).name;
  const std::string list = array_of(users);
  const SqlResult stood = transaction.run("before_sweep", {list, name});
  std::map<std::string, std::string, std::less<>> before;
  for (std::size_t row = 0; row < stood.rows(); ++row) {
    before.emplace(stood.text(row, 0), stood.text(row, 1));
  }
  const SqlResult rows = derive_rule(transaction, users, run);
  if (rows.rows() == 0) return;
  run.swept += rows.rows();
  ArrayLiteral specifiers;
  ArrayLiteral were;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    specifiers.add(rows.text(row, 1));
    const auto found = before.find(rows.text(row, 1));
    if (found == before.end()) {
      were.add_null();
    } else {
      were.add(std::string_view(found->second));
    }
  }
  // Where users are looked up from what changed, a row may be another's than who was derived.
  const bool own = std::ranges::all_of(declaration_.rule(run.rule).dirty,
                                       [](const auto& source) { return source.via.empty(); });
  transaction.run("note_corrections",
                  {name, list, specifiers.take(), were.take(), own ? "t" : "f"});
}

void PgDerive::finish(PgTransaction& transaction, const Claim& claimed) {
  const SqlParams params{array_of(claimed.users), names_};
  transaction.run("delete_marks", params);
  if (claimed.unknown_rules) transaction.run("keep_unknown", params);
}

// Leaves out rules that fail, one after the other, until the rest is derived.
void PgDerive::derive_alone(std::int64_t user, Derived& derived) {
  std::vector<RuleFailure> failures;
  for (;;) {
    PgTransaction transaction(session_.get());
    Claim claimed;
    claimed.add(transaction.run("claim_one", {std::to_string(user), names_}), declaration_);
    if (claimed.users.empty()) return;  // another deriver has taken it meanwhile
    check_declared(transaction, declaration_hash_);
    ArrayLiteral left;
    for (const RuleFailure& failure : failures) {
      claimed.by_rule[failure.rule.value].clear();
      left.add(std::string_view(declaration_.rule(failure.rule).name));
    }
    try {
      std::vector<RuleRun> runs = run(transaction, claimed);
      if (failures.empty()) {
        finish(transaction, claimed);
      } else {
        const RuleFailure& last = failures.back();
        transaction.run("keep_failed",
                        {std::to_string(user), names_, left.take(),
                         declaration_.rule(last.rule).name + ": SQLSTATE " + last.sqlstate});
      }
      transaction.commit();
      ++derived.users;
      std::ranges::move(runs, std::back_inserter(derived.runs));
      std::ranges::move(failures, std::back_inserter(derived.failures));
      return;
    } catch (const Failed& failed) {
      if (failed.error.kind() == ErrorKind::kRetry) throw failed.error;
      failures.push_back({failed.rule, failed.error.what(), failed.error.sqlstate()});
    }
  }
}

std::string PgDerive::plan(RuleIndex rule, std::span<const std::int64_t> users) {
  PgTransaction transaction(session_.get());
  const SqlResult rows =
      transaction.run_sql({"explain " + rule_name(rule), declaration_.rule(rule).file},
                          "explain execute " + rule_name(rule) + "('" + array_of(users) + "', " +
                              quote_literal(declaration_.rule(rule).name) + ")");
  transaction.commit();
  std::string text;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    text += (row == 0 ? "" : "\n") + std::string(rows.text(row, 0));
  }
  static const std::regex ids(R"('\{[^']*\}')");
  return std::regex_replace(text, ids, "'{...}'");
}

Backlog PgDerive::backlog() {
  PgTransaction transaction(session_.get());
  const SqlResult rows = transaction.run_sql({"count what waits", "tidemark.dirty"}, kBacklogSql);
  const SqlResult failed =
      transaction.run_sql({"count what failed", "tidemark.dirty"},
                          "select count(*) from tidemark.dirty where error is not null");
  transaction.commit();
  Backlog backlog;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    backlog.rules.push_back({std::string(rows.text(row, 0)),
                             static_cast<std::uint64_t>(rows.integer(row, 1)),
                             std::stod(std::string(rows.text(row, 2)))});
  }
  backlog.failed = static_cast<std::uint64_t>(failed.integer(0, 0));
  return backlog;
}

// --- marking ------------------------------------------------------------------------------------

bool PgDerive::sweep(std::chrono::milliseconds every) {
  PgTransaction transaction(session_.get());
  const SqlResult next = transaction.run("next_sweep", {names_, std::to_string(every.count())});
  if (next.rows() == 0) return false;
  check_declared(transaction, declaration_hash_);
  const std::string name(next.text(0, 0));
  const auto found = std::ranges::find(declaration_.rules, name, &Rule::name);
  const RuleIndex rule(static_cast<std::uint32_t>(found - declaration_.rules.begin()));
  if (next.boolean(0, 3)) transaction.run("begin_sweep", {name});
  const RuleState state = read_rules(transaction, declaration_)[rule.value];
  WalkStep step;
  if (state.active) {
    step = walk_rule(transaction, declaration_, rule,
                     {static_cast<std::int32_t>(next.integer(0, 1)), next.optional_integer(0, 2)},
                     state.checkpoint, kSweepRows);
  }
  std::vector<UserMark> marks;
  for (const std::int64_t user : step.users) marks.emplace_back(user, rule);
  const std::size_t marked = mark_users(transaction, declaration_, std::move(marks), true);
  transaction.run("move_sweep",
                  {name, step.next ? text_of(step.next->phase) : std::nullopt,
                   step.next ? text_of(step.next->at) : std::nullopt, std::to_string(marked)});
  transaction.commit();
  return true;
}

std::size_t PgDerive::mark(RuleIndex rule, std::span<const std::int64_t> users) {
  PgTransaction transaction(session_.get());
  std::vector<UserMark> marks;
  for (const std::int64_t user : users) marks.emplace_back(user, rule);
  const std::size_t marked = mark_users(transaction, declaration_, std::move(marks), false);
  transaction.commit();
  return marked;
}

PgDerive::Walked PgDerive::walk(RuleIndex rule, const WalkPlace& place,
                                std::optional<std::int64_t> above) {
  PgTransaction transaction(session_.get());
  const WalkStep step = walk_rule(transaction, declaration_, rule, place, above, kWalkRows);
  std::vector<UserMark> marks;
  for (const std::int64_t user : step.users) marks.emplace_back(user, rule);
  const std::size_t marked = mark_users(transaction, declaration_, std::move(marks), false);
  transaction.commit();
  return {marked, step.next};
}

void PgDerive::lower_checkpoint(RuleIndex rule, std::int64_t block) {
  const std::optional<std::string>& checkpoint = declaration_.rule(rule).checkpoint;
  if (!checkpoint) return;
  PgTransaction transaction(session_.get());
  transaction.run_sql({"lower the checkpoint", "public.indexing_checkpoints"}, kLowerSql,
                      {*checkpoint, std::to_string(block)});
  transaction.commit();
}

}  // namespace tidemark
