#include "tests/support/case_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace tidemark::testing {
namespace {

CaseStep read_step(const std::string& text) {
  CaseStep step;
  const auto colon = text.find(':');
  if (colon == std::string::npos) throw std::runtime_error("expected 'verb: value'");
  const std::string head = text.substr(0, colon);
  const auto space = head.find(' ');
  step.verb = head.substr(0, space);
  if (space != std::string::npos) step.name = head.substr(space + 1);
  const std::string value = text.substr(colon + 1);
  if (value.find_first_not_of(' ') != std::string::npos) step.value = nlohmann::json::parse(value);
  return step;
}

}  // namespace

CaseFile read_case(const std::filesystem::path& path) {
  CaseFile file{path.stem().string(), {}};
  std::ifstream in(path);
  if (!in) throw std::runtime_error(fmt::format("{}: can't be read", path.string()));
  int line = 0;
  for (std::string text; std::getline(in, text);) {
    ++line;
    if (text.empty() || text.front() == '#') continue;
    try {
      file.steps.push_back(read_step(text));
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("{}:{}: {}", path.string(), line, error.what()));
    }
    file.steps.back().line = line;
  }
  return file;
}

std::vector<std::filesystem::path> list_cases(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt" && entry.path().stem() != "CMakeLists") {
      paths.push_back(entry.path());
    }
  }
  std::ranges::sort(paths);
  return paths;
}

}  // namespace tidemark::testing
