// Rebuilds in Postgres: cells from zero by the topics' whole history, without a look at the source
// tables and without a fence (DESIGN 4.6).
//
// Into other tables beside the live ones, by whoever calls store(); or in place, where the group
// itself reads all again. The first makes schema and tables: with the migrating role's rights.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/core/fold.h"
#include "consumer/store/pg.h"
#include "consumer/store/state.h"

namespace tidemark {

// The declaration as it counts in tables of that schema. Recounted columns are left out, as are
// looked-up ones whose source is not there: only the source tables tell them. Nothing is announced.
Declaration rebuilt_declaration(PgConnection& connection, const Declaration& declaration,
                                const std::string& schema);

struct RebuildPart {
  FoldPartition at;  // where it goes on
  Offset end;        // the first offset that is not read
};

// One connection and one thread. Throws WorldError.
class PgRebuild {
 public:
  // `live` is the state's declaration. Makes schema and tables that are missing, like the live
  // ones. Refuses (kConfig) the schema of a live one.
  PgRebuild(const Declaration& live, PgOptions pg, std::string group_id, std::string schema);

  // What is counted, and where.
  const Declaration& declaration() const { return declaration_; }

  // The parts as they are stored: those of an unfinished rebuild where it stopped, the others from
  // the beginning. Another process with the same rebuild is fenced. Refuses (kConfig) when one into
  // another schema has not ended, and when it would begin in tables that are not empty.
  std::vector<RebuildPart> begin(std::span<const RebuildPart> parts);
  // Forgets an unfinished one, and empties the tables.
  void restart();
  // One transaction: deltas, and how far they go. Refuses (kFatal) when another process went on.
  void store(const Delta& delta);
  // All of it was read: forgotten, durably; the tables stay.
  void finish();

 private:
  void prepare(PgConnection& connection);

  StateClaim claim_;
  std::string schema_;
  Declaration declaration_;
  PgSession session_;
};

// In place: zeroes every counter, and has the group read every topic from its beginning. Members
// that run are fenced, and go on there. Gives how many rows were not zero.
std::size_t rebuild_in_place(PgConnection& connection, const Declaration& declaration,
                             const StateClaim& claim);

}  // namespace tidemark
