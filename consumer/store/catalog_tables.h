// A table as the database's catalog has it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/store/pg.h"

namespace tidemark {

struct CatalogColumn {
  std::string name;
  std::string type;  // as format_type says it, without modifiers; a domain's base type
  bool is_enum = false;
  bool not_null = false;
  bool has_default = false;  // or identity
  bool generated = false;    // can't be written
  int precision = -1;        // type modifier; -1: none
  bool unique = false;       // a unique index on this column alone, usable by on conflict
  bool checked = false;      // a CHECK constraint names it
  bool can_select = false;   // the current role's rights
  bool can_insert = false;
  bool can_update = false;
  std::vector<std::string> enum_values;  // in the type's order
};

struct CatalogTable {
  bool is_table = false;  // a plain or partitioned one; else a view or the like
  bool replica_full = false;
  bool schema_usable = false;            // the current role has usage on the schema
  std::vector<std::string> primary_key;  // in its order; empty: none
  std::vector<CatalogColumn> columns;    // in the table's order

  const CatalogColumn* find(std::string_view column) const;
};

// None: there is no such table. Throws WorldError.
std::optional<CatalogTable> read_table(PgTransaction& transaction, const QualifiedName& name);

}  // namespace tidemark
