// The stores that cases are played on.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "consumer/core/declaration.h"
#include "tests/cases/case_runner.h"

namespace tidemark::testing {

// `declaration` must outlive the world.
std::unique_ptr<CaseWorld> memory_world(const Declaration& declaration);

// A database of its own on the scratch server. Its tables come from the SQL file, or from the
// declaration when there is none.
std::unique_ptr<CaseWorld> postgres_world(const Declaration& declaration,
                                          const std::optional<std::filesystem::path>& schema);

}  // namespace tidemark::testing
