// The loop that derives dirty users' challenges (DESIGN 5): at once after a batch of this member
// marked some, else when it looks. Any number of them work side by side, in any members.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "consumer/core/ports.h"
#include "consumer/service/backoff.h"
#include "consumer/store/pg_derive.h"

namespace tidemark {

// What a deriver tells of itself. Called from its thread; must not block.
class DeriveObserver {
 public:
  virtual ~DeriveObserver() = default;

  virtual void on_run(const Rule& rule, const RuleRun& run) = 0;
  virtual void on_slow(const Rule& rule, const RuleRun& run, std::string_view plan) = 0;
  virtual void on_failure(const Rule& rule, const RuleFailure& failure) = 0;
  virtual void on_backlog(const Backlog& backlog) = 0;
  virtual void on_derive_retry(const WorldError& error, std::chrono::milliseconds wait) = 0;
};

struct DeriverOptions {
  std::chrono::milliseconds slow{1'000};        // a rule that takes longer is logged with its plan
  std::chrono::milliseconds sweep{86'400'000};  // from one sweep of a rule to the next; 0: none
};

// One thread of its own, from construction to destruction. Failures that pass are tried again with
// backoff; any other ends the thread, and check() rethrows it.
class Deriver {
 public:
  // `declaration` is the store's, and must outlive the deriver, as all must.
  Deriver(const Declaration& declaration, PgDerive& store, DeriveObserver& observer,
          DeriverOptions options);
  ~Deriver();
  Deriver(const Deriver&) = delete;
  Deriver& operator=(const Deriver&) = delete;

  // Users were marked. Thread-safe; doesn't wait.
  void wake();
  // Rethrows what ended the thread.
  void check();

 private:
  using Steady = std::chrono::steady_clock;

  void run();
  // One piece of work; how long to wait until the next.
  std::chrono::milliseconds step();
  void tell(const Derived& derived);
  // False when it is to end; wakes early when users were marked.
  bool sleep(std::chrono::milliseconds wait);

  const Declaration& declaration_;
  PgDerive& store_;
  DeriveObserver& observer_;
  DeriverOptions options_;
  Backoff backoff_;
  Steady::time_point look_for_sweep_at_{};
  Steady::time_point count_backlog_at_{};

  std::mutex mutex_;
  std::condition_variable changed_;
  bool marked_ = false;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace tidemark
