#include "consumer/service/applier.h"

#include <utility>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

// Short at first, as most failures are a lock or a deadlock that is over at once; long enough at
// last that a database that is down is not hammered by every member.
constexpr std::chrono::milliseconds kRetryFirst{20};
constexpr std::chrono::milliseconds kRetryLongest{2000};

}  // namespace

Applier::Applier(Store& store, PipelineObserver& observer)
    : store_(store), observer_(observer), thread_([this] { run(); }) {}

Applier::~Applier() {
  stop();
  thread_.join();
}

void Applier::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

void Applier::submit(Delta delta) { submit_job(std::move(delta)); }
void Applier::submit_wal_probe() { submit_job(Probe{}); }

void Applier::submit_job(Job job) {
  TIDEMARK_CHECK(!busy_);
  busy_ = true;
  busy_since_ = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  job_ = std::move(job);
  changed_.notify_all();
}

std::optional<AppliedReport> Applier::collect() {
  const std::lock_guard lock(mutex_);
  if (bug_) std::rethrow_exception(bug_);
  if (!report_) return std::nullopt;
  busy_ = false;
  return std::exchange(report_, std::nullopt);
}

bool Applier::wait(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return report_.has_value() || bug_; });
}

bool Applier::sleep(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, wait, [this] { return stopping_; });
}

void Applier::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || job_.has_value(); });
    if (!job_) return;
    Job job = *std::exchange(job_, std::nullopt);
    lock.unlock();
    std::optional<AppliedReport> report;
    std::exception_ptr bug;
    try {
      report = carry_out(std::move(job));
    } catch (...) {
      bug = std::current_exception();
    }
    lock.lock();
    report_ = std::move(report);
    bug_ = bug;
    changed_.notify_all();
    if (bug) return;
  }
}

AppliedReport Applier::carry_out(Job job) {
  if (auto* delta = std::get_if<Delta>(&job)) return apply(std::move(*delta));
  try {
    return WalReport{store_.wal_positions()};
  } catch (const WorldError&) {
    return WalReport{std::nullopt};  // advisory: the next probe asks again
  }
}

ApplyOutcomeReport Applier::apply(Delta delta) {
  Backoff backoff(kRetryFirst, kRetryLongest);
  for (;;) {
    try {
      const auto start = std::chrono::steady_clock::now();
      const ApplyResult result = store_.apply(delta);
      if (result.outcome == ApplyOutcome::kApplied) {
        observer_.on_applied(delta, result, std::chrono::steady_clock::now() - start);
      }
      return {std::move(delta), result, std::nullopt};
    } catch (const WorldError& error) {
      if (error.kind() != ErrorKind::kRetry) return {std::move(delta), {}, error};
      const auto wait = backoff.next();
      observer_.on_retry(error, wait);
      if (!sleep(wait)) return {std::move(delta), {}, error};
    }
  }
}

}  // namespace tidemark
