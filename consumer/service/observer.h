// What the pipeline tells of itself, for metrics and logs. No user data passes here.
#pragma once

#include <chrono>
#include <string_view>

#include "consumer/core/delta.h"
#include "consumer/core/ports.h"

namespace tidemark {

// Every method may be called from any of the pipeline's threads and must not block.
class PipelineObserver {
 public:
  virtual ~PipelineObserver() = default;

  // A batch is visible in Postgres.
  virtual void on_applied(const Delta& delta, const ApplyResult& result,
                          std::chrono::duration<double> apply_seconds) = 0;
  // A failure of the world that is tried again after `wait`.
  virtual void on_retry(const WorldError& error, std::chrono::milliseconds wait) = 0;
  // P1 refused a batch: another owner, or our own commit whose reply was lost.
  virtual void on_fenced() = 0;
  // Partitions came (claimed in Postgres, reading starts) or went.
  virtual void on_assigned(std::span<const Claimed> partitions) = 0;
  virtual void on_revoked(bool lost) = 0;
  virtual void on_data_loss(const TopicPartition& where, std::string_view reason) = 0;
  // A partition holds as many parked records as it may and stands still.
  virtual void on_parked_bound(const TopicPartition& where) = 0;
  // The batch is made smaller: why, and how many records it may have.
  virtual void on_shrunk(const WorldError& error, std::size_t records_max) = 0;
};

}  // namespace tidemark
