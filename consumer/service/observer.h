// What the pipeline tells of itself, for metrics and logs. No user data passes here.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/delta.h"
#include "consumer/core/ports.h"

namespace tidemark {

// What is noted of a batch beside its delta.
struct BatchNotes {
  using OpCounts = std::array<std::uint64_t, 5>;  // by Op
  struct TopicEvents {
    std::string topic;
    OpCounts ops{};
  };

  std::vector<TopicEvents> events{};  // decoded changes; of the topics that have some
  std::int64_t oldest_commit_us = 0;  // of streamed changes, by the source's clock; 0: none
  std::chrono::steady_clock::time_point first_at{};  // when its first record was taken
  std::chrono::duration<double> gathering{0};        // from then until it was handed over
  std::chrono::duration<double> applying{0};         // its transaction, the try that went through
};

// What became of a commit whose reply was lost.
enum class UnknownCommitEnd : std::uint8_t {
  kRepeated,   // nothing was stored: the batch was applied again
  kFenced,     // it was stored, or another owner moved on: the offsets tell
  kAbandoned,  // the member stopped, or failed otherwise, before it knew
};

// Every method may be called from any of the pipeline's threads and must not block.
class PipelineObserver {
 public:
  virtual ~PipelineObserver() = default;

  // A batch is visible in Postgres.
  virtual void on_applied(const Delta& delta, const ApplyResult& result,
                          const BatchNotes& notes) = 0;
  virtual void on_unknown_commit(UnknownCommitEnd ended) = 0;
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
