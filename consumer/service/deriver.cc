#include "consumer/service/deriver.h"

#include <utility>

namespace tidemark {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRetryFirst{100};
constexpr milliseconds kRetryLongest{10'000};
// Marks of other members, and those that are tried again, wait at most so long.
constexpr milliseconds kIdle{200};
constexpr milliseconds kLookForSweep{1'000};
// It reads all marks: a fraction of a second when there are millions.
constexpr milliseconds kCountBacklog{10'000};

}  // namespace

Deriver::Deriver(const Declaration& declaration, PgDerive& store, DeriveObserver& observer,
                 DeriverOptions options)
    : declaration_(declaration),
      store_(store),
      observer_(observer),
      options_(options),
      backoff_(kRetryFirst, kRetryLongest),
      thread_([this] { run(); }) {}

Deriver::~Deriver() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Deriver::wake() {
  const std::lock_guard lock(mutex_);
  marked_ = true;
  changed_.notify_all();
}

void Deriver::check() {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

bool Deriver::sleep(milliseconds wait) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, wait, [this] { return stopping_ || marked_; });
  marked_ = false;
  return !stopping_;
}

void Deriver::run() {
  milliseconds wait{0};
  while (sleep(wait)) {
    try {
      wait = step();
      backoff_.reset();
      continue;
    } catch (const WorldError& error) {
      // kShrink is a sweep's or the backlog's timeout: users who take too long stay marked.
      if (error.kind() == ErrorKind::kRetry || error.kind() == ErrorKind::kShrink) {
        wait = backoff_.next();
        observer_.on_derive_retry(error, wait);
        continue;
      }
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
    return;
  }
}

milliseconds Deriver::step() {
  const auto now = Steady::now();
  if (now >= count_backlog_at_) {
    observer_.on_backlog(store_.backlog());
    count_backlog_at_ = now + kCountBacklog;
  }
  const Derived derived = store_.derive();
  tell(derived);
  if (derived.users > 0) return milliseconds(0);
  // Only when nobody waits: what a sweep marks must not stand before the stream's.
  if (now < look_for_sweep_at_) return kIdle;
  if (store_.sweep(options_.sweep)) return milliseconds(0);
  look_for_sweep_at_ = now + kLookForSweep;
  return kIdle;
}

void Deriver::tell(const Derived& derived) {
  for (const RuleFailure& failure : derived.failures) {
    observer_.on_failure(declaration_.rule(failure.rule), failure);
  }
  for (const RuleRun& run : derived.runs) {
    const Rule& rule = declaration_.rule(run.rule);
    observer_.on_run(rule, run);
    if (run.took >= options_.slow) {
      observer_.on_slow(rule, run, store_.plan(run.rule, run.users));
    }
  }
}

}  // namespace tidemark
