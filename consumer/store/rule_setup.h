// What `migrate` sets up for challenge rules (DESIGN 5, C3 and C5).
#pragma once

#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/store/pg.h"

namespace tidemark {

// Stores the rules, has those swept that are new or mark other users than before, and seeds the
// checkpoints that aren't there yet: "from now", the newest block of a rule's tables less one, as
// that block may still be filling. Gives the rules that will be swept. Needs tidemark.sweeps.
std::vector<std::string> bind_rules(PgTransaction& transaction, const Declaration& declaration);

}  // namespace tidemark
