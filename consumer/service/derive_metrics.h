// The derivers' figures and log lines, in the registry of a member's Metrics.
#pragma once

#include <memory>

#include "consumer/service/deriver.h"

namespace prometheus {
class Registry;
}

namespace tidemark {

// Thread-safe. Says something only of what is slow, fails, or is tried again; never of a user.
class DeriveMetrics final : public DeriveObserver {
 public:
  explicit DeriveMetrics(prometheus::Registry& registry);
  ~DeriveMetrics() override;

  void on_run(const Rule& rule, const RuleRun& run) override;
  void on_slow(const Rule& rule, const RuleRun& run, std::string_view plan) override;
  void on_failure(const Rule& rule, const RuleFailure& failure) override;
  void on_backlog(const Backlog& backlog) override;
  void on_derive_retry(const WorldError& error, std::chrono::milliseconds wait) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
