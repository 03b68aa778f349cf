// Behaviour as plain text: events in, rows out. tests/cases/README.md has the grammar.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tidemark::testing {

// One line: `verb: value` or `verb name: value`; the value is one JSON document, or nothing (null).
struct CaseStep {
  int line = 0;
  std::string verb;
  std::string name;
  nlohmann::json value;
};

struct CaseFile {
  std::string name;  // of the file, without folder and extension
  std::vector<CaseStep> steps;
};

// Throws std::runtime_error that names file and line. Knows no verbs: the runner does.
CaseFile read_case(const std::filesystem::path& path);
// All cases of a folder, by name.
std::vector<std::filesystem::path> list_cases(const std::filesystem::path& folder);

}  // namespace tidemark::testing
