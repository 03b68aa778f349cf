// Who reads the target and checks the promise (DESIGN 4.4, its end, and 4.5).
#pragma once

#include "tests/sim/connector.h"
#include "tests/sim/stored.h"

namespace tidemark::sim {

// In any snapshot of the target: a cell that is not suspect is what its last recount saw, what the
// stored offsets cover beyond, and what was done to it by hand since. Throws Broken.
void check_cells(const Stored& stored, const Source& source, const Connector& connector);

// Once all is delivered, applied and recounted: cells are the truth, but for what was done by hand
// since. Throws Broken.
void check_truth(const Stored& stored, const Source& source);

// Once all fences are dropped: the ledger is empty, and cells that were never suspect have drifted
// by exactly what was done by hand. Throws Broken.
void check_drift(const Stored& stored);

}  // namespace tidemark::sim
