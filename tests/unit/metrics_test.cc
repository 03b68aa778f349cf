#include "consumer/service/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const BatchNotes kNotes{.applying = std::chrono::milliseconds(3)};

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
  metrics.on_applied(some_delta(), {ApplyOutcome::kApplied, 4, 1}, kNotes);
  metrics.on_applied(some_delta(),
                     {.outcome = ApplyOutcome::kApplied, .rows_written = 4, .below_checkpoint = 5},
                     kNotes);
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("tidemark_records_total 20\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_changes_total 12\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_records_skipped_total{reason=\"tombstone\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_records_skipped_total{reason=\"duplicate\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_parked_total{code=\"bad_json\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_suspects_total 3\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_below_checkpoint_total 5\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_batch_rows_sum 8\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_apply_seconds_count 2\n"));
  EXPECT_THAT(text, HasSubstr("version=\"1.2.3\""));
}

TEST(Metrics, HoldNothingOfARecord) {
  Metrics metrics("1", "h");
  metrics.on_applied(some_delta(), {}, kNotes);
  EXPECT_THAT(metrics.text(), Not(HasSubstr("secret")));
}

TEST(Metrics, FreshnessIsThatOfTheOldestRecord) {
  Metrics metrics("1", "h");
  Delta delta = some_delta();
  metrics.on_applied(delta, {}, kNotes);  // no record had a time
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_freshness_seconds_count 0\n"));
  delta.figures.oldest_append_ms = 1;  // in 1970
  metrics.on_applied(delta, {}, kNotes);
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

TEST(Metrics, CountEventsByTopicAndOp) {
  Metrics metrics("1", "h");
  metrics.on_applied(some_delta(), {}, {.events = {{"app.likes", {1, 2, 0, 3, 0}}}});
  metrics.on_applied(some_delta(), {}, {.events = {{"app.likes", {1, 0, 0, 0, 0}}}});
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("tidemark_events_total{op=\"c\",topic=\"app.likes\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_events_total{op=\"u\",topic=\"app.likes\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_events_total{op=\"r\",topic=\"app.likes\"} 3\n"));
  EXPECT_THAT(text, Not(HasSubstr("op=\"d\"")));
}

TEST(Metrics, RowsThatNothingChangedAreToldApart) {
  Metrics metrics("1", "h");
  Delta delta = some_delta();
  delta.aggregates.push_back({.counters = 2,
                              .integer_keys = {1, 2, 3},
                              .text_keys = {},
                              .deltas = {0, 0, 0, 1, -1, 0},
                              .places = {}});
  metrics.on_applied(delta, {}, kNotes);
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_rows_total{result=\"written\"} 2\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_rows_total{result=\"unchanged\"} 1\n"));
}

TEST(Metrics, LagInSecondsIsTheAgeOfTheLastRecordWhileThereIsMore) {
  Metrics metrics("1", "h");
  Delta delta = some_delta();
  const TopicPartition where{"t", Partition(0)};
  delta.advances.push_back({.where = where,
                            .epoch = Epoch(1),
                            .from = Offset(0),
                            .to = Offset(1),
                            .mark = {},
                            .fingerprint = Fingerprint{Offset(0), KafkaTimestamp(1), {}, {}}});
  metrics.on_applied(delta, {}, kNotes);
  PipelineStatus status{.positioned = true, .waiting_for = "", .partitions = {}};
  status.partitions.push_back(
      {.where = where, .epoch = Epoch(1), .next = Offset(1), .high = Offset(2)});
  metrics.update(status);
  EXPECT_GT(metrics.figures().lag_seconds.at(where), 1e9) << "that record is of 1970";
  status.partitions[0].high = Offset(1);
  metrics.update(status);
  EXPECT_EQ(metrics.figures().lag_seconds.at(where), 0);
}

TEST(Metrics, TellHowUnknownCommitsEndedAndWhatStatementsTook) {
  Metrics metrics("1", "h");
  metrics.on_unknown_commit(UnknownCommitEnd::kFenced);
  metrics.on_statement({"add_12", "public.counts"}, std::chrono::milliseconds(3));
  metrics.on_statement({"commit", ""}, std::chrono::milliseconds(3));
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("tidemark_unknown_commits_total{ended=\"fenced\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_statement_seconds_count{object=\"public.counts\","
                              "statement=\"add\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("statement=\"commit\"} 1\n"));
}

TEST(Metrics, ReadLibrdkafkasStatisticsAndPassOverWhatTheyAreNot) {
  Metrics metrics("1", "h");
  metrics.on_kafka_statistics(
      R"({"rxmsg_bytes": 70,
          "brokers": {"a": {"state": "UP", "rtt": {"p99": 2000}, "disconnects": 1},
                      "b": {"state": "INIT"}},
          "topics": {"t": {"partitions": {"0": {"fetchq_cnt": 5, "fetchq_size": 600}}}}})");
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_kafka_brokers_up 1\n"));
  EXPECT_THAT(metrics.text(), HasSubstr("tidemark_kafka_queued_bytes 600\n"));
  metrics.on_kafka_statistics(R"({"rxmsg_bytes": 90, "brokers": [], "topics": {"t": 1}})");
  metrics.on_kafka_statistics("not JSON");
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("tidemark_kafka_received_bytes_total 90\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_kafka_disconnects_total 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_kafka_brokers_up 0\n"));
}

TEST(Metrics, TellOfTheProcessAndItsMemory) {
  const Metrics metrics("1", "h");
  const std::string text = metrics.text();
  EXPECT_THAT(text, ::testing::ContainsRegex("process_resident_memory_bytes [1-9]"));
  EXPECT_THAT(text, ::testing::ContainsRegex("process_open_fds [1-9]"));
  EXPECT_THAT(text, ::testing::ContainsRegex("process_start_time_seconds 1\\.[0-9]+e\\+09|"
                                             "process_start_time_seconds [1-9][0-9]{9}"));
  EXPECT_THAT(text, ::testing::ContainsRegex("tidemark_memory_budget_bytes [1-9]"));
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
