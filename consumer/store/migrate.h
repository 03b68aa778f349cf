// Makes and changes the state schema, and binds it to a group and a declaration.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/store/migrations.h"
#include "consumer/store/pg.h"

namespace tidemark {

struct MigrateOptions {
  PgOptions pg;  // of the migrating role
  std::string group_id;
  // The service's role, which gets its rights on schema tidemark; empty: none is granted. A role
  // that doesn't exist is an error that says so.
  std::string run_role;
};

struct MigrateResult {
  std::vector<std::string> applied;       // names of the migrations that were applied now
  std::vector<std::string> new_counters;  // "schema.table.column": all of their cells are suspect
  std::vector<std::string> swept;         // rules that will be swept: new, or marking others
  bool declaration_changed = false;       // members with the old one are fenced
};

// Applies what is missing, each migration in its own transaction and under the state's advisory
// lock (a second run waits for the first). A migration that holds the line
// `-- tidemark: no-transaction` runs outside of one: it must be a single statement that may be
// repeated (CREATE INDEX CONCURRENTLY IF NOT EXISTS), as it is recorded only afterwards.
//
// Then binds the state: the first time to this group and declaration; later it refuses another
// group, and for another declaration makes the cells of new and of changed counters suspect and
// raises all epochs, in one durable transaction, so that members with the old one are fenced (P5).
//
// Throws WorldError(kConfig) when the state is newer than this binary, an applied migration was
// changed since, or the group is another.
MigrateResult migrate(const MigrateOptions& options, const Declaration& declaration);

// The same with other migrations than the embedded ones.
MigrateResult migrate(const MigrateOptions& options, const Declaration& declaration,
                      std::span<const Migration> migrations);

}  // namespace tidemark
