// The declaration against the database's catalog, checked at start (DESIGN 3).
#pragma once

#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/store/pg.h"

namespace tidemark {

enum class Severity : std::uint8_t {
  kError,    // don't start: it would fail, or count wrongly
  kWarning,  // it works, slower or with parked records
};

// One place where declaration and catalog don't agree.
struct CatalogProblem {
  Severity severity = Severity::kError;
  std::string file;    // where the table is declared
  std::string table;   // schema.name
  std::string column;  // empty: the table as a whole
  std::string found;
  std::string expected;
  std::string action;  // what to do

  // "schemas/tables/saves.toml: public.saves.user_id: found bigint, expected integer: ..."
  std::string text() const;
};

// All problems, in the declaration's order; empty when there are none. Checks tables, columns,
// types, nullability, enum values, primary keys, the aggregates' unique keys, that their rows can
// be inserted, rules' statements, and the current role's rights. Sets Table::replica_full from the
// catalog. Throws WorldError.
//
// `source`: where the watched tables are, if in another database than the aggregates (F10).
std::vector<CatalogProblem> check_catalog(PgConnection& connection, Declaration& declaration,
                                          PgConnection* source = nullptr);

}  // namespace tidemark
