// The figures that a member serves at /metrics. No user data, no record keys as labels.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "consumer/service/deriver.h"
#include "consumer/service/observer.h"
#include "consumer/service/pipeline.h"
#include "consumer/service/recounter.h"
#include "consumer/store/pg.h"

namespace tidemark {

struct StateView;

// A member's figures in short.
struct MemberFigures {
  static constexpr int kOverSeconds = 10;  // what "lately" is

  std::uint64_t records = 0;     // visible, since the start
  std::uint64_t changes = 0;     // of them, row changes
  std::uint64_t rebalances = 0;  // partitions taken or given
  // From the append to Kafka until visible, of batches' oldest records lately; none: no batch came.
  std::optional<double> freshness_mean;
  std::optional<double> freshness_max;
  std::map<TopicPartition, double> lag_seconds;  // of the partitions that are ours
};

// Thread-safe. Counters come from the pipeline's observer; gauges are set by update().
class Metrics final : public PipelineObserver {
 public:
  Metrics(const std::string& version, const std::string& declaration_hash);
  ~Metrics() override;

  void on_applied(const Delta& delta, const ApplyResult& result, const BatchNotes& notes) override;
  void on_unknown_commit(UnknownCommitEnd ended) override;
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
  // One statement of a batch's transaction.
  void on_statement(const StatementName& statement, std::chrono::duration<double> took);
  // librdkafka's statistics.
  void on_kafka_statistics(std::string_view json);
  // What is stored, for all members.
  void update(const StateView& view);
  // In short, for a status page.
  MemberFigures figures() const;
  // Prometheus' text format.
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
