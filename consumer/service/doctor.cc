#include "consumer/service/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "consumer/core/ports.h"

namespace tidemark {
namespace {

constexpr std::string_view level_name(Finding::Level level) {
  return level == Finding::Level::kError ? "error" : "warning";
}

std::vector<Finding> look(const DoctorCheck& check) {
  try {
    return check.look();
  } catch (const WorldError& error) {
    return {{Finding::Level::kError, error.what(),
             check.gate ? "no member can work without it, and nothing more can be looked at"
                        : "this could not be looked at: what it would have told is not known",
             check.gate ? "correct [" + check.side + "], or start what doesn't answer"
                        : "mend that, and run `tidemark doctor` again"}};
  }
}

bool has_error(const CheckResult& result) {
  for (const Finding& finding : result.findings) {
    if (finding.level == Finding::Level::kError) return true;
  }
  return false;
}

// "ok", "skipped", or the gravest of what was found.
std::string_view state_of(const CheckResult& result) {
  if (result.skipped) return "skipped";
  if (result.findings.empty()) return "ok";
  return level_name(has_error(result) ? Finding::Level::kError : Finding::Level::kWarning);
}

// A driver's text may have several lines.
std::string one_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return text;
}

std::string plural(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace

std::size_t Diagnosis::count(Finding::Level level) const {
  std::size_t found = 0;
  for (const CheckResult& check : checks) {
    for (const Finding& finding : check.findings) found += finding.level == level ? 1 : 0;
  }
  return found;
}

Diagnosis diagnose(std::span<const DoctorCheck> checks) {
  Diagnosis diagnosis;
  std::set<std::string> shut;
  for (const DoctorCheck& check : checks) {
    CheckResult result{check.side, check.name, shut.contains(check.side), {}};
    if (!result.skipped) result.findings = look(check);
    if (check.gate && has_error(result)) shut.insert(check.side);
    diagnosis.checks.push_back(std::move(result));
  }
  return diagnosis;
}

std::string text_of(const Diagnosis& diagnosis) {
  std::string text;
  for (const CheckResult& check : diagnosis.checks) {
    text += fmt::format("{:8} {}: {}\n", state_of(check), check.side, check.name);
    for (const Finding& finding : check.findings) {
      text += fmt::format("  {}: {}\n    why:  {}\n    mend: {}\n", level_name(finding.level),
                          one_line(finding.what), finding.why, one_line(finding.mend));
    }
  }
  return text + fmt::format("{}, {}, {}\n", plural(diagnosis.checks.size(), "check"),
                            plural(diagnosis.count(Finding::Level::kError), "error"),
                            plural(diagnosis.count(Finding::Level::kWarning), "warning"));
}

std::string json_of(const Diagnosis& diagnosis) {
  auto checks = nlohmann::json::array();
  for (const CheckResult& check : diagnosis.checks) {
    auto findings = nlohmann::json::array();
    for (const Finding& finding : check.findings) {
      findings.push_back({{"level", level_name(finding.level)},
                          {"what", finding.what},
                          {"why", finding.why},
                          {"mend", finding.mend}});
    }
    checks.push_back({{"side", check.side},
                      {"name", check.name},
                      {"state", state_of(check)},
                      {"findings", std::move(findings)}});
  }
  const nlohmann::json out = {{"checks", std::move(checks)},
                              {"errors", diagnosis.count(Finding::Level::kError)},
                              {"warnings", diagnosis.count(Finding::Level::kWarning)}};
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace tidemark
