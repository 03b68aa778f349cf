// tidemark.dirty: users whose challenges must be derived again (DESIGN 5, C1 and C4 to C6).
//
// Rules are challenges: their catalogue is public.challenges, their checkpoints stand in
// public.indexing_checkpoints, their rows in public.user_challenges. A rule whose challenge is
// absent or inactive marks nobody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/store/pg.h"

namespace tidemark {

// A rule as the database has it.
struct RuleState {
  bool active = false;
  std::optional<std::int64_t> checkpoint;  // none: every change marks
};

using UserMark = std::pair<std::int64_t, RuleIndex>;

// Prepares what the others run; nothing when there are no rules.
void prepare_marks(PgConnection& connection, const Declaration& declaration);

// By rule.
std::vector<RuleState> read_rules(PgTransaction& transaction, const Declaration& declaration);

// The users whom these keys of a source stand for, in any order, perhaps twice.
std::vector<std::int64_t> users_of(PgTransaction& transaction, const Declaration& declaration,
                                   RuleIndex rule, std::uint32_t source,
                                   std::span<const std::int64_t> keys);

// Marks users, in their order (two writers wait in line), but for rules that are finished for
// them. A user who is being derived is waited for, so that no mark is lost. `swept`: a periodic
// sweep asks. Gives how many users it marked that weren't.
std::size_t mark_users(PgTransaction& transaction, const Declaration& declaration,
                       std::vector<UserMark> marks, bool swept);

struct Marked {
  std::size_t users = 0;             // that weren't
  std::size_t below_checkpoint = 0;  // keys left out, each for one rule
};

// A batch's marks: what is at or below its rule's checkpoint is left out. To be called after
// rule F2's wait, so that who derives sees the change behind a mark.
Marked add_marks(PgTransaction& transaction, const Declaration& declaration, const Delta& delta);

// Has rules swept: whom they concern can't be told.
void request_sweeps(PgTransaction& transaction, const Declaration& declaration,
                    std::span<const RuleIndex> rules);
void request_all_sweeps(PgTransaction& transaction, const Declaration& declaration);

}  // namespace tidemark
