// One run: a schedule of everybody's steps, made from a seed, and what must hold in it.
#pragma once

#include <cstdint>

#include "tests/sim/member.h"
#include "tests/sim/reader.h"
#include "tests/sim/recounter.h"
#include "tests/sim/verifier.h"

namespace tidemark::sim {

// Plays the seed's schedule; throws Broken with the step and what did not hold.
void play(std::uint64_t seed, const Rules& rules, bool verbose, Reached& reached);

}  // namespace tidemark::sim
