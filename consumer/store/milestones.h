// Milestones in Postgres: which of the cells that crossed a threshold are announced, and the
// application's statement that does it, in the transaction that changes the cells (DOMAIN 2).
//
// A suspect cell announces nothing, as its value may be wrong: its recount announces what it finds
// crossed, so the value from which it rose is kept in tidemark.unannounced. Until its first recount
// a cell has no value to rise from, and nothing is announced.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/core/fence.h"
#include "consumer/core/milestone.h"
#include "consumer/store/pg.h"

namespace tidemark {

// Prepares what the others run, the application's statements too: what they lack is told at start.
void prepare_milestones(PgConnection& connection, const Declaration& declaration);

// --- a batch ---
// Adds what UpsertSql::announcing takes beyond the deltas. False: no row can cross a milestone, and
// nothing was added.
bool add_reaches(const Aggregate& aggregate, const AggregateDelta& delta, SqlParams& params);
// Adds the values in what UpsertSql::announcing gave.
void add_values(const SqlResult& result, const Declaration& declaration, AggregateIndex aggregate,
                const AggregateDelta& delta, std::vector<CellValue>& values);
// To be called under the shared turn, after all cells are written and all suspects are stored: the
// statement sees the rows that the batch made, and what is suspect by the batch itself.
void announce(PgTransaction& transaction, const Declaration& declaration, const Delta& delta,
              const FencedDelta& fenced, std::span<const CellValue> values);

// --- a slice ---
// A cell that a recount raised.
struct RaisedCell {
  std::size_t milestone;  // in the aggregate's milestones
  std::string key;
  std::int64_t before;
  std::int64_t after;
};
// To be called under the turn, after the cells are written and before the suspects among `keys` are
// taken off the list and the pass is moved on. `unannounced`: what suspect cells of these keys
// crossed before waits in tidemark.unannounced.
void announce_recounted(PgTransaction& transaction, const Declaration& declaration,
                        AggregateIndex aggregate, const KeySet& keys, bool unannounced,
                        std::span<const RaisedCell> raised);

}  // namespace tidemark
