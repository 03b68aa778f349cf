#include "consumer/service/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "consumer/service/derive_metrics.h"
#include "consumer/service/recount_metrics.h"

namespace tidemark {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

// Around the goal of 50 ms, and wide enough for an outage.
const prometheus::Histogram::BucketBoundaries kSecondsBuckets{
    .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300};
const prometheus::Histogram::BucketBoundaries kRowsBuckets{1,      10,     100,     1'000,
                                                           10'000, 50'000, 100'000, 250'000};

}  // namespace

struct Metrics::Impl {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();

  prometheus::Counter& counter(const std::string& name, const std::string& help) {
    return BuildCounter().Name(name).Help(help).Register(*registry).Add({});
  }

  prometheus::Counter& records =
      counter("tidemark_records_total", "Kafka records whose effect is visible in Postgres.");
  prometheus::Counter& changes =
      counter("tidemark_changes_total", "Decoded row changes whose effect is visible in Postgres.");
  prometheus::Family<prometheus::Counter>& skipped =
      BuildCounter()
          .Name("tidemark_records_skipped_total")
          .Help("Records rightly passed over, by reason; duplicate: not new (rule N1).")
          .Register(*registry);
  prometheus::Family<prometheus::Counter>& parked =
      BuildCounter()
          .Name("tidemark_parked_total")
          .Help("Records that could not be taken and were put aside, by code.")
          .Register(*registry);
  prometheus::Counter& suspects = counter(
      "tidemark_suspects_total", "Cells and ranges named suspect: to be recounted, never guessed.");
  prometheus::Histogram& batch_rows = BuildHistogram()
                                          .Name("tidemark_batch_rows")
                                          .Help("Aggregate rows written by one batch.")
                                          .Register(*registry)
                                          .Add({}, kRowsBuckets);
  prometheus::Histogram& apply_seconds = BuildHistogram()
                                             .Name("tidemark_apply_seconds")
                                             .Help("Duration of one batch's transaction.")
                                             .Register(*registry)
                                             .Add({}, kSecondsBuckets);
  prometheus::Histogram& freshness =
      BuildHistogram()
          .Name("tidemark_freshness_seconds")
          .Help("From the append to Kafka of a batch's oldest record until it is visible.")
          .Register(*registry)
          .Add({}, kSecondsBuckets);
  prometheus::Family<prometheus::Gauge>& lag =
      BuildGauge()
          .Name("tidemark_lag_records")
          .Help("Records behind the end of the partition, as last heard.")
          .Register(*registry);
  prometheus::Family<prometheus::Counter>& retries =
      BuildCounter()
          .Name("tidemark_retries_total")
          .Help("Failures of Postgres or Kafka that were tried again, by SQLSTATE.")
          .Register(*registry);
  prometheus::Counter& fenced = counter("tidemark_fenced_batches_total",
                                        "Batches dropped as another owner had moved on (rule P1).");
  prometheus::Counter& rebalances =
      counter("tidemark_rebalances_total", "Times that partitions were taken or given.");
  prometheus::Counter& data_loss = counter(
      "tidemark_data_loss_total", "Partitions whose records were gone before they were read (P4).");
  prometheus::Gauge& blocked =
      BuildGauge()
          .Name("tidemark_partitions_blocked")
          .Help("Partitions that stand still at the bound of parked records.")
          .Register(*registry)
          .Add({});
  prometheus::Gauge& ready = BuildGauge()
                                 .Name("tidemark_ready")
                                 .Help("1 when partitions are claimed and being read.")
                                 .Register(*registry)
                                 .Add({});

  prometheus::Counter& fence_skips =
      counter("tidemark_fence_skipped_total",
              "Contributions skipped as a recount had counted them already (rule F1).");
  RecountMetrics recount{*registry};
  DeriveMetrics derive{*registry};
  std::atomic<bool> retrying{false};
  std::mutex mutex;
  std::map<TopicPartition, prometheus::Gauge*> lag_gauges;
};

Metrics::Metrics(const std::string& version, const std::string& declaration_hash)
    : impl_(std::make_unique<Impl>()) {
  BuildGauge()
      .Name("tidemark_build_info")
      .Help("1, with the version and the hash of the declaration.")
      .Register(*impl_->registry)
      .Add({{"version", version}, {"declaration", declaration_hash}})
      .Set(1);
}
Metrics::~Metrics() = default;

void Metrics::on_applied(const Delta& delta, const ApplyResult& result,
                         std::chrono::duration<double> apply_seconds) {
  impl_->retrying = false;
  const BatchFigures& figures = delta.figures;
  impl_->records.Increment(static_cast<double>(figures.records));
  impl_->changes.Increment(static_cast<double>(figures.changes));
  for (std::size_t i = 0; i < std::size(figures.skipped); ++i) {
    if (figures.skipped[i] == 0) continue;
    const auto reason = std::string(skip_name(static_cast<SkipReason>(i)));
    impl_->skipped.Add({{"reason", reason}}).Increment(static_cast<double>(figures.skipped[i]));
  }
  if (figures.duplicates != 0) {
    impl_->skipped.Add({{"reason", "duplicate"}})
        .Increment(static_cast<double>(figures.duplicates));
  }
  for (const ParkedRecord& parked : delta.parked) {
    const std::string code(code_name(parked.bad.code));
    impl_->parked.Add({{"code", code}}).Increment();
    spdlog::warn("parked a record of {} [{}] at offset {}: {}: {}", parked.where.topic,
                 parked.where.partition.value, parked.offset.value, code, parked.bad.reason);
  }
  impl_->suspects.Increment(static_cast<double>(
      delta.suspect_cells.size() + delta.suspect_ranges.size() + result.negative_cells));
  impl_->fence_skips.Increment(static_cast<double>(result.skipped_changes));
  impl_->batch_rows.Observe(static_cast<double>(result.rows_written));
  impl_->apply_seconds.Observe(apply_seconds.count());
  if (figures.oldest_append_ms != 0) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    impl_->freshness.Observe(static_cast<double>(now_ms - figures.oldest_append_ms) / 1000.0);
  }
}

RecountObserver& Metrics::recount() { return impl_->recount; }
DeriveObserver& Metrics::derive() { return impl_->derive; }

void Metrics::on_retry(const WorldError& error, std::chrono::milliseconds wait) {
  impl_->retrying = true;
  const std::string state = error.sqlstate().empty() ? "none" : error.sqlstate();
  impl_->retries.Add({{"sqlstate", state}}).Increment();
  spdlog::warn("trying again in {} ms: {}", wait.count(), error.what());
}

void Metrics::on_fenced() {
  impl_->fenced.Increment();
  spdlog::warn(
      "a batch was fenced: another owner moved on, or our own commit's reply was lost; "
      "reading the offsets again");
}

void Metrics::on_assigned(std::span<const Claimed> partitions) {
  impl_->retrying = false;
  impl_->rebalances.Increment();
  spdlog::info("claimed {} partitions", partitions.size());
}

void Metrics::on_revoked(bool lost) {
  impl_->rebalances.Increment();
  spdlog::info(lost ? "the group took our partitions while we were away"
                    : "gave up our partitions");
}

void Metrics::on_data_loss(const TopicPartition& where, std::string_view reason) {
  impl_->data_loss.Increment();
  spdlog::error(
      "DATA_LOSS in {} [{}]: {}; every count is suspect, reading goes on from the earliest offset; "
      "see tidemark status",
      where.topic, where.partition.value, reason);
}

void Metrics::on_parked_bound(const TopicPartition& where) {
  spdlog::error(
      "{} [{}] stands still: it holds as many parked records as it may; "
      "see tidemark parked list",
      where.topic, where.partition.value);
}

void Metrics::on_shrunk(const WorldError& error, std::size_t records_max) {
  spdlog::warn("the next batch has at most {} records: {}", records_max, error.what());
}

void Metrics::update(const PipelineStatus& status) {
  const std::lock_guard lock(impl_->mutex);
  impl_->ready.Set(status.positioned ? 1 : 0);
  std::map<TopicPartition, prometheus::Gauge*> mine;
  double blocked = 0;
  for (const PartitionStatus& partition : status.partitions) {
    if (partition.blocked) ++blocked;
    if (!partition.high || partition.next == kNotStarted) continue;
    prometheus::Gauge& gauge =
        impl_->lag.Add({{"topic", partition.where.topic},
                        {"partition", std::to_string(partition.where.partition.value)}});
    gauge.Set(static_cast<double>(partition.high->value - partition.next.value));
    mine[partition.where] = &gauge;
  }
  impl_->blocked.Set(blocked);
  for (const auto& [where, gauge] : impl_->lag_gauges) {
    if (!mine.contains(where)) impl_->lag.Remove(gauge);
  }
  impl_->lag_gauges = std::move(mine);
}

bool Metrics::retrying() const { return impl_->retrying; }

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry->Collect());
}

}  // namespace tidemark
