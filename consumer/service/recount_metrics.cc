#include "consumer/service/recount_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

namespace tidemark {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Registry;

// Close around the goal, 25 ms each of wait and hold: a p99 is told no better than its bucket.
const prometheus::Histogram::BucketBoundaries kTurnBuckets{
    .001, .0025, .005, .01, .015, .02, .025, .03, .04, .05, .075, .1, .25, .5, 1, 2.5};

prometheus::Counter& counter(Registry& registry, const std::string& name, const std::string& help) {
  return BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Gauge& gauge(Registry& registry, const std::string& name, const std::string& help) {
  return BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Histogram& histogram(Registry& registry, const std::string& name,
                                 const std::string& help) {
  return BuildHistogram().Name(name).Help(help).Register(registry).Add({}, kTurnBuckets);
}

double seconds(std::chrono::microseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

struct RecountMetrics::Impl {
  Registry& registry;
  prometheus::Histogram& wait =
      histogram(registry, "tidemark_recount_wait_seconds", "How long a slice waited for its turn.");
  prometheus::Histogram& hold = histogram(registry, "tidemark_recount_hold_seconds",
                                          "How long a slice held the turn: batches stood still.");
  prometheus::Counter& rows =
      counter(registry, "tidemark_recount_rows_total", "Aggregate rows that were recounted.");
  prometheus::Counter& corrected =
      counter(registry, "tidemark_recount_corrected_total",
              "Cells that a recount wrote: lag that it ran ahead of, repairs, and drift.");
  prometheus::Counter& held = counter(registry, "tidemark_recount_held_rows_total",
                                      "Rows left out as another writer held them.");
  prometheus::Counter& passes =
      counter(registry, "tidemark_recount_passes_total", "Passes over whole aggregates.");
  prometheus::Counter& drift =
      counter(registry, "tidemark_drift_rows_total",
              "Cells that were wrong for another reason than lag; a healthy system has none.");
  prometheus::Gauge& fences =
      gauge(registry, "tidemark_fences", "Recounts that still have changes on their way to us.");
  prometheus::Family<prometheus::Counter>& retries =
      BuildCounter()
          .Name("tidemark_recount_retries_total")
          .Help("Failures of recounts that were tried again, by SQLSTATE.")
          .Register(registry);
};

RecountMetrics::RecountMetrics(Registry& registry) : impl_(new Impl{registry}) {}
RecountMetrics::~RecountMetrics() = default;

void RecountMetrics::on_slice(const SliceResult& slice) {
  impl_->wait.Observe(seconds(slice.wait));
  impl_->hold.Observe(seconds(slice.hold));
  impl_->rows.Increment(static_cast<double>(slice.rows));
  impl_->corrected.Increment(static_cast<double>(slice.corrected));
  impl_->held.Increment(static_cast<double>(slice.held));
}

void RecountMetrics::on_pass(const Pass& pass) {
  impl_->passes.Increment();
  if (pass.cause == "schedule") return;
  spdlog::info("recounted suspect counters: {} rows in {} slices, {} cells written", pass.cells,
               pass.slices, pass.corrected);
}

void RecountMetrics::on_drift(const DriftRow& drift) {
  impl_->drift.Increment();
  spdlog::error(
      "drift {}: a cell of {}.{} was {} off, for another reason than lag; it is corrected; see "
      "tidemark drift list",
      drift.id, drift.aggregate, drift.counter, drift.difference);
}

void RecountMetrics::on_repartitioned(const std::string& topic) {
  spdlog::warn(
      "{} has more partitions than before: until every producer knows them, its changes are "
      "recounted instead of counted",
      topic);
}

void RecountMetrics::on_slot_behind(bool visible) {
  if (visible) {
    spdlog::warn(
        "the slot has not confirmed what a recount saw for 3 minutes: fences stay, and drift is "
        "not told; an idle source needs Debezium's heartbeat.action.query");
  } else {
    spdlog::warn(
        "[recount] slot names no slot that this role can see: fences stay, and drift is "
        "not told; it must be Debezium's slot.name");
  }
}

void RecountMetrics::on_fences(std::size_t outstanding) {
  impl_->fences.Set(static_cast<double>(outstanding));
}

void RecountMetrics::on_recount_retry(const WorldError& error, std::chrono::milliseconds wait) {
  const std::string state = error.sqlstate().empty() ? "none" : error.sqlstate();
  impl_->retries.Add({{"sqlstate", state}}).Increment();
  spdlog::warn("recounting again in {} ms: {}", wait.count(), error.what());
}

}  // namespace tidemark
