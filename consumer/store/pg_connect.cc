#include "consumer/store/pg_connect.h"

#include <libpq-events.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

using Clock = std::chrono::steady_clock;

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using ConnectionHandle = std::unique_ptr<PGconn, Finish>;

thread_local ConnectionHandle adopted;

struct ParsedOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

std::string field(const PGresult* result, int code) {
  const char* const value = PQresultErrorField(result, code);
  return value == nullptr ? std::string() : std::string(value);
}

void keep_error(const PGresult* result, PgDiagnostics& diagnostics) {
  if (PQresultStatus(result) != PGRES_FATAL_ERROR) return;
  diagnostics.sqlstate = field(result, PG_DIAG_SQLSTATE);
  diagnostics.primary = field(result, PG_DIAG_MESSAGE_PRIMARY);
  diagnostics.schema = field(result, PG_DIAG_SCHEMA_NAME);
  diagnostics.table = field(result, PG_DIAG_TABLE_NAME);
  diagnostics.column = field(result, PG_DIAG_COLUMN_NAME);
  diagnostics.constraint = field(result, PG_DIAG_CONSTRAINT_NAME);
  diagnostics.data_type = field(result, PG_DIAG_DATATYPE_NAME);
}

// A libpq event procedure: copies an error's fields before pqxx makes its text of them.
int on_event(PGEventId event, void* info, void* pass_through) {
  auto& watch = *static_cast<PgWatch*>(pass_through);
  if (event == PGEVT_RESULTCREATE) {
    keep_error(static_cast<PGEventResultCreate*>(info)->result, watch.diagnostics);
  }
  if (event == PGEVT_CONNDESTROY) watch.connection = nullptr;
  return 1;  // success
}

void check_readable(const std::string& connection) {
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, ParsedOptions> parsed(
      PQconninfoParse(connection.c_str(), &error));
  PQfreemem(error);  // its text may quote the password
  if (parsed == nullptr) {
    throw WorldError(ErrorKind::kConfig,
                     "database: the connection string can't be read; it must be "
                     "\"key=value key=value\" or a postgresql:// URI");
  }
}

// A black hole is found by keepalives after 10 + 3 * 5 s when we wait for an answer, and after 20 s
// when what we sent is not acknowledged (FAULTS G5: within 30 s). What stands in the connection
// string wins over these, but for encoding and session attributes.
PGconn* start(const PgOptions& options) {
  const std::array keys = {"keepalives",       "keepalives_idle",  "keepalives_interval",
                           "keepalives_count", "tcp_user_timeout", "fallback_application_name",
                           "dbname",           "client_encoding",  "target_session_attrs"};
  const char* const attributes = options.read_write ? "read-write" : "any";
  const std::array values = {"1",
                             "10",
                             "5",
                             "3",
                             "20000",
                             options.application_name.c_str(),
                             options.connection.c_str(),
                             "UTF8",
                             attributes};
  std::array<const char*, keys.size() + 1> key_list{};
  std::array<const char*, keys.size() + 1> value_list{};
  std::ranges::copy(keys, key_list.begin());
  std::ranges::copy(values, value_list.begin());
  return PQconnectStartParams(key_list.data(), value_list.data(), 1);
}

[[noreturn]] void fail(const PGconn* connection) {
  throw connect_error(PQerrorMessage(connection));
}

void wait_for_socket(const PGconn* connection, PostgresPollingStatusType wanted,
                     Clock::time_point until) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
  pollfd waiting{PQsocket(connection),
                 static_cast<short>(wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
  const int timeout_ms = static_cast<int>(std::max<std::int64_t>(left.count(), 0));
  if (poll(&waiting, 1, timeout_ms) != 0) return;
  const char* const host = PQhost(connection);
  throw WorldError(ErrorKind::kRetry, std::string("database: no answer from ") +
                                          (host == nullptr ? "the server" : host) +
                                          " within the connect timeout");
}

}  // namespace

pqxx::connectionpolicy::handle ConnectOnce::do_startconnect(handle original) {
  if (original != nullptr) return original;
  if (adopted == nullptr) throw pqxx::broken_connection("the connection was lost");
  return adopted.release();
}

void ConnectOnce::adopt(handle connection) { adopted.reset(connection); }

void connect(const PgOptions& options, PgWatch& watch) {
  check_readable(options.connection);
  const Clock::time_point until = Clock::now() + options.connect_timeout;
  ConnectionHandle connection(start(options));
  if (connection == nullptr) throw WorldError(ErrorKind::kRetry, "database: out of memory");
  if (PQstatus(connection.get()) == CONNECTION_BAD) fail(connection.get());
  // A code in place of words, which the server may send in any language.
  PQsetErrorVerbosity(connection.get(), PQERRORS_SQLSTATE);
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status != PGRES_POLLING_OK) {  // bounded by `until`
    wait_for_socket(connection.get(), status, until);
    status = PQconnectPoll(connection.get());
    if (status == PGRES_POLLING_FAILED) fail(connection.get());
  }
  TIDEMARK_CHECK(PQregisterEventProc(connection.get(), on_event, "tidemark", &watch) != 0);
  watch.connection = connection.release();
}

bool PgWatch::lost() const {
  return connection == nullptr || PQstatus(connection) == CONNECTION_BAD;
}

}  // namespace tidemark
