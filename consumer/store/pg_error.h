// SQLSTATEs sorted into kinds of WorldError, and messages that hold no values (FAULTS G1, G2, G4).
#pragma once

#include <string>
#include <string_view>

#include "consumer/core/ports.h"

namespace tidemark {

// What the server said of a failure, field by field, as the wire protocol carries it.
struct PgDiagnostics {
  std::string sqlstate;  // empty: the server said nothing (the connection broke)
  std::string primary;   // its text; may hold values
  std::string schema;
  std::string table;
  std::string column;
  std::string constraint;
  std::string data_type;
};

// What to do about a SQLSTATE. Empty, and one that is not known: see the body.
ErrorKind kind_of(std::string_view sqlstate);

// True when the session must not be used again though the server may still answer: it is on a
// standby, or its prepared statements no longer fit the tables.
bool needs_new_session(std::string_view sqlstate);

// True when the server's own text is made of names and numbers of its own, never of row values:
// not so for classes 22 and 23, nor for what a trigger raises.
bool text_is_free_of_values(std::string_view sqlstate);

// "statement 'upsert' on public.aggregate_user: SQLSTATE 23514, constraint c, table t".
WorldError world_error(std::string_view statement, std::string_view object,
                       const PgDiagnostics& diagnostics);

// A connection that could not be made. `text` is libpq's, made with the SQLSTATE instead of the
// server's words; it names host and port.
WorldError connect_error(std::string_view text);

}  // namespace tidemark
