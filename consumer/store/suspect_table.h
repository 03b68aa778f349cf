// tidemark.suspects and tidemark.suspect_ranges: what must be recounted, as batches and replays
// name it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/store/pg.h"

namespace tidemark {

// Prepares what the others run.
void prepare_suspects(PgConnection& connection);
// Both are to be called under the shared turn. Cells come sorted, each once. Gives how many cells
// became suspect by `counted`. `source_id`: an id that the source gave out just now, where it is
// another database (F10).
std::size_t add_suspects(PgTransaction& transaction, const Declaration& declaration,
                         std::span<const SuspectCell> cells, SuspectCause counted);
void add_ranges(PgTransaction& transaction, const Declaration& declaration,
                std::span<const SuspectRange> ranges,
                std::optional<std::uint64_t> source_id = std::nullopt);

}  // namespace tidemark
