// The figures that a member serves at /metrics. No user data, no record keys as labels.
#pragma once

#include <memory>
#include <string>

#include "consumer/service/deriver.h"
#include "consumer/service/observer.h"
#include "consumer/service/pipeline.h"
#include "consumer/service/recounter.h"

namespace tidemark {

// Thread-safe. Counters come from the pipeline's observer; gauges are set by update().
class Metrics final : public PipelineObserver {
 public:
  Metrics(const std::string& version, const std::string& declaration_hash);
  ~Metrics() override;

  void on_applied(const Delta& delta, const ApplyResult& result,
                  std::chrono::duration<double> apply_seconds) override;
  void on_retry(const WorldError& error, std::chrono::milliseconds wait) override;
  void on_fenced() override;
  void on_assigned(std::span<const Claimed> partitions) override;
  void on_revoked(bool lost) override;
  void on_data_loss(const TopicPartition& where, std::string_view reason) override;
  void on_parked_bound(const TopicPartition& where) override;
  void on_shrunk(const WorldError& error, std::size_t records_max) override;

  // What a recounter tells.
  RecountObserver& recount();
  // What derivers tell.
  DeriveObserver& derive();
  // Lag and state of the partitions that are ours now; those of others disappear.
  void update(const PipelineStatus& status);
  // True from a failure that is tried again until the next success.
  bool retrying() const;
  // Prometheus' text format.
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
