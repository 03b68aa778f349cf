// The source, where it is another database than the target (DESIGN F10): what a batch asks of it.
//
// Rows, the transactions that wrote them, their log and Debezium's slot are in the source; cells,
// offsets, fences and turns in the target. Ids and LSNs that are stored are the source's.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/fence.h"
#include "consumer/store/apply_sql.h"
#include "consumer/store/pg.h"
#include "consumer/store/recounted_columns.h"

namespace tidemark {

// For each lookup of the aggregate a parameter of upsert_sql's behind the counters' (see
// LookupsFrom::kParameters): the values for these keys, an array literal.
void prepare_lookups(PgConnection& source, const Declaration& declaration);
void add_lookups(PgTransaction& source, const Declaration& declaration, AggregateIndex aggregate,
                 SqlParams& params);

// What the aggregate's looked up columns should hold for each of these keys, as text; none: nothing
// is known. In the order of the keys; needs what prepare_lookups prepares.
std::vector<ColumnTexts> look_up(PgTransaction& source, const Declaration& declaration,
                                 AggregateIndex aggregate, std::span<const std::string> keys);

// Where a range of the aggregate's keys that begins at `from` should end to take about `rows` rows
// of any table in it; none: it is the last. `source`: where the watched tables are, if in another
// database than the cells.
std::optional<std::string> find_range_end(PgTransaction& cells, PgTransaction* source,
                                          const Declaration& declaration, AggregateIndex aggregate,
                                          const std::optional<std::string>& from, std::size_t rows);

// Why two databases can't serve the declaration; empty: they can.
std::string refused_with_a_source(const Declaration& declaration);

class SourceDatabase;
// A look at the source of now, for rule F2: at `source`, or, where that is none, at the database of
// this transaction, which has the shared turn. Both must outlive it.
std::function<SourceSnapshot()> looks_at(SourceDatabase* source, PgTransaction& transaction);

// One connection, made when first needed and anew after it broke; one thread. Throws WorldError.
class SourceDatabase {
 public:
  // `declaration` must outlive it.
  SourceDatabase(const Declaration& declaration, PgOptions options);

  // Rule F8: see read_history; as of the connection in use.
  std::string history();
  // Rule F2: xmax and running ids of now, and an id that was given out after it.
  SourceSnapshot snapshot();
  void add_lookups(AggregateIndex aggregate, SqlParams& params);

 private:
  const Declaration& declaration_;
  std::string history_;
  PgSession session_;
};

}  // namespace tidemark
