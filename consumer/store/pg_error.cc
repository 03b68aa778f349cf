#include "consumer/store/pg_error.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tidemark {
namespace {

struct KindOfState {
  std::string_view prefix;  // a whole SQLSTATE or its class
  ErrorKind kind;
};

// The first that fits decides: single states before their class.
constexpr std::array kKinds = {
    KindOfState{"57014", ErrorKind::kShrink},  // statement timeout
    KindOfState{"53200", ErrorKind::kShrink},  // out of memory
    KindOfState{"54", ErrorKind::kShrink},     // program limit, an array too large say
    KindOfState{"08", ErrorKind::kRetry},      // connection
    KindOfState{"40", ErrorKind::kRetry},      // deadlock, serialization
    KindOfState{"53", ErrorKind::kRetry},      // disk full, too many connections
    KindOfState{"55P03", ErrorKind::kRetry},   // lock_timeout
    KindOfState{"57", ErrorKind::kRetry},      // shutdown, crash, starting up, session ended
    KindOfState{"25006", ErrorKind::kRetry},   // read-only: a standby, until one is promoted
    KindOfState{"25P03", ErrorKind::kRetry},   // idle_in_transaction_session_timeout
    KindOfState{"58", ErrorKind::kRetry},      // the server's own I/O
    KindOfState{"0A000", ErrorKind::kRetry},   // cached plan no longer fits: a new session does
    KindOfState{"22", ErrorKind::kBadData},
    KindOfState{"42501", ErrorKind::kDenied},  // missing privilege
    KindOfState{"28", ErrorKind::kDenied},     // password, pg_hba.conf
};

struct Hint {
  std::string_view state;
  std::string_view text;
};

constexpr std::array kHints = {
    Hint{"28P01", "the password was refused: check it"},
    Hint{"28000", "the role is unknown or pg_hba.conf doesn't let it in from here"},
    Hint{"3D000", "no such database: check dbname"},
    Hint{"53300", "too many connections"},
    Hint{"57P03", "the server is starting up or shutting down"},
    Hint{"25006", "the server is a standby or read-only: connect to the primary"},
    Hint{"42501", "grant it: `tidemark migrate --print-grants` prints what is needed"},
    Hint{"42P01", "the table is missing: run `tidemark migrate`, or check the declaration"},
    Hint{"42703", "the column is missing: check the declaration against the table"},
    Hint{"3F000", "the schema is missing: run `tidemark migrate`"},
};

std::string_view hint_for(std::string_view sqlstate) {
  const auto* hint = std::ranges::find(kHints, sqlstate, &Hint::state);
  return hint == kHints.end() ? std::string_view() : hint->text;
}

void append_field(std::string& message, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  message.append(", ").append(name).append(" ").append(value);
}

}  // namespace

ErrorKind kind_of(std::string_view sqlstate) {
  // Nothing from the server: the connection broke, and another may work.
  if (sqlstate.empty()) return ErrorKind::kRetry;
  const auto* found = std::ranges::find_if(
      kKinds, [&](const KindOfState& entry) { return sqlstate.starts_with(entry.prefix); });
  // Constraints, missing objects, what a trigger raises: the same again would fail again.
  return found == kKinds.end() ? ErrorKind::kFatal : found->kind;
}

bool needs_new_session(std::string_view sqlstate) {
  return sqlstate == "25006" || sqlstate == "0A000";
}

bool text_is_free_of_values(std::string_view sqlstate) {
  constexpr std::array<std::string_view, 9> kClasses = {"08", "0A", "25", "3D", "3F",
                                                        "40", "53", "55", "57"};
  if (std::ranges::find(kClasses, sqlstate.substr(0, 2)) != kClasses.end()) return true;
  // A syntax error quotes the text around it, and a trigger's dynamic SQL may have values there.
  return sqlstate.starts_with("42") && sqlstate != "42601";
}

WorldError world_error(std::string_view statement, std::string_view object,
                       const PgDiagnostics& diagnostics) {
  std::string message = "database: statement '";
  message.append(statement).append("'");
  if (!object.empty()) message.append(" on ").append(object);
  const std::string& state = diagnostics.sqlstate;
  if (state.empty()) {
    message.append(": the connection was lost");
    return {ErrorKind::kRetry, std::move(message)};
  }
  message.append(": SQLSTATE ").append(state);
  const std::string table =
      diagnostics.schema.empty() ? diagnostics.table : diagnostics.schema + "." + diagnostics.table;
  append_field(message, "table", table);
  append_field(message, "column", diagnostics.column);
  append_field(message, "constraint", diagnostics.constraint);
  append_field(message, "type", diagnostics.data_type);
  if (text_is_free_of_values(state)) {
    message.append(": ").append(diagnostics.primary.substr(0, diagnostics.primary.find('\n')));
  }
  if (const auto hint = hint_for(state); !hint.empty()) message.append("; ").append(hint);
  return {kind_of(state), std::move(message), state};
}

WorldError connect_error(std::string_view text) {
  constexpr std::size_t kStateLength = 5;
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  // With SQLSTATE verbosity the server's refusal ends in "FATAL:  28P01"; a refusal by the network
  // or by libpq itself in words, which have a lower-case letter there.
  std::string_view state = text.substr(text.size() - std::min(text.size(), kStateLength));
  const bool refused =
      text.ends_with(":  " + std::string(state)) && std::ranges::all_of(state, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
      });
  if (!refused) state = {};
  std::string message = "database: cannot connect: ";
  message.append(text);
  if (const auto hint = hint_for(state); !hint.empty()) message.append(": ").append(hint);
  return {kind_of(state), std::move(message), std::string(state)};
}

}  // namespace tidemark
