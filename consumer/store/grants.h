// The rights that the service's role needs.
#pragma once

#include <string>
#include <string_view>

#include "consumer/core/declaration.h"

namespace tidemark {

// SQL that grants `role` the least rights on the application's tables: to read watched tables, and
// to read and write of the aggregates the key, the counters and what is looked up, and what the
// statements that announce milestones need. Statements in the declaration's order, each ending in a
// semicolon and a newline; running them again is harmless.
std::string grants_sql(const Declaration& declaration, std::string_view role);
// The same in two parts, where the watched tables are in another database (F10): what is granted in
// the source, and what in the target.
std::string source_grants_sql(const Declaration& declaration, std::string_view role);
std::string target_grants_sql(const Declaration& declaration, std::string_view role);

// The same for schema tidemark, which `migrate` runs itself.
std::string state_grants_sql(std::string_view role);

}  // namespace tidemark
