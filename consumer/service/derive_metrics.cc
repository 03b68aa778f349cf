#include "consumer/service/derive_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <map>
#include <mutex>
#include <string>

namespace tidemark {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Registry;
template <class T>
using Family = prometheus::Family<T>;

// From one user's derivation to a claim that is far too slow.
const prometheus::Histogram::BucketBoundaries kRunBuckets{.0005, .001, .0025, .005, .01, .025, .05,
                                                          .1,    .25,  .5,    1,    2.5, 10};

Family<prometheus::Counter>& counters(Registry& registry, const std::string& name,
                                      const std::string& help) {
  return BuildCounter().Name(name).Help(help).Register(registry);
}

Family<prometheus::Gauge>& gauges(Registry& registry, const std::string& name,
                                  const std::string& help) {
  return BuildGauge().Name(name).Help(help).Register(registry);
}

}  // namespace

struct DeriveMetrics::Impl {
  Registry& registry;
  Family<prometheus::Histogram>& seconds =
      BuildHistogram()
          .Name("tidemark_rule_seconds")
          .Help("How long a rule took for the users of one claim.")
          .Register(registry);
  Family<prometheus::Counter>& users =
      counters(registry, "tidemark_rule_users_total", "Users that a rule was derived for.");
  Family<prometheus::Counter>& written =
      counters(registry, "tidemark_challenge_rows_total", "Rows of challenges that were written.");
  Family<prometheus::Counter>& completed =
      counters(registry, "tidemark_challenges_completed_total", "Challenges that were completed.");
  Family<prometheus::Counter>& swept =
      counters(registry, "tidemark_sweep_corrected_total",
               "Rows that were written as only a sweep asked: lag that it ran ahead of, or missed "
               "by the stream.");
  Family<prometheus::Counter>& failures = counters(registry, "tidemark_rule_failures_total",
                                                   "Users that a rule failed for, by SQLSTATE.");
  Family<prometheus::Counter>& retries =
      counters(registry, "tidemark_derive_retries_total",
               "Failures of a whole claim that were tried again, by SQLSTATE.");
  Family<prometheus::Gauge>& dirty =
      gauges(registry, "tidemark_dirty_users", "Users who wait to be derived, in all members.");
  Family<prometheus::Gauge>& oldest = gauges(registry, "tidemark_dirty_oldest_seconds",
                                             "Since when the first of them has been waiting.");
  prometheus::Gauge& failed = gauges(registry, "tidemark_dirty_failed_users",
                                     "Users with a rule that failed, who wait to be tried again.")
                                  .Add({});
  std::mutex mutex{};  // of what follows
  std::map<std::string, prometheus::Gauge*> waiting{};
};

DeriveMetrics::DeriveMetrics(Registry& registry) : impl_(new Impl{.registry = registry}) {}
DeriveMetrics::~DeriveMetrics() = default;

void DeriveMetrics::on_run(const Rule& rule, const RuleRun& run) {
  const prometheus::Labels labels{{"rule", rule.name}};
  impl_->seconds.Add(labels, kRunBuckets).Observe(std::chrono::duration<double>(run.took).count());
  impl_->users.Add(labels).Increment(static_cast<double>(run.users.size()));
  impl_->written.Add(labels).Increment(static_cast<double>(run.written));
  impl_->completed.Add(labels).Increment(static_cast<double>(run.completed));
  impl_->swept.Add(labels).Increment(static_cast<double>(run.swept));
}

void DeriveMetrics::on_slow(const Rule& rule, const RuleRun& run, std::string_view plan) {
  spdlog::warn("rule {} took {} ms for {} users; its plan:\n{}", rule.name,
               std::chrono::duration_cast<std::chrono::milliseconds>(run.took).count(),
               run.users.size(), plan);
}

void DeriveMetrics::on_failure(const Rule& rule, const RuleFailure& failure) {
  const std::string state = failure.sqlstate.empty() ? "none" : failure.sqlstate;
  impl_->failures.Add({{"rule", rule.name}, {"sqlstate", state}}).Increment();
  spdlog::error("rule {} fails for a user, who stays marked and is tried again later: {}",
                rule.name, failure.what);
}

// A rule that nobody waits for any more stays, with 0.
void DeriveMetrics::on_backlog(const Backlog& backlog) {
  const std::lock_guard lock(impl_->mutex);
  std::map<std::string, double> oldest;
  for (auto& [rule, gauge] : impl_->waiting) {
    gauge->Set(0);
    oldest[rule] = 0;
  }
  for (const Backlog::OfRule& of : backlog.rules) {
    prometheus::Gauge& gauge = impl_->dirty.Add({{"rule", of.rule}});
    gauge.Set(static_cast<double>(of.users));
    impl_->waiting[of.rule] = &gauge;
    oldest[of.rule] = of.oldest_seconds;
  }
  for (const auto& [rule, seconds] : oldest) impl_->oldest.Add({{"rule", rule}}).Set(seconds);
  impl_->failed.Set(static_cast<double>(backlog.failed));
}

void DeriveMetrics::on_derive_retry(const WorldError& error, std::chrono::milliseconds wait) {
  const std::string state = error.sqlstate().empty() ? "none" : error.sqlstate();
  impl_->retries.Add({{"sqlstate", state}}).Increment();
  spdlog::warn("deriving again in {} ms: {}", wait.count(), error.what());
}

}  // namespace tidemark
