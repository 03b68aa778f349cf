// How libpqxx comes by its connection, and hears what the server says: what its version 6 can't do.
#pragma once

#include <pqxx/pqxx>

#include "consumer/store/pg.h"
#include "consumer/store/pg_error.h"

namespace tidemark {

// A policy (libpqxx' own way to make connections) that hands out one connection and never another:
// pqxx would reconnect behind our back with the session state gone.
class ConnectOnce : public pqxx::connectionpolicy {
 public:
  // pqxx passes nothing but a string; the connection itself comes by adopt().
  explicit ConnectOnce(const std::string& unused) : connectionpolicy(unused) {}

  // Gives the connection that was adopted last on this thread; later throws broken_connection.
  handle do_startconnect(handle original) override;

  // Leaves `connection` for the next ConnectOnce on this thread, which owns it from then on.
  static void adopt(handle connection);
};

// What libpq's events tell of a connection (pqxx' exceptions have only text). Must outlive it.
struct PgWatch {
  PgDiagnostics diagnostics;                    // of the last failed statement
  pqxx::connectionpolicy::handle connection{};  // null: closed, also when pqxx did so by itself

  // True when the connection is known to be lost.
  bool lost() const;
};

// Connects with a deadline and has `watch` kept up from then on. Throws WorldError. The caller
// owns the connection.
void connect(const PgOptions& options, PgWatch& watch);

}  // namespace tidemark
