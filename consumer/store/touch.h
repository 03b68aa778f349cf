// What reads records again makes suspect and dirty, and nothing else: replays, and parked records
// that are dealt with.
#pragma once

#include <cstddef>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/store/pg.h"
#include "consumer/store/source_database.h"

namespace tidemark {

struct Touched {
  std::size_t cells = 0;   // became suspect
  std::size_t ranges = 0;  // counters that became suspect as a whole, or were already
};

// Prepares what touch() runs.
void prepare_touch(PgConnection& connection, const Declaration& declaration);

// Takes the shared turn, waits until the delta's transactions are visible (rule F2), and names its
// cells and counters suspect and its users dirty. Its deltas and rows are left alone: an old change
// may make a row for a key that is gone.
// `source`: where the watched tables are, if in another database (F10).
Touched touch(PgTransaction& transaction, const Declaration& declaration, const Delta& delta,
              SourceDatabase* source = nullptr);

}  // namespace tidemark
