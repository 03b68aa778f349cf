// tidemark.fences and the turn that batches and recount slices take (DESIGN 4.4, rules F2 and F3).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/core/fence.h"
#include "consumer/store/pg.h"

namespace tidemark {

// The advisory lock of a turn: batches hold it shared, a slice alone, each until its transaction
// ends. Never renumber: two versions must agree on it.
inline constexpr std::int64_t kTurnLock = 0x7469'6465'7475'726e;  // "tideturn"

// xmax and running ids of pg_snapshot's text, "xmin:xmax:id,id".
SourceSnapshot parse_snapshot(std::string_view text);

// Rule F1: the end of the log, then an id that is given out after it. For a snapshot that was taken
// before, in a transaction of the source that has no id yet; fills `inserted` and `next`.
void read_ends(PgTransaction& source, SourceSnapshot& snapshot);

// Prepares what the others run.
void prepare_fences(PgConnection& connection);
// Waits for the shared turn.
void share_turn(PgTransaction& transaction);

struct Turn {
  std::int64_t version = 0;
  std::string history;      // see read_history; empty: none is stored yet
  SourceSnapshot snapshot;  // xmax, running, next: of this moment, for rule F2
};
// To be called in a later statement than share_turn: one that waits reads the old version (P2).
Turn read_turn(PgTransaction& transaction);

// Rule F2: waits until every transaction of the batch is visible, so that every later recount sees
// what is stored now. `seen` is a snapshot of the source of now, and `look` takes another. Throws
// WorldError(kRetry) when one is not visible within patience.
void wait_until_visible(const Delta& delta, SourceSnapshot seen,
                        const std::function<SourceSnapshot()>& look);

// Random, as one that counts could come back after a failover (rule F3).
std::string new_turn_version();

std::vector<Fence> read_fences(PgTransaction& transaction, const Declaration& declaration);

// Identifier and timeline of the database that a connection leads to (rule F8).
std::string read_history(PgTransaction& transaction);

}  // namespace tidemark
