#include "consumer/store/touch.h"

#include <vector>

#include "consumer/store/dirty_table.h"
#include "consumer/store/fence_table.h"
#include "consumer/store/suspect_table.h"

namespace tidemark {
namespace {

// What could not be decoded waits for the transactions of now to end, as when it was parked.
template <class Suspect>
std::vector<Suspect> replayed(std::vector<Suspect> suspects) {
  for (Suspect& suspect : suspects) {
    if (suspect.cause != SuspectCause::kParked) suspect.cause = SuspectCause::kReplay;
  }
  return suspects;
}

}  // namespace

void prepare_touch(PgConnection& connection, const Declaration& declaration) {
  prepare_fences(connection);
  prepare_suspects(connection);
  prepare_marks(connection, declaration);
}

Touched touch(PgTransaction& transaction, const Declaration& declaration, const Delta& delta,
              SourceDatabase* source) {
  share_turn(transaction);
  const Turn turn = read_turn(transaction);  // a later statement: see rule P2
  const auto look = looks_at(source, transaction);
  const SourceSnapshot seen = source != nullptr ? look() : turn.snapshot;
  wait_until_visible(delta, seen, look);
  const std::size_t cells =
      add_suspects(transaction, declaration, replayed(delta.suspect_cells), SuspectCause::kReplay);
  add_ranges(transaction, declaration, replayed(delta.suspect_ranges),
             source != nullptr ? std::optional(seen.next) : std::nullopt);
  add_marks(transaction, declaration, delta);
  return {.cells = cells, .ranges = delta.suspect_ranges.size()};
}

}  // namespace tidemark
