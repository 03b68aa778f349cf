// The statements of `apply`, made from the checked declaration, and their parameters.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/store/pg.h"

namespace tidemark {

// One statement that adds deltas to an aggregate's rows, makes the missing ones, and looks up what
// is looked up. Parameters: $1 an array of keys, ascending and each once (the lock order); then per
// counter an array of integer, or NULL for a counter that no row touches. A null counter counts as
// 0. Rows without effect are locked only.
struct UpsertSql {
  // Gives nothing. For a batch without a negative delta: no cell falls below zero by it.
  std::string adding;
  // Gives one row for each key that has a negative counter among those passed: the key as text,
  // then per counter whether it is. It costs 5 to 7 % over `adding`.
  std::string checking;
  // As `checking`, and gives the keys too that may have crossed a milestone; behind the flags one
  // column for each milestone counter, its value. For a batch that adds to one; takes reaches()
  // behind the deltas. Empty for an aggregate without milestones.
  std::string announcing;
};
// Where an upsert takes looked-up values from: the watched tables beside the aggregate; or, where
// these are in another database (F10), one more parameter for each lookup behind the counters': an
// array of values, or NULLs where no row counts.
enum class LookupsFrom : std::uint8_t { kTables, kParameters };

// The deltas' type is integer; a recount's differences may need bigint.
UpsertSql upsert_sql(const Declaration& declaration, AggregateIndex aggregate,
                     std::string_view delta_type = "integer",
                     LookupsFrom lookups = LookupsFrom::kTables);

// The looked-up value for the key in b.k, an expression; null when no row of the watched table
// counts.
std::string lookup_sql(const Declaration& declaration, const Lookup& lookup);

// True when the batch can make a cell negative.
bool takes_away(const AggregateDelta& delta);

// For each milestone counter, in their order, the most that the batch adds to one row. All are 0:
// it crosses nothing.
std::vector<std::int64_t> reaches(const Aggregate& aggregate, const AggregateDelta& delta);

// The deltas of one aggregate as upsert_sql's parameters.
SqlParams upsert_params(const AggregateDelta& delta);

// Rule P1: compares and advances all partitions of a batch in one step. Affects one row for each
// partition whose offset and epoch were those that the batch started from. `table` has the columns
// of tidemark.progress.
std::string advance_sql(const std::string& table);
SqlParams advance_params(std::span<const Advance> advances);

}  // namespace tidemark
