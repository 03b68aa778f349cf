// What `tidemark status --watch` shows of two looks.
#include "consumer/service/status_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tidemark {
namespace {

using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const TopicPartition kFirst{"app.public.likes", Partition(0)};
const TopicPartition kSecond{"app.public.likes", Partition(1)};

ProgressRow progress(const TopicPartition& where, std::int64_t next) {
  ProgressRow row;
  row.where = where;
  row.next = Offset(next);
  row.owner = "host:1";
  row.updated_at = "2026-11-01T00:00:00Z";
  return row;
}

// Two partitions that were read up to here, each of which ends at 1,000.
StatusLook look(seconds at, std::int64_t first, std::int64_t second) {
  StatusLook look;
  look.at = std::chrono::steady_clock::time_point(at);
  look.time = "2026-11-01T00:00:07Z";
  look.overview.partitions = {progress(kFirst, first), progress(kSecond, second)};
  look.ends = {{kFirst, Offset(1'000)}, {kSecond, Offset(1'000)}};
  return look;
}

PassRow pass(std::int64_t id, const std::string& cause, std::int64_t cells) {
  PassRow row;
  row.id = id;
  row.cause = cause;
  row.cells = cells;
  row.started_seconds = 12;
  return row;
}

std::vector<std::string> lines_of(const StatusLook& now, const StatusLook* before = nullptr) {
  return status_lines({.group = "counters",
                       .interval = seconds(2),
                       .now = now,
                       .before = before,
                       .trouble = "",
                       .age = {}});
}

TEST(StatusLines, AFirstLookShowsAllButRates) {
  StatusLook now = look(seconds(5), 400, -1);
  now.overview.counts.suspect_cells = 3;
  now.overview.counts.suspect_ranges = 1;
  now.overview.counts.parked = 7;
  now.overview.counts.fences = 2;
  now.overview.suspect_oldest_seconds = 61;
  EXPECT_THAT(
      lines_of(now),
      ElementsAre("group counters, 2026-11-01T00:00:07Z, every 2 s", "applied       - records/s",
                  "lag           1600 records", "last pass     none has ended yet",
                  "drift found   0",
                  "suspect       3 cells, the oldest for 1 min 01 s; 1 whole "
                  "counters",
                  "fences        2 outstanding", "parked        7 records",
                  "lost data     0 partitions", "dirty users   0, 0 after a failure",
                  "topic             partition     next offset         lag  records/s  parked  "
                  "updated               owner",
                  "app.public.likes          0             400         600          -       0  "
                  "2026-11-01T00:00:00Z  host:1",
                  "app.public.likes          1        earliest        1000          -       0  "
                  "2026-11-01T00:00:00Z  host:1"));
}

TEST(StatusLines, RatesAreThoseBetweenTwoLooks) {
  StatusLook before = look(seconds(5), 100, 200);
  StatusLook now = look(seconds(15), 400, 205);
  before.overview.going = pass(4, "schedule", 1'000);
  now.overview.going = pass(4, "schedule", 6'000);
  const std::vector<std::string> lines = lines_of(now, &before);
  EXPECT_THAT(lines, Contains("applied       30 records/s"));
  EXPECT_THAT(lines, Contains("lag           1395 records, shrinking by 30/s"));
  EXPECT_THAT(lines, Contains("pass now      schedule, for 12 s: 6000 rows compared, 500 rows/s, "
                              "0 cells written"));
  EXPECT_THAT(lines[lines.size() - 2], HasSubstr("         600         30       0"));
  EXPECT_THAT(lines.back(), HasSubstr("         795        0.5       0"));
}

// An offset that an operator set back, or a partition that was never read, is no speed.
TEST(StatusLines, WhatDoesNotMoveForwardHasNoRate) {
  const StatusLook before = look(seconds(5), 400, -1);
  const StatusLook now = look(seconds(6), 100, 900);
  const std::vector<std::string> lines = lines_of(now, &before);
  EXPECT_THAT(lines, Contains("applied       - records/s"));
  StatusLook next_pass = now;
  next_pass.at += seconds(1);
  next_pass.overview.going = pass(5, "command", 10);
  EXPECT_THAT(lines_of(next_pass, &now), Contains(HasSubstr("10 rows compared, - rows/s")));
}

TEST(StatusLines, UsersWhoWaitAreShownByRuleWithTheOldestMark) {
  StatusLook now = look(seconds(5), 1, 1);
  now.overview.counts.dirty = OverviewReader::kCountMax;
  now.overview.counts.failed = 2;
  now.overview.waiting = {{"fp", 12, 2, 3'700}, {"rd", 1, 0, 4}};
  const std::vector<std::string> lines = lines_of(now);
  EXPECT_THAT(lines, Contains("dirty users   100000 or more, 2 after a failure"));
  EXPECT_THAT(lines, Contains("fp           12          2  1 h 01 min"));
  EXPECT_THAT(lines, Contains("rd            1          0  4 s"));
}

TEST(StatusLines, ALostDatabaseIsToldBesideTheLastFiguresOnOneLine) {
  const StatusLook now = look(seconds(5), 400, 500);
  const std::vector<std::string> lines = status_lines({.group = "counters",
                                                       .interval = seconds(2),
                                                       .now = now,
                                                       .before = nullptr,
                                                       .trouble = "cannot\n\tconnect\x1b[2J",
                                                       .age = seconds(75)});
  EXPECT_EQ(lines[1], "NO LOOK AT POSTGRES for 1 min 15 s, trying again: cannot  connect [2J");
  EXPECT_THAT(lines.back(), HasSubstr("500"));
}

TEST(StatusLines, WithoutKafkaTheLagIsNotKnownAndAllElseIs) {
  StatusLook now = look(seconds(5), 400, 500);
  now.ends.clear();
  now.kafka_trouble = "kafka: no broker answers";
  const std::vector<std::string> lines = lines_of(now);
  EXPECT_THAT(lines, Contains("lag           not known: kafka: no broker answers"));
  EXPECT_THAT(lines.back(), HasSubstr("500           -"));
}

TEST(StatusLines, ASecondDatabaseIsShownByTheSlotThatLeadsOutOfIt) {
  StatusLook now = look(seconds(5), 400, 500);
  now.source = SourceView{.slot_name = "debezium", .slot = SlotState(), .trouble = ""};
  EXPECT_THAT(lines_of(now), Contains("source        there is no slot debezium"));
  now.source->slot =
      SlotState{.there = true, .active = false, .confirmed = "0/2A", .behind_bytes = 3 << 19};
  EXPECT_THAT(lines_of(now), Contains("source        slot debezium IS NOT FOLLOWED, 1.5 MiB "
                                      "behind, confirmed 0/2A"));
  now.source->slot = std::nullopt;
  now.source->trouble = "database: cannot connect";
  EXPECT_THAT(lines_of(now), Contains("source        not known: database: cannot connect"));
}

TEST(StatusLines, LostDataAndPartitionsThatNobodyClaimedYet) {
  StatusLook now = look(seconds(5), 400, 500);
  now.overview.partitions[1].data_loss_at = "2026-11-01T00:00:01Z";
  now.overview.partitions[1].data_loss_reason = "purged";
  EXPECT_THAT(lines_of(now), Contains("lost data     1 partitions"));
  EXPECT_EQ(lines_of(now).back(), "  DATA_LOSS since 2026-11-01T00:00:01Z: purged");
  now.overview.partitions.clear();
  EXPECT_EQ(lines_of(now).back(), "no partition was claimed yet");
}

TEST(StatusLines, NoLineIsWiderThanTheTerminal) {
  EXPECT_THAT(fitted({"12345", "123456", "äöü45"}, {.columns = 5, .rows = 0}),
              ElementsAre("12345", "1234…", "äöü45"));
  EXPECT_THAT(fitted({"äöü456", "1"}, {.columns = 4, .rows = 0}), ElementsAre("äöü…", "1"));
  EXPECT_THAT(fitted({"123456", "1"}, {.columns = 1, .rows = 0}), ElementsAre("…", "1"));
}

// A screen that scrolls would lose its first lines, which matter most.
TEST(StatusLines, NoMoreLinesThanTheTerminalHas) {
  EXPECT_THAT(fitted({"a", "b", "c", "d"}, {.columns = 20, .rows = 3}),
              ElementsAre("a", "b", "… 2 more lines"));
  EXPECT_THAT(fitted({"a", "b", "c"}, {.columns = 20, .rows = 3}), ElementsAre("a", "b", "c"));
  EXPECT_THAT(fitted({"a", "b"}, {}), ElementsAre("a", "b"));
}

}  // namespace
}  // namespace tidemark
