// Carries out checks of `tidemark doctor`, and says what they found.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "consumer/core/diagnosis.h"

namespace tidemark {

struct CheckResult {
  std::string side;
  std::string name;
  bool skipped = false;  // the gate of its side was shut
  std::vector<Finding> findings;
};

struct Diagnosis {
  std::vector<CheckResult> checks;  // in the order given

  std::size_t count(Finding::Level level) const;
};

// Each check, whatever the others did; one that can't see is a finding itself. Behind a gate with
// an error the rest of its side is skipped.
Diagnosis diagnose(std::span<const DoctorCheck> checks);

// For people: a line for each check, and below it what was found, why it matters, what mends it.
std::string text_of(const Diagnosis& diagnosis);
// For machines.
std::string json_of(const Diagnosis& diagnosis);

}  // namespace tidemark
