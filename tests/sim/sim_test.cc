// The promise of DESIGN over many schedules, and that each rule is needed for it.
//
//   TIDEMARK_SIM_SEEDS=1000000 sim_test --gtest_filter='Sim.*Promise'   more seeds
//   TIDEMARK_SIM_SEED=17 sim_test --gtest_filter='*Replay*'             one seed, step by step
//   TIDEMARK_SIM_WITHOUT=list,window                                    ... with rules taken away
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace tidemark::sim {
namespace {

constexpr std::uint64_t kSeeds = 30'000;
// A rule's removal must be noticed within so many.
constexpr std::uint64_t kSeedsWithout = 10'000;
constexpr std::size_t kFailuresMax = 10;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// What broke; empty: nothing.
std::string broken_by(std::uint64_t seed, const Rules& rules, Reached& reached,
                      bool verbose = false) {
  try {
    play(seed, rules, verbose, reached);
    return {};
  } catch (const Broken& broken) {
    return broken.what();
  }
}

TEST(Sim, EverySeedKeepsThePromise) {
  const std::uint64_t seeds = from_environment("TIDEMARK_SIM_SEEDS", kSeeds);
  Reached reached;
  std::size_t failures = 0;
  for (std::uint64_t seed = 1; seed <= seeds && failures < kFailuresMax; ++seed) {
    const std::string broken = broken_by(seed, {}, reached);
    if (broken.empty()) continue;
    ADD_FAILURE() << "seed " << seed << ": " << broken;
    ++failures;
  }
}

// Schedules that don't get there prove nothing.
TEST(Sim, SchedulesReachEachFaultOften) {
  Reached reached;
  for (std::uint64_t seed = 1; seed <= 2'000; ++seed) broken_by(seed, {}, reached);
  for (std::size_t i = 0; i < kEventsReached; ++i) {
    const auto event = static_cast<Happened>(i);
    std::printf("%-28s %zu\n", happened_name(event), reached.of(event));
    EXPECT_GE(reached.of(event), 100U) << happened_name(event);
  }
}

struct Removal {
  std::vector<Rule> rules;
  std::uint64_t known = 1;  // a seed that breaks; looked for from 1 on once it no longer does
  std::string name() const {
    std::string all;
    for (const Rule rule : rules) {
      if (!all.empty()) all += "_and_";
      all += rule_name(rule);
    }
    std::ranges::replace(all, '-', '_');
    return all;
  }
  Rules left() const {
    Rules all;
    for (const Rule rule : rules) all.take_away(rule);
    return all;
  }
};

void PrintTo(const Removal& removal, std::ostream* out) { *out << removal.name(); }

class SimWithout : public ::testing::TestWithParam<Removal> {};

TEST_P(SimWithout, SomeSeedBreaksThePromise) {
  const std::uint64_t seeds = from_environment("TIDEMARK_SIM_SEEDS_WITHOUT", kSeedsWithout);
  Reached reached;
  for (std::uint64_t tried = 0; tried <= seeds; ++tried) {
    const std::uint64_t seed = tried == 0 ? GetParam().known : tried;
    const std::string broken = broken_by(seed, GetParam().left(), reached);
    if (broken.empty()) continue;
    std::printf("without %s: seed %llu: %s\n", GetParam().name().c_str(),
                static_cast<unsigned long long>(seed), broken.c_str());
    return;
  }
  FAIL() << "no seed notices";
}

std::vector<Removal> removals() {
  return {
      {{Rule::kOffset}},
      {{Rule::kOffset, Rule::kEpoch}},
      {{Rule::kMark}},
      {{Rule::kTie}},
      {{Rule::kNotNew}, 67},
      {{Rule::kNullStays}, 3837},
      {{Rule::kVisible}, 235},
      {{Rule::kList}},
      {{Rule::kWindow}},
      {{Rule::kNext}},
      {{Rule::kInserted}},
      {{Rule::kList, Rule::kWindow}},
      {{Rule::kFloor}, 87},
      {{Rule::kFloorEnded}, 461},
      {{Rule::kFloorEnded, Rule::kFloorFirst}, 8},
      {{Rule::kFence}},
      {{Rule::kTurns}},
      {{Rule::kVersion}},
      {{Rule::kSlot}, 34},
      {{Rule::kEnd}},
      {{Rule::kArrival}, 7},
      {{Rule::kExcept}, 549},
      {{Rule::kRaise}, 4666},
      {{Rule::kRepairSaw}},
      {{Rule::kFlag}, 4},
      {{Rule::kFlagAtSlice}, 5565},
      {{Rule::kFlagAtApply, Rule::kFlagAtDrop}, 667},
      {{Rule::kVerifySlot}},
      {{Rule::kVerifyFences}},
      {{Rule::kVerifyArrival}, 43},
  };
}

std::string name_of(const ::testing::TestParamInfo<Removal>& one) { return one.param.name(); }

// Pairs: where one rule alone is not missed, as the other does its work (see README.md).
INSTANTIATE_TEST_SUITE_P(Rule, SimWithout, ::testing::ValuesIn(removals()), name_of);

TEST(SimReplay, PlaysOneSeedStepByStep) {
  const std::uint64_t seed = from_environment("TIDEMARK_SIM_SEED", 0);
  if (seed == 0) GTEST_SKIP() << "TIDEMARK_SIM_SEED names no seed";
  Rules rules;
  const char* without = std::getenv("TIDEMARK_SIM_WITHOUT");
  std::istringstream names(without == nullptr ? "" : without);
  for (std::string name; std::getline(names, name, ',');) {
    const std::optional<Rule> rule = rule_named(name);
    ASSERT_TRUE(rule.has_value()) << "no rule is called " << name;
    rules.take_away(*rule);
  }
  Reached reached;
  EXPECT_EQ(broken_by(seed, rules, reached, true), "");
}

}  // namespace
}  // namespace tidemark::sim
