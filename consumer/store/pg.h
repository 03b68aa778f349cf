// The database, wrapped once: connections, prepared statements, transactions, and errors sorted
// into kinds. Nothing else includes libpqxx.
//
// Every call throws WorldError, whose message names the statement, its object and the SQLSTATE, and
// never a value (DESIGN 7, FAULTS G1 to G5).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/ports.h"

namespace pqxx {
class result;
}

namespace tidemark {

// A name for messages, and what the statement works on: "upsert of public.aggregate_user".
struct StatementName {
  std::string name;    // unique in its connection
  std::string object;  // table or the like; may be empty
};

// Told of each statement, how long it took, however it ended. Must not throw.
using StatementObserver =
    std::function<void(const StatementName& statement, std::chrono::duration<double> took)>;

struct PgOptions {
  std::string connection;  // libpq's: "host=... dbname=..." or a URI; PG* variables fill the gaps
  std::string application_name = "tidemark";
  bool synchronous_commit = true;
  // A standby is refused (its snapshots miss running transactions, its tables can't be written).
  bool read_write = true;
  // The longest wait for a zombie's row lock; shorter, and a busy neighbour looks like one.
  std::chrono::milliseconds lock_timeout{2'000};
  // One statement's longest run: a batch that takes longer is cut in halves.
  std::chrono::milliseconds statement_timeout{30'000};
  // Ends our own transaction when this process is stopped in its midst (a zombie, FAULTS A5).
  std::chrono::milliseconds idle_in_transaction_timeout{10'000};
  // For the whole of connecting, all hosts together.
  std::chrono::milliseconds connect_timeout{10'000};
  StatementObserver on_statement;  // empty: nobody is told
};

// A statement's parameters in Postgres' text form; none: NULL.
using SqlParams = std::vector<std::optional<std::string>>;

// Rows that came back. A copy shares them. Rows and columns count from 0.
class SqlResult {
 public:
  explicit SqlResult(pqxx::result&& result);

  std::size_t rows() const;
  std::size_t columns() const;
  // How many rows an insert, update or delete touched.
  std::size_t affected() const;
  bool is_null(std::size_t row, std::size_t column) const;
  // The value's text; empty for NULL. The view lives as long as the result.
  std::string_view text(std::size_t row, std::size_t column) const;
  // The value as a number, 0 for NULL; an integer type is the caller's promise.
  std::int64_t integer(std::size_t row, std::size_t column) const;
  bool boolean(std::size_t row, std::size_t column) const { return text(row, column) == "t"; }
  std::optional<std::int64_t> optional_integer(std::size_t row, std::size_t column) const;
  std::optional<std::string> optional_text(std::size_t row, std::size_t column) const;

 private:
  std::shared_ptr<const pqxx::result> result_;
};

// One session. Not thread-safe, and used by one transaction at a time. It never reconnects: once
// broken() it is good for nothing, and is replaced (see PgSession).
class PgConnection {
 public:
  // Connects and sets the session up: UTF8, UTC, search_path pg_catalog (so every name in SQL is
  // qualified), timeouts, keepalives that find a black hole within 30 s.
  explicit PgConnection(const PgOptions& options);
  ~PgConnection();
  PgConnection(const PgConnection&) = delete;
  PgConnection& operator=(const PgConnection&) = delete;

  // Prepares now, so that a missing table is noticed at start. `name` serves run().
  void prepare(StatementName statement, const std::string& sql);

  // Runs one statement by itself, outside of a transaction (CREATE INDEX CONCURRENTLY, SET).
  SqlResult run_alone(const std::string& what, const std::string& sql);

  bool broken() const;
  // The server's process that serves us.
  int backend_pid() const;

 private:
  friend class PgTransaction;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// BEGIN to COMMIT, READ COMMITTED. Rolls back unless committed.
class PgTransaction {
 public:
  explicit PgTransaction(PgConnection& connection);
  ~PgTransaction();
  PgTransaction(const PgTransaction&) = delete;
  PgTransaction& operator=(const PgTransaction&) = delete;

  // Runs a prepared statement.
  SqlResult run(const std::string& name, const SqlParams& params);
  // Runs SQL that is not prepared; with parameters exactly one statement.
  SqlResult run_sql(const StatementName& statement, const std::string& sql);
  SqlResult run_sql(const StatementName& statement, const std::string& sql,
                    const SqlParams& params);
  // After a throw the outcome is unknown: the stored offsets tell (rule P3).
  void commit();
  void roll_back();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A connection that is made when first needed, and anew after it broke.
class PgSession {
 public:
  // `set_up` runs on each new connection: prepares statements, checks the state.
  PgSession(PgOptions options, std::function<void(PgConnection&)> set_up);
  // What it runs mostly belongs to its owner, which must stay where it is.
  PgSession(const PgSession&) = delete;
  PgSession& operator=(const PgSession&) = delete;

  // A connection that works as far as is known. Throws WorldError.
  PgConnection& get();
  // Forgets the connection; the next get() makes another.
  void drop() { connection_.reset(); }
  const PgOptions& options() const { return options_; }

 private:
  PgOptions options_;
  std::function<void(PgConnection&)> set_up_;
  std::unique_ptr<PgConnection> connection_;
};

}  // namespace tidemark
