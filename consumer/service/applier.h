// A thread that carries out one delta at a time on a store of its own, so that the next batch is
// decoded and folded meanwhile.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>

#include "consumer/core/ports.h"
#include "consumer/service/backoff.h"
#include "consumer/service/observer.h"

namespace tidemark {

// What became of a job.
struct ApplyOutcomeReport {
  Delta delta;         // as it was submitted
  ApplyResult result;  // when there is no error
  std::optional<WorldError> error;
};
struct WalReport {
  std::optional<WalPositions> positions;  // none: could not be read
};
using AppliedReport = std::variant<ApplyOutcomeReport, WalReport>;

// Owned by the pipeline's thread; the store is used by the applier's thread only while busy().
//
// Failures of kind kRetry are tried again here with backoff until stop(): the delta stays right, as
// P1 compares the offsets that it started from. All others are reported.
class Applier {
 public:
  Applier(Store& store, PipelineObserver& observer);
  ~Applier();
  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;

  // Precondition: not busy.
  void submit(Delta delta, BatchNotes notes = {});
  void submit_wal_probe();
  // From submit() until collect() gave the report.
  bool busy() const { return busy_; }
  // Since when; only while busy().
  std::chrono::steady_clock::time_point busy_since() const { return busy_since_; }
  // The report, when it is there. Rethrows what the thread couldn't handle.
  std::optional<AppliedReport> collect();
  // Waits until a report can be collected; false after `patience`.
  bool wait(std::chrono::milliseconds patience);
  // Ends retries: the job in hand gets one last report.
  void stop();

 private:
  struct Probe {};
  struct Batch {
    Delta delta;
    BatchNotes notes;
  };
  using Job = std::variant<Batch, Probe>;

  void submit_job(Job job);
  void run();
  AppliedReport carry_out(Job job);
  ApplyOutcomeReport apply(Batch batch);
  // False when it was stopped meanwhile.
  bool sleep(std::chrono::milliseconds wait);

  Store& store_;
  PipelineObserver& observer_;
  bool busy_ = false;  // the pipeline's thread only, as the next
  std::chrono::steady_clock::time_point busy_since_{};

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Job> job_;
  std::optional<AppliedReport> report_;
  std::exception_ptr bug_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tidemark
