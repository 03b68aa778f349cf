// Derives dirty users' challenges in Postgres (DESIGN 5, C2 and C3): claims users, runs their
// rules, and takes their marks away, in one transaction.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/ports.h"
#include "consumer/store/dirty_table.h"
#include "consumer/store/pg.h"
#include "consumer/store/rule_walk.h"

namespace tidemark {

struct PgDeriveOptions {
  PgOptions pg;  // synchronous_commit is set off: marks and what is derived go together
  // Users that are claimed at once, at most; fewer while a claim takes long, as batches that mark
  // one of them wait for the whole claim.
  std::size_t users_max = 200;
};

// What one rule did for the users of one claim.
struct RuleRun {
  RuleIndex rule;
  std::vector<std::int64_t> users;
  std::chrono::microseconds took{0};
  std::size_t written = 0;    // rows of public.user_challenges
  std::size_t completed = 0;  // of them, those that are complete now
  std::size_t swept = 0;      // of them, those of users whom only a sweep marked
};

// A rule that can't be derived for one user. The mark stays, and is tried again later.
struct RuleFailure {
  RuleIndex rule;
  std::string what;  // the statement and its SQLSTATE; no values
  std::string sqlstate;
};

struct Derived {
  std::size_t users = 0;  // 0: nothing is due
  std::vector<RuleRun> runs;
  std::vector<RuleFailure> failures;
};

// What waits, by rule: also rules that are not declared here.
struct Backlog {
  struct OfRule {
    std::string rule;
    std::uint64_t users = 0;
    double oldest_seconds = 0;
  };
  std::vector<OfRule> rules;
  std::uint64_t failed = 0;  // users with an error, who wait to be tried again
};

// One connection and one thread. Throws WorldError; after one, what was claimed is still marked.
class PgDerive {
 public:
  // `declaration` must outlive it.
  PgDerive(const Declaration& declaration, PgDeriveOptions options);

  // Claims some users that are due and derives all of their marked rules, in the rules' order. A
  // user for whom a rule fails is told in `failures`; the others go on.
  Derived derive();

  // One step of a sweep that goes on, was asked for, or is due: it marks users. False: there is
  // none to do. `every`: from one sweep of a rule to the next; 0: never by itself.
  bool sweep(std::chrono::milliseconds every);

  // For operators (rule C3): marks users for a rule, whatever the checkpoint. Gives how many
  // weren't.
  std::size_t mark(RuleIndex rule, std::span<const std::int64_t> users);
  // One step of a walk over all users of rows above a block, or of any, and of those who hold a row
  // of the rule. Begins at WalkPlace{}.
  struct Walked {
    std::size_t marked = 0;
    std::optional<WalkPlace> next;  // none: it was the last
  };
  Walked walk(RuleIndex rule, const WalkPlace& place, std::optional<std::int64_t> above);
  // From now on rows above this block mark users, if it is lower than the rule's checkpoint (C5).
  void lower_checkpoint(RuleIndex rule, std::int64_t block);

  // The plan of a rule's statement for these users, without their ids: for logs.
  std::string plan(RuleIndex rule, std::span<const std::int64_t> users);
  Backlog backlog();

 private:
  struct Claim;
  struct Failed;

  void prepare(PgConnection& connection);
  Claim claim(PgTransaction& transaction);
  std::vector<RuleRun> run(PgTransaction& transaction, const Claim& claim);
  RuleRun run(PgTransaction& transaction, RuleIndex rule, const Claim& claim);
  SqlResult derive_rule(PgTransaction& transaction, const std::vector<std::int64_t>& users,
                        RuleRun& run);
  void derive_swept(PgTransaction& transaction, const std::vector<std::int64_t>& users,
                    RuleRun& run);
  void resize(std::chrono::microseconds held);
  void finish(PgTransaction& transaction, const Claim& claim);
  void derive_alone(std::int64_t user, Derived& derived);

  const Declaration& declaration_;
  const std::string declaration_hash_;
  std::string names_;  // the rules', as an array
  std::size_t users_max_;
  std::size_t claim_size_;  // what the next claim takes
  std::int64_t after_;      // the last user claimed: users take turns
  PgSession session_;
};

}  // namespace tidemark
