// Each case of this folder on each store.
#include <gtest/gtest.h>

#include <filesystem>

#include "consumer/core/check.h"
#include "consumer/core/declaration_toml.h"
#include "tests/cases/case_runner.h"
#include "tests/cases/case_worlds.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = TIDEMARK_SOURCE_DIR;
const fs::path kCases = kRoot / "tests" / "cases";

// The declaration that a case names, and the SQL file that makes its tables, if there is one.
struct CaseApplication {
  Declaration declaration;
  std::optional<fs::path> schema;
};

CaseApplication application_of(const CaseFile& file) {
  std::string folder = "schemas";
  for (const CaseStep& step : file.steps) {
    if (step.verb == "declaration") folder = step.value.get<std::string>();
  }
  auto loaded = load_declaration(kRoot / folder);
  if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&loaded)) {
    throw std::runtime_error(errors->front().text());
  }
  CaseApplication application{std::get<Declaration>(std::move(loaded)), std::nullopt};
  if (folder == "schemas") application.schema = kRoot / "ops" / "app" / "schema.sql";
  return application;
}

using Parameter = std::tuple<fs::path, CaseBatches>;

class Case : public ::testing::TestWithParam<Parameter> {
 protected:
  const CaseFile file_ = read_case(std::get<0>(GetParam()));
  const CaseApplication application_ = application_of(file_);

  void play(CaseWorld& world) {
    CaseRunner(application_.declaration, world, std::get<1>(GetParam())).run(file_);
  }
};

class MemoryCase : public Case {};
class PostgresCase : public Case {};

TEST_P(MemoryCase, Plays) {
  const auto world = memory_world(application_.declaration);
  play(*world);
}

TEST_P(PostgresCase, Plays) {
  const auto world = postgres_world(application_.declaration, application_.schema);
  play(*world);
}

std::string name_of(const ::testing::TestParamInfo<Parameter>& info) {
  const bool one_by_one = std::get<1>(info.param) == CaseBatches::kOneByOne;
  return std::get<0>(info.param).stem().string() + (one_by_one ? "_OneByOne" : "");
}

const auto kAll =
    ::testing::Combine(::testing::ValuesIn(list_cases(kCases)),
                       ::testing::Values(CaseBatches::kAsWritten, CaseBatches::kOneByOne));

INSTANTIATE_TEST_SUITE_P(Cases, MemoryCase, kAll, name_of);
INSTANTIATE_TEST_SUITE_P(Cases, PostgresCase, kAll, name_of);

}  // namespace
}  // namespace tidemark::testing
