#include "consumer/service/status_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tidemark {
namespace {

using nlohmann::json;

const TopicPartition kFirst{"t", Partition(0)};
const TopicPartition kSecond{"t", Partition(1)};

ProgressRow progress(const TopicPartition& where, std::int64_t next, const std::string& owner) {
  ProgressRow row;
  row.where = where;
  row.next = Offset(next);
  row.owner = owner;
  return row;
}

StatusParts some_parts() {
  auto view = std::make_shared<StateView>();
  view->at = std::chrono::steady_clock::now();
  view->overview.partitions = {progress(kFirst, 5, "a:1"), progress(kSecond, -1, "b:2")};
  view->overview.counts.drift = 1;
  view->overview.drift = {{.id = 3,
                           .aggregate = "public.counts",
                           .counter = "likes",
                           .expected = 4,
                           .found = std::nullopt,
                           .difference = 2,
                           .fence = 9,
                           .recounted_at = "",
                           .found_at = "2026-11-01T00:00:00Z",
                           .offsets = "{\"t\": [5]}"}};
  view->overview.waiting = {{"fp", 7, 1, 30}};
  view->ends = {{kFirst, Offset(8)}, {kSecond, Offset(4)}};
  StatusParts parts{.version = "1",
                    .declaration = "h",
                    .member = "a:1",
                    .rules = {"rd", "fp"},
                    .checks = {{"kafka", "no \"broker\""}},
                    .pipeline = {},
                    .figures = {},
                    .second_database = false,
                    .view = std::move(view),
                    .trouble = ""};
  parts.pipeline.partitions = {
      {.where = kFirst, .epoch = Epoch(1), .next = Offset(6), .high = Offset(9)}};
  parts.figures.lag_seconds[kFirst] = 1.5;
  return parts;
}

TEST(StatusReport, SaysOfEachPartitionHowFarBehindItIsAndWhoseItIs) {
  const json status = json::parse(status_json(some_parts()));
  const json& mine = status["partitions"][0];
  EXPECT_EQ(mine["lag"], 3) << "the newest that is known of both";
  EXPECT_EQ(mine["lag_seconds"], 1.5);
  EXPECT_EQ(mine["mine"], true);
  const json& other = status["partitions"][1];
  EXPECT_EQ(other["lag"], 4) << "of which nothing is applied";
  EXPECT_EQ(other["lag_seconds"], nullptr);
  EXPECT_EQ(other["owner"], "b:2");
  EXPECT_EQ(other["mine"], false);
}

TEST(StatusReport, ShowsDriftWithItsEvidenceAndRulesThatNobodyWaitsFor) {
  const json status = json::parse(status_json(some_parts()));
  EXPECT_EQ(status["drift"], 1);
  EXPECT_EQ(status["drift_rows"][0]["expected"], 4);
  EXPECT_EQ(status["drift_rows"][0]["found"], nullptr);
  EXPECT_EQ(status["drift_rows"][0]["offsets"]["t"][0], 5);
  EXPECT_FALSE(status["drift_rows"][0].contains("key")) << "may be user data";
  EXPECT_EQ(status["rules"][0]["users"], 7);
  EXPECT_EQ(status["rules"][1],
            (json{{"rule", "rd"}, {"users", 0}, {"failed", 0}, {"oldest_seconds", 0}}));
  EXPECT_EQ(status["member"]["ready"], false);
  EXPECT_EQ(status["member"]["checks"][0]["why_not"], "no \"broker\"");
}

TEST(StatusReport, ASecondDatabaseIsShownByTheSlotThatLeadsOutOfIt) {
  StatusParts parts = some_parts();
  EXPECT_EQ(json::parse(status_json(parts))["source"], nullptr) << "there is one";
  parts.second_database = true;
  EXPECT_EQ(json::parse(status_json(parts))["source"]["active"], nullptr) << "nobody looked yet";
  auto view = std::make_shared<StateView>(*parts.view);
  view->source = SourceView{
      .slot_name = "debezium",
      .slot = SlotState{.there = true, .active = true, .confirmed = "0/2A", .behind_bytes = 77},
      .trouble = ""};
  parts.view = view;
  EXPECT_EQ(json::parse(status_json(parts))["source"], (json{{"slot", "debezium"},
                                                             {"there", true},
                                                             {"active", true},
                                                             {"confirmed_lsn", "0/2A"},
                                                             {"behind_bytes", 77},
                                                             {"trouble", ""}}));
}

TEST(StatusReport, AMemberThatCannotLookAtPostgresSaysSo) {
  StatusParts parts = some_parts();
  parts.view = nullptr;
  parts.trouble = "database: cannot connect \xff";
  const json status = json::parse(status_json(parts));
  EXPECT_EQ(status["state"]["age_seconds"], nullptr);
  EXPECT_NE(status["state"]["trouble"], "");
  EXPECT_FALSE(status.contains("partitions"));
}

}  // namespace
}  // namespace tidemark
