#include "consumer/service/applier.h"

#include <utility>

#include "consumer/core/check.h"
#include "consumer/core/unknown_commit.h"

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

void Applier::submit(Delta delta, BatchNotes notes) {
  submit_job(Batch{std::move(delta), std::move(notes)});
}
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
  if (auto* batch = std::get_if<Batch>(&job)) return apply(std::move(*batch));
  try {
    return WalReport{store_.wal_positions()};
  } catch (const WorldError&) {
    return WalReport{std::nullopt};  // advisory: the next probe asks again
  }
}

// The tries until a commit whose reply was lost is known to be stored or not are part of one call.
ApplyOutcomeReport Applier::apply(Batch batch) {
  auto& [delta, notes] = batch;
  Backoff backoff(kRetryFirst, kRetryLongest);
  bool unknown = false;
  const auto end_unknown = [&](UnknownCommitEnd ended) {
    if (std::exchange(unknown, false)) observer_.on_unknown_commit(ended);
  };
  for (;;) {
    try {
      const auto start = std::chrono::steady_clock::now();
      const ApplyResult result = store_.apply(delta);
      const bool applied = result.outcome == ApplyOutcome::kApplied;
      end_unknown(applied ? UnknownCommitEnd::kRepeated : UnknownCommitEnd::kFenced);
      notes.applying = std::chrono::steady_clock::now() - start;
      if (applied) observer_.on_applied(delta, result, notes);
      return {std::move(delta), result, std::nullopt};
    } catch (const WorldError& error) {
      unknown = unknown || dynamic_cast<const UnknownCommit*>(&error) != nullptr;
      if (error.kind() == ErrorKind::kRetry) {
        const auto wait = backoff.next();
        observer_.on_retry(error, wait);
        if (sleep(wait)) continue;
      }
      end_unknown(UnknownCommitEnd::kAbandoned);
      return {std::move(delta), {}, error};
    }
  }
}

}  // namespace tidemark
