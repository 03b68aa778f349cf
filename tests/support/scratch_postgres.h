// A scratch PostgreSQL server for tests: started when first asked for, one per process, gone with
// the process however that ends.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace tidemark {

// PostgreSQL 15 in a temporary folder, on a free port of 127.0.0.1, without a password. Run as the
// user `postgres` when the test is root. fsync is off: nothing in it outlives the process.
// wal_level is logical, and prepared transactions are allowed.
class ScratchPostgres {
 public:
  // The process's server. Started by the first call; CHECK-fails when it can't be, with the
  // server's log on stderr. Not thread-safe before the first call has returned.
  static ScratchPostgres& instance();
  // A second one, with transaction ids and a log of its own; its log is written to disk only when
  // somebody asks for it.
  static ScratchPostgres& another();

  ScratchPostgres(const ScratchPostgres&) = delete;
  ScratchPostgres& operator=(const ScratchPostgres&) = delete;
  ~ScratchPostgres();

  // A connection string for the superuser `postgres`.
  std::string dsn(std::string_view database = "postgres") const;
  // Makes a new, empty database whose name starts with `prefix` (a lower-case word), and gives its
  // connection string. Never removed: the server goes as a whole.
  std::string make_database(std::string_view prefix);

  std::string host() const { return "127.0.0.1"; }
  int port() const { return port_; }

 private:
  explicit ScratchPostgres(std::string setting = "");
  bool start();
  void stop();

  std::string setting_;  // one more, "name=value"; empty: none
  std::filesystem::path folder_;
  int port_ = 0;
  pid_t owner_;          // a forked child has a copy of us, and must leave the server alone
  pid_t watchdog_ = -1;  // the server's parent
  int lifeline_ = -1;    // closed by the kernel when this process ends: the watchdog's signal
  int databases_ = 0;
};

}  // namespace tidemark
