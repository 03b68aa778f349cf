// What the stored state belongs to, and who may work with it (rules P5 and A9).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "consumer/store/pg.h"

namespace tidemark {

// Who wants to work with the state.
struct StateClaim {
  std::string group_id;
  std::string declaration_hash;
};

// The advisory lock under which the state is migrated; members hold it shared while they claim, so
// that no claim slips in beside a migration. Stored in no table, but never renumber: two versions
// must agree on it.
inline constexpr std::int64_t kStateLock = 0x7469'6465'6d61'726b;  // "tidemark"

// The state schema's version that this binary knows: its last migration's.
int known_schema_version();

// Throws WorldError(kConfig) that says what to do when the state was never migrated, is newer or
// older than this binary, or belongs to another group or declaration. Runs one statement.
void check_state(PgTransaction& transaction, const StateClaim& claim);

// Throws WorldError(kConfig) when a state made for the declaration `stored` meets `ours`. Who works
// by a declaration beside the claims asks again under the lock that a migration waits for: the
// state may have been migrated since.
void check_declaration(std::string_view stored, std::string_view ours);
// The same of the state as it is now. Runs one statement.
void check_declared(PgTransaction& transaction, std::string_view ours);

// As check_state, for the schema alone: that tables to prepare statements for are there.
void check_schema(PgTransaction& transaction);

}  // namespace tidemark
