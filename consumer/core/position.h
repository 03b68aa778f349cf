// Where a change stands in its source, and what a partition has seen so far (DESIGN 4.2).
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "consumer/core/types.h"

namespace tidemark {

// The pair of Debezium's `source.sequence`: [last commit LSN, LSN]. The first is the end of the
// previous transaction that the slot emitted; it is absent for the first transaction after a
// snapshot. Compared as numbers, absent below every LSN (rule N2).
struct Position {
  std::optional<Lsn> last_commit;
  Lsn lsn;

  friend auto operator<=>(const Position&, const Position&) = default;
};

// What a partition has seen: the highest position, and the identities (table, primary key, op) of
// the changes at exactly that position: several rows of one COPY page, and the `d` and `c` of a
// key change, share one. Ordered as they came; bounded by the rows of one WAL record.
struct Mark {
  std::optional<Position> position;
  std::vector<Hash64> seen;

  friend bool operator==(const Mark&, const Mark&) = default;
};

// Changes that prove nothing though they are new, as the mark can't be trusted for them (rules N3,
// F8): their cells are recounted.
struct TouchOnly {
  Offset below{0};  // those at lower offsets
  Lsn until{0};     // those with a lower LSN
  // None by default.
  friend bool operator==(const TouchOnly&, const TouchOnly&) = default;
};

// How a change stands to a mark (rule N1).
enum class Novelty : std::uint8_t {
  kNew,         // above the mark, or at it with an identity not yet seen there
  kBelowMark,   // below the mark: came before
  kSeenAtMark,  // at the mark and seen there: came before
  kUnknown,     // no usable position: nothing can be said
};

// Judges a change by its position and identity, and moves the mark when it is new.
Novelty observe(Mark& mark, const std::optional<Position>& position, Hash64 identity);

}  // namespace tidemark
