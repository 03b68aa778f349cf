// Walks over the users whom a rule concerns, step by step, to mark them (rule C3): those of rows
// above a block, source by source, and those who hold a row of the rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/store/pg.h"

namespace tidemark {

// Stored: each source has two phases, by block (or by key, without one) and then, by key, the rows
// whose block is null; the last phase is the rule's own rows. Never renumber.
struct WalkPlace {
  std::int32_t phase = 0;
  std::optional<std::int64_t> at;  // the last block or key; none: at the phase's beginning
};

struct WalkStep {
  std::vector<std::int64_t> users;  // perhaps twice
  std::optional<WalkPlace> next;    // none: the walk is through
};

// One step over about `rows_max` rows. `above`: only rows of higher blocks; none: all. Needs
// prepare_marks.
WalkStep walk_rule(PgTransaction& transaction, const Declaration& declaration, RuleIndex rule,
                   const WalkPlace& place, std::optional<std::int64_t> above, std::size_t rows_max);

}  // namespace tidemark
