#include "consumer/store/state.h"

#include "consumer/core/check.h"
#include "consumer/store/migrations.h"

namespace tidemark {
namespace {

[[noreturn]] void refuse(const std::string& why) { throw WorldError(ErrorKind::kConfig, why); }

void check_version(std::int64_t stored) {
  const int known = known_schema_version();
  const std::string versions = "the state schema is at version " + std::to_string(stored) +
                               ", this binary knows " + std::to_string(known);
  if (stored > known) refuse("state: " + versions + ": start a newer binary");
  if (stored < known) refuse("state: " + versions + ": run `tidemark migrate`");
}

SqlResult read_state(PgTransaction& transaction) {
  const StatementName statement{"read the state", "tidemark.state"};
  const auto there =
      transaction.run_sql(statement, "select to_regclass('tidemark.state') is not null");
  if (!there.boolean(0, 0)) refuse("state: schema tidemark is not there: run `tidemark migrate`");
  SqlResult state = transaction.run_sql(
      statement, "select schema_version, group_id, declaration_hash from tidemark.state");
  if (state.rows() == 0) refuse("state: it was never set up: run `tidemark migrate`");
  check_version(state.integer(0, 0));
  return state;
}

}  // namespace

int known_schema_version() {
  TIDEMARK_CHECK(!embedded_migrations().empty());
  return embedded_migrations().back().version;
}

void check_schema(PgTransaction& transaction) { read_state(transaction); }

void check_state(PgTransaction& transaction, const StateClaim& claim) {
  const SqlResult state = read_state(transaction);
  if (state.text(0, 1) != claim.group_id) {
    refuse("state: it belongs to group '" + std::string(state.text(0, 1)) +
           "', this member is of '" + claim.group_id +
           "': one group counts into one database; use that group, or another one");
  }
  check_declaration(state.text(0, 2), claim.declaration_hash);
}

void check_declaration(std::string_view stored, std::string_view ours) {
  if (stored == ours) return;
  refuse("state: it was made for declaration " + std::string(stored) + ", this member has " +
         std::string(ours) + ": give every member the same schemas/ and run `tidemark migrate`");
}

void check_declared(PgTransaction& transaction, std::string_view ours) {
  const SqlResult state = transaction.run_sql({"read the declaration", "tidemark.state"},
                                              "select declaration_hash from tidemark.state");
  if (state.rows() == 0) refuse("state: it was never set up: run `tidemark migrate`");
  check_declaration(state.text(0, 0), ours);
}

}  // namespace tidemark
