#include "tests/sim/rules.h"

#include <array>

namespace tidemark::sim {
namespace {

constexpr std::array<std::string_view, kRules> kNames = {
    "offset",        "epoch",        "mark",        "tie",           "null-stays",
    "not-new",       "visible",      "list",        "window",        "next",
    "inserted",      "floor",        "floor-ended", "floor-first",   "fence",
    "turns",         "version",      "slot",        "end",           "arrival",
    "except",        "raise",        "repair-saw",  "flag",          "flag-at-apply",
    "flag-at-slice", "flag-at-drop", "verify-slot", "verify-fences", "verify-arrival"};

}  // namespace

std::string_view rule_name(Rule rule) { return kNames[static_cast<std::size_t>(rule)]; }

std::optional<Rule> rule_named(std::string_view name) {
  for (std::size_t i = 0; i < kRules; ++i) {
    if (kNames[i] == name) return static_cast<Rule>(i);
  }
  return std::nullopt;
}

}  // namespace tidemark::sim
