#include "consumer/service/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include "consumer/service/derive_metrics.h"
#include "consumer/service/kafka_metrics.h"
#include "consumer/service/process_metrics.h"
#include "consumer/service/recent_seconds.h"
#include "consumer/service/recount_metrics.h"
#include "consumer/service/state_watch.h"

namespace tidemark {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using Steady = std::chrono::steady_clock;

// Around the goal of 50 ms, and wide enough for an outage.
const prometheus::Histogram::BucketBoundaries kSecondsBuckets{
    .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300};
// Few, as there are many statements.
const prometheus::Histogram::BucketBoundaries kStatementBuckets{.001, .005, .025, .1, .5, 2.5};
const prometheus::Histogram::BucketBoundaries kRowsBuckets{1,      10,     100,     1'000,
                                                           10'000, 50'000, 100'000, 250'000};

}  // namespace

struct Metrics::Impl {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();

  prometheus::Counter& counter(const std::string& name, const std::string& help) {
    return BuildCounter().Name(name).Help(help).Register(*registry).Add({});
  }
  prometheus::Gauge& gauge(const std::string& name, const std::string& help) {
    return BuildGauge().Name(name).Help(help).Register(*registry).Add({});
  }
  prometheus::Histogram& histogram(const std::string& name, const std::string& help) {
    return BuildHistogram().Name(name).Help(help).Register(*registry).Add({}, kSecondsBuckets);
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

  prometheus::Family<prometheus::Counter>& events =
      BuildCounter()
          .Name("tidemark_events_total")
          .Help("Row changes whose effect is visible in Postgres, by topic and Debezium's op.")
          .Register(*registry);
  prometheus::Family<prometheus::Counter>& rows =
      BuildCounter()
          .Name("tidemark_rows_total")
          .Help("Aggregate rows of batches; unchanged: looked up, or there and back in one batch.")
          .Register(*registry);
  prometheus::Histogram& gather_seconds =
      histogram("tidemark_gather_seconds", "From a batch's first record until it was handed over.");
  prometheus::Histogram& received_seconds = histogram(
      "tidemark_received_to_visible_seconds", "From a batch's first record until it is visible.");
  prometheus::Histogram& commit_seconds =
      histogram("tidemark_commit_to_visible_seconds",
                "From the source's oldest commit of a batch until it is visible; two clocks.");
  prometheus::Family<prometheus::Histogram>& statements =
      BuildHistogram()
          .Name("tidemark_statement_seconds")
          .Help("Duration of the statements of batches' transactions.")
          .Register(*registry);
  prometheus::Family<prometheus::Gauge>& lag_time =
      BuildGauge()
          .Name("tidemark_lag_seconds")
          .Help("Age of the last visible record of a partition that has more; 0: it has none.")
          .Register(*registry);
  prometheus::Family<prometheus::Counter>& unknown_commits =
      BuildCounter()
          .Name("tidemark_unknown_commits_total")
          .Help("Commits whose reply was lost, by how they ended.")
          .Register(*registry);
  prometheus::Gauge& waiting =
      gauge("tidemark_suspects_waiting", "Suspect cells and ranges to be recounted, in all.");
  prometheus::Family<prometheus::Gauge>& pass_age =
      BuildGauge()
          .Name("tidemark_pass_age_seconds")
          .Help("Since the last pass over everything ended; absent: none did.")
          .Register(*registry);

  prometheus::Counter& below_checkpoint =
      counter("tidemark_below_checkpoint_total",
              "Rows that made nobody dirty for a rule, as they stand at or below its checkpoint "
              "(rule C5).");
  prometheus::Counter& fence_skips =
      counter("tidemark_fence_skipped_total",
              "Contributions skipped as a recount had counted them already (rule F1).");
  RecountMetrics recount{*registry};
  DeriveMetrics derive{*registry};
  KafkaMetrics kafka{*registry};
  ProcessMetrics process{*registry};
  std::atomic<bool> retrying{false};
  std::mutex mutex;  // of what follows
  struct OfPartition {
    prometheus::Gauge* records;
    prometheus::Gauge* seconds;
  };
  std::map<TopicPartition, OfPartition> lag_gauges;
  std::map<TopicPartition, std::int64_t> last_ms;  // of each partition's last visible record
  RecentSeconds recent{MemberFigures::kOverSeconds};

  // Under the mutex.
  double seconds_behind(const PartitionStatus& partition) const;
  void note_batch(const Delta& delta, const BatchNotes& notes);
  void note_freshness(const Delta& delta, const BatchNotes& notes);
};

// A partition of which we applied nothing yet has no last record to measure from.
double Metrics::Impl::seconds_behind(const PartitionStatus& partition) const {
  const auto last = last_ms.find(partition.where);
  if (partition.next >= *partition.high || last == last_ms.end()) return 0;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  return std::max(0.0, static_cast<double>(now_ms - last->second) / 1000.0);
}

// Rows are those that the batch was folded to; a fence may have taken out some.
void Metrics::Impl::note_batch(const Delta& delta, const BatchNotes& notes) {
  for (const BatchNotes::TopicEvents& of : notes.events) {
    for (std::size_t op = 0; op < of.ops.size(); ++op) {
      if (of.ops[op] == 0) continue;
      events.Add({{"topic", of.topic}, {"op", std::string(1, op_letter(static_cast<Op>(op)))}})
          .Increment(static_cast<double>(of.ops[op]));
    }
  }
  std::size_t changed = 0;
  std::size_t all = 0;
  for (const AggregateDelta& aggregate : delta.aggregates) {
    const std::size_t width = aggregate.counters;
    all += aggregate.rows();
    for (auto at = aggregate.deltas.begin(); width > 0 && at != aggregate.deltas.end();) {
      const auto end = at + static_cast<std::ptrdiff_t>(width);
      changed += std::any_of(at, end, [](std::int32_t delta_of) { return delta_of != 0; }) ? 1 : 0;
      at = end;
    }
  }
  rows.Add({{"result", "written"}}).Increment(static_cast<double>(changed));
  rows.Add({{"result", "unchanged"}}).Increment(static_cast<double>(all - changed));
  gather_seconds.Observe(notes.gathering.count());
  apply_seconds.Observe(notes.applying.count());
}

void Metrics::Impl::note_freshness(const Delta& delta, const BatchNotes& notes) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto now_us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  const auto since = [now_us](std::int64_t then_us) {
    return static_cast<double>(now_us - then_us) / 1e6;
  };
  const auto steady = Steady::now();
  if (notes.first_at != Steady::time_point{}) {
    received_seconds.Observe(std::chrono::duration<double>(steady - notes.first_at).count());
  }
  if (notes.oldest_commit_us != 0) commit_seconds.Observe(since(notes.oldest_commit_us));
  const std::int64_t oldest = delta.figures.oldest_append_ms;
  if (oldest != 0) freshness.Observe(since(oldest * 1000));
  const std::lock_guard lock(mutex);
  if (oldest != 0) recent.add(steady, since(oldest * 1000));
  for (const Advance& advance : delta.advances) {
    if (advance.fingerprint) last_ms[advance.where] = advance.fingerprint->timestamp.value;
  }
}

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

void Metrics::on_applied(const Delta& delta, const ApplyResult& result, const BatchNotes& notes) {
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
  impl_->below_checkpoint.Increment(static_cast<double>(result.below_checkpoint));
  impl_->batch_rows.Observe(static_cast<double>(result.rows_written));
  impl_->note_batch(delta, notes);
  impl_->note_freshness(delta, notes);
}

void Metrics::on_unknown_commit(UnknownCommitEnd ended) {
  const auto name = [ended] {
    switch (ended) {
      case UnknownCommitEnd::kRepeated:
        return "repeated";
      case UnknownCommitEnd::kFenced:
        return "fenced";
      case UnknownCommitEnd::kAbandoned:
        return "abandoned";
    }
    return "?";
  };
  impl_->unknown_commits.Add({{"ended", name()}}).Increment();
}

void Metrics::on_statement(const StatementName& statement, std::chrono::duration<double> took) {
  // Statements of several tables have a number behind their name.
  const std::string name =
      statement.name.substr(0, statement.name.find_last_not_of("_0123456789") + 1);
  impl_->statements.Add({{"statement", name}, {"object", statement.object}}, kStatementBuckets)
      .Observe(took.count());
}

void Metrics::on_kafka_statistics(std::string_view json) { impl_->kafka.update(json); }

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
  std::map<TopicPartition, Impl::OfPartition> mine;
  double blocked = 0;
  for (const PartitionStatus& partition : status.partitions) {
    if (partition.blocked) ++blocked;
    if (!partition.high || partition.next == kNotStarted) continue;
    const prometheus::Labels labels{{"topic", partition.where.topic},
                                    {"partition", std::to_string(partition.where.partition.value)}};
    const Impl::OfPartition gauges{&impl_->lag.Add(labels), &impl_->lag_time.Add(labels)};
    gauges.records->Set(static_cast<double>(partition.high->value - partition.next.value));
    gauges.seconds->Set(impl_->seconds_behind(partition));
    mine[partition.where] = gauges;
  }
  impl_->blocked.Set(blocked);
  for (const auto& [where, gauges] : impl_->lag_gauges) {
    if (mine.contains(where)) continue;
    impl_->lag.Remove(gauges.records);
    impl_->lag_time.Remove(gauges.seconds);
    impl_->last_ms.erase(where);
  }
  impl_->lag_gauges = std::move(mine);
}

void Metrics::update(const StateView& view) {
  const StateCounts& counts = view.overview.counts;
  impl_->waiting.Set(static_cast<double>(counts.suspect_cells + counts.suspect_ranges));
  const auto& last = view.overview.last;
  if (last) impl_->pass_age.Add({}).Set(static_cast<double>(last->ended_seconds.value_or(0)));
}

MemberFigures Metrics::figures() const {
  const std::lock_guard lock(impl_->mutex);
  MemberFigures figures;
  figures.records = static_cast<std::uint64_t>(impl_->records.Value());
  figures.changes = static_cast<std::uint64_t>(impl_->changes.Value());
  figures.rebalances = static_cast<std::uint64_t>(impl_->rebalances.Value());
  const RecentSeconds::Sum sum = impl_->recent.sum(Steady::now());
  if (sum.count > 0) {
    figures.freshness_mean = sum.total / static_cast<double>(sum.count);
    figures.freshness_max = sum.max;
  }
  for (const auto& [where, gauges] : impl_->lag_gauges) {
    figures.lag_seconds[where] = gauges.seconds->Value();
  }
  return figures;
}

bool Metrics::retrying() const { return impl_->retrying; }

std::string Metrics::text() const {
  impl_->process.update();
  return prometheus::TextSerializer().Serialize(impl_->registry->Collect());
}

}  // namespace tidemark
