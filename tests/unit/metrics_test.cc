#include "consumer/service/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Delta some_delta() {
  Delta delta;
  delta.figures.records = 10;
  delta.figures.changes = 6;
  delta.figures.duplicates = 2;
  delta.figures.skipped[static_cast<std::size_t>(SkipReason::kTombstone)] = 3;
  delta.suspect_ranges.push_back({AggregateIndex(0), CounterIndex(0), SuspectCause::kParked});
  ParkedRecord parked;
  parked.where = {"t", Partition(0)};
  parked.bad = {BadCode::kBadJson, "cut off at byte 7"};
  parked.key = "secret key";
  parked.payload = "secret value";
  delta.parked.push_back(parked);
  return delta;
}

TEST(Metrics, CountWhatWasApplied) {
  Metrics metrics("1.2.3", "abcdef");
  metrics.on_applied(some_delta(), {ApplyOutcome::kApplied, 4, 1}, std::chrono::milliseconds(3));
  metrics.on_applied(some_delta(), {ApplyOutcome::kApplied, 4, 0}, std::chrono::milliseconds(3));
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("tidemark_records_total 20\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_changes_total 12\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_records_skipped_total{reason=\"tombstone\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_records_skipped_total{reason=\"duplicate\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_parked_total{code=\"bad_json\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_suspects_total 3\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_batch_rows_sum 8\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_apply_seconds_count 2\n"));
  EXPECT_THAT(text, HasSubstr("version=\"1.2.3\""));
}

TEST(Metrics, HoldNothingOfARecord) {
  Metrics metrics("1", "h");
  metrics.on_applied(some_delta(), {}, std::chrono::milliseconds(3));
  EXPECT_THAT(metrics.text(), Not(HasSubstr("secret")));
}

TEST(Metrics, FreshnessIsThatOfTheOldestRecord) {
  Metrics metrics("1", "h");
  Delta delta = some_delta();
  metrics.on_applied(delta, {}, std::chrono::milliseconds(3));  // no record had a time
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_freshness_seconds_count 0\n"));
  delta.figures.oldest_append_ms = 1;  // in 1970
  metrics.on_applied(delta, {}, std::chrono::milliseconds(3));
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_freshness_seconds_count 1\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_freshness_seconds_bucket{le=\"300\"} 0\n"));
}

TEST(Metrics, CountTrouble) {
  Metrics metrics("1", "h");
  metrics.on_retry(WorldError(ErrorKind::kRetry, "deadlock", "40P01"),
                   std::chrono::milliseconds(5));
  metrics.on_retry(WorldError(ErrorKind::kRetry, "broker"), std::chrono::milliseconds(5));
  metrics.on_fenced();
  metrics.on_data_loss({"t", Partition(0)}, "purged");
  metrics.on_assigned({});
  metrics.on_revoked(false);
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("tidemark_retries_total{sqlstate=\"40P01\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_retries_total{sqlstate=\"none\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_fenced_batches_total 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_data_loss_total 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_rebalances_total 2\n"));
}

TEST(Metrics, LagIsThatOfThePartitionsThatAreOurs) {
  Metrics metrics("1", "h");
  PipelineStatus status{.positioned = true, .waiting_for = "", .partitions = {}};
  status.partitions.push_back(
      {.where = {"t", Partition(0)}, .epoch = Epoch(1), .next = Offset(7), .high = Offset(10)});
  status.partitions.push_back({.where = {"t", Partition(1)},
                               .epoch = Epoch(1),
                               .next = Offset(5),
                               .high = Offset(5),
                               .blocked = true});
  metrics.update(status);
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_lag_records{partition=\"0\",topic=\"t\"} 3\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_lag_records{partition=\"1\",topic=\"t\"} 0\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_ready 1\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_partitions_blocked 1\n"));
  status.partitions.erase(status.partitions.begin());
  status.positioned = false;
  metrics.update(status);
  EXPECT_THAT(metrics.text(), Not(HasSubstr("partition=\"0\"")));
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_ready 0\n"));
}

TEST(Metrics, TellOfEachRule) {
  Metrics metrics("1.2.3", "abcdef");
  Rule rule;
  rule.name = "fp";
  metrics.derive().on_run(rule, {.rule = RuleIndex(0),
                                 .users = {7, 8},
                                 .took = std::chrono::milliseconds(3),
                                 .written = 2,
                                 .completed = 1});
  metrics.derive().on_failure(rule, {RuleIndex(0), "SQLSTATE P0001", "P0001"});
  metrics.derive().on_backlog({.rules = {{"fp", 5, 1.5}}, .failed = 1});
  std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("tidemark_rule_seconds_count{rule=\"fp\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_rule_users_total{rule=\"fp\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_challenges_completed_total{rule=\"fp\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_rule_failures_total{rule=\"fp\",sqlstate=\"P0001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_dirty_users{rule=\"fp\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_dirty_oldest_seconds{rule=\"fp\"} 1.5\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_dirty_failed_users 1\n"));
  metrics.derive().on_backlog({});
  text = metrics.text();
  EXPECT_THAT(text, HasSubstr("tidemark_dirty_users{rule=\"fp\"} 0\n")) << "not its last figure";
}

}  // namespace
}  // namespace tidemark
