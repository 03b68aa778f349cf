// The pipeline when partitions come and go, records are bad, or Kafka's records are not what they
// were.
#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/pipeline_fixture.h"

namespace tidemark::testing {
namespace {

class PipelineGroup : public PipelineTest {};
class PipelineParked : public PipelineTest {};
class PipelineDataLoss : public PipelineTest {};

// --- partitions come and go --------------------------------------------------------------------

TEST_F(PipelineGroup, NothingIsReadBeforeAnAssignment) {
  like("a");
  auto one = member();
  for (int i = 0; i < 10; ++i) one->pipeline->step();
  EXPECT_EQ(source.delivered(), 0U);
  EXPECT_FALSE(one->pipeline->status().positioned);
  EXPECT_NE(one->pipeline->status().waiting_for, "");
}

TEST_F(PipelineGroup, AMemberWithoutPartitionsIsReady) {
  auto one = started(0);
  until(*one, [&] { return one->pipeline->status().positioned; });
  EXPECT_TRUE(one->pipeline->status().partitions.empty());
}

TEST_F(PipelineGroup, ARebalanceWaitsForTheTransactionInHand) {
  auto one = started();
  one->store().hold();
  like("a", 4);
  until(*one, [&] { return one->store().held_now(); });
  like("a", 3);
  until(*one, [&] { return source.delivered() == 7; });  // folded ahead: dropped, and read again
  std::jthread releaser;
  source.before_next_group_event([&] { releaser = std::jthread([&] { one->store().release(); }); });
  source.take_away();
  until(*one, [&] { return one->observer.seen().revoked == 1; });
  EXPECT_EQ(likes("a"), 4);
  EXPECT_FALSE(source.reading());
  EXPECT_FALSE(one->pipeline->status().positioned);
  give();
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 7);
  EXPECT_EQ(one->observer.seen().fenced, 0U);
}

TEST_F(PipelineGroup, LostPartitionsAreGivenUpAtOnceAndNothingIsDoubled) {
  auto one = started(2);
  like("a", 4, 0);
  like("b", 4, 1);
  until_caught_up(*one, 2);
  one->store().hold();
  like("a", 2, 0);
  until(*one, [&] { return one->store().held_now(); });
  FakeStore other(database);
  other.claim(std::vector{at(0), at(1)});
  std::jthread releaser;
  source.before_next_group_event([&] { releaser = std::jthread([&] { one->store().release(); }); });
  source.take_away(true);
  until(*one, [&] { return one->observer.seen().lost == 1; });
  EXPECT_EQ(one->observer.seen().fenced, 1U);
  EXPECT_EQ(likes("a"), 4);
  give(1);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 6);
  EXPECT_EQ(likes("b"), 4);
}

TEST_F(PipelineGroup, AfterPartitionsWereTakenAFencedBatchClaimsNothing) {
  auto one = started();
  one->store().hold();
  like("a");
  until(*one, [&] { return one->store().held_now(); });
  FakeStore(database).claim(std::vector{at(0)});
  std::jthread releaser;
  source.before_next_group_event([&] { releaser = std::jthread([&] { one->store().release(); }); });
  source.take_away(true);
  until(*one, [&] { return one->observer.seen().lost == 1; });
  const std::size_t assigns = source.assigns();
  const auto later = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
  while (std::chrono::steady_clock::now() < later) one->pipeline->step();
  EXPECT_EQ(source.assigns(), assigns);
  EXPECT_FALSE(one->pipeline->status().positioned);
}

TEST_F(PipelineGroup, ManyRebalancesNeitherLoseNorDouble) {
  for (int partition = 0; partition < 3; ++partition) like("a", 500, partition);
  PipelineOptions options = patient();
  options.batch.records_max = 17;
  auto one = started(3, options, 2);
  for (int i = 0; i < 40; ++i) {
    for (int steps = 0; steps < i % 7; ++steps) one->pipeline->step();
    source.take_away(i % 3 == 0);
    give(1 + i % 3);
  }
  source.take_away();
  give(3);
  until_caught_up(*one, 3);
  EXPECT_EQ(likes("a"), 1500);
}

TEST_F(PipelineGroup, OlderRecordsAfterAnAssignmentAreDropped) {
  like("a", 10);
  auto first = started();
  until_caught_up(*first);
  FakeSource same_records = source;
  first->pipeline->drain(kPatience);
  source = same_records;
  like("b", 5);
  source.redeliver_before_start(6);
  auto second = started();
  until_caught_up(*second);
  EXPECT_TRUE(second->observer.seen().data_loss.empty());
  EXPECT_EQ(likes("a"), 10);
  EXPECT_EQ(likes("b"), 5);
}

TEST_F(PipelineGroup, OlderRecordsAfterAPauseAreDropped) {
  PipelineOptions options = patient();
  options.batch.records_max = 10;
  auto one = started(1, options);
  one->store().hold();
  like("a", 100);
  until(*one, [&] { return source.all_paused(); });
  source.redeliver_before_start(5);
  one->store().release();
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 100);
}

TEST_F(PipelineGroup, DrainAppliesWhatIsInHandAndLeavesTheRest) {
  auto first = started();
  first->store().hold();
  like("a", 4);
  until(*first, [&] { return first->store().held_now(); });
  like("a", 3);
  until(*first, [&] { return source.delivered() == 7; });
  std::jthread releaser([&] { first->store().release(); });
  first->pipeline->drain(kPatience);
  EXPECT_TRUE(source.closed());
  EXPECT_EQ(likes("a"), 4);
  EXPECT_EQ(database.progress(at(0)).next, Offset(4));
}

TEST_F(PipelineGroup, DrainDoesNotWaitForADatabaseThatIsDown) {
  auto one = started();
  one->store().fail_next(Call::kApply, WorldError(ErrorKind::kRetry, "down", "57P03"), 1'000'000);
  like("a");
  until(*one, [&] { return one->observer.seen().retries >= 1; });
  const auto start = std::chrono::steady_clock::now();
  one->pipeline->drain(std::chrono::seconds(60));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_TRUE(source.closed());
}

// --- parked records ----------------------------------------------------------------------------

TEST_F(PipelineParked, ABadRecordIsPutAsideAndTheOthersCount) {
  like("a", 2);
  junk();
  like("a", 2);
  auto one = started();
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 4);
  ASSERT_EQ(database.parked().size(), 1U);
  EXPECT_EQ(database.parked()[0].offset, Offset(2));
  EXPECT_EQ(database.parked()[0].payload, "{\"cut");
}

TEST_F(PipelineParked, AtTheBoundOnlyItsPartitionStandsStill) {
  PipelineOptions options = patient();
  options.parked_max = 3;
  like("a", 2, 0);
  junk(5, 0);
  like("a", 2, 0);
  like("b", 200, 1);
  auto one = started(2, options);
  until(*one, [&] { return database.progress(at(1)).next == Offset(200); });
  until(*one, [&] { return database.progress(at(0)).next == Offset(5); });
  EXPECT_EQ(one->observer.seen().at_bound, std::vector{at(0)});
  EXPECT_EQ(database.parked().size(), 3U);
  like("b", 10, 1);
  until(*one, [&] { return likes("b") == 210; });
  EXPECT_EQ(database.progress(at(0)).next, Offset(5));
  EXPECT_EQ(likes("a"), 2);
  until(*one, [&] {
    const PipelineStatus status = one->pipeline->status();
    return status.partitions[0].blocked && !status.partitions[1].blocked;
  });
}

TEST_F(PipelineParked, WhatWasFetchedBeforeItStoodStillIsNotTaken) {
  PipelineOptions options = patient();
  options.parked_max = 1;
  source.ignore_pauses();
  like("a", 2);
  junk(2);
  like("a", 2);
  auto one = started(1, options);
  until(*one, [&] { return source.delivered() == 6; });
  until(*one, [&] { return database.progress(at(0)).next == Offset(3); });
  EXPECT_EQ(likes("a"), 2);
}

TEST_F(PipelineParked, APartitionThatStandsStillDoesNotSlowTheOthers) {
  PipelineOptions options = patient();
  options.parked_max = 1;
  options.batch.catchup_records = 100;
  junk(2, 0);
  like("a", 1000, 0);  // what can't be read is far more than that
  auto one = started(2, options);
  until(*one, [&] { return one->observer.seen().at_bound.size() == 1; });
  like("b", 3, 1);
  until(*one, [&] { return likes("b") == 3; });
}

TEST_F(PipelineParked, ItGoesOnAfterAnOperatorDealtWithThem) {
  PipelineOptions options = patient();
  options.parked_max = 2;
  junk(4);
  like("a", 2);
  auto one = started(1, options);
  until(*one, [&] { return database.progress(at(0)).next == Offset(2); });
  for (const ParkedRecord& record : database.parked()) {
    database.remove_parked(record.where, record.offset);
  }
  source.take_away();
  give();
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 2);
  EXPECT_EQ(database.parked().size(), 2U);
}

// --- records that are gone, or others ----------------------------------------------------------

TEST_F(PipelineDataLoss, PurgedRecordsAreRecordedAndTheStreamGoesOn) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.take_away();
  until(*one, [&] { return one->observer.seen().revoked == 1; });
  like("b", 5);
  source.purge_below(at(0), Offset(6));  // two were never read
  give();
  until_caught_up(*one);
  EXPECT_EQ(likes("b"), 3);
  ASSERT_EQ(one->observer.seen().data_loss.size(), 1U);
  EXPECT_NE(one->observer.seen().data_loss[0].find("purged"), std::string::npos);
  EXPECT_TRUE(database.progress(at(0)).data_loss.has_value());
  EXPECT_EQ(database.suspect_ranges().at({"posts", "likes"}), SuspectCause::kDataLoss);
}

TEST_F(PipelineDataLoss, OnlyTheLastRecordPurgedIsNone) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.take_away();
  source.purge_below(at(0), Offset(4));
  give();
  like("a", 2);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 6);
  EXPECT_TRUE(one->observer.seen().data_loss.empty());
  EXPECT_TRUE(database.suspect_ranges().empty());
}

TEST_F(PipelineDataLoss, TheLastRecordCompactedAwayIsNone) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.take_away();
  like("a", 2);
  source.compact_away(at(0), Offset(3));
  give();
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 6);
  EXPECT_TRUE(one->observer.seen().data_loss.empty());
}

TEST_F(PipelineDataLoss, ATopicMadeAnewIsReadFromItsBeginning) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.take_away();
  until(*one, [&] { return one->observer.seen().revoked == 1; });
  source.recreate(at(0));
  like("b", 10);
  give();
  until_caught_up(*one);
  EXPECT_EQ(likes("b"), 10);
  ASSERT_EQ(one->observer.seen().data_loss.size(), 1U);
  EXPECT_NE(one->observer.seen().data_loss[0].find("anew"), std::string::npos);
}

TEST_F(PipelineDataLoss, AShorterTopicMadeAnewIsReadFromItsBeginning) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.take_away();
  until(*one, [&] { return one->observer.seen().revoked == 1; });
  source.recreate(at(0));
  like("b", 2);
  give();
  until_caught_up(*one);
  EXPECT_EQ(likes("b"), 2);
  EXPECT_EQ(one->observer.seen().data_loss.size(), 1U);
}

TEST_F(PipelineDataLoss, ATopicMadeAnewThatGrowsMeanwhileIsStillFound) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.take_away();
  until(*one, [&] { return one->observer.seen().revoked == 1; });
  source.recreate(at(0));
  source.before_next_watermarks([&] { like("b", 10); });
  give();
  until_caught_up(*one);
  EXPECT_EQ(likes("b"), 10);
  EXPECT_EQ(one->observer.seen().data_loss.size(), 1U);
}

TEST_F(PipelineDataLoss, WhileReadingATopicMadeAnewIsFoundToo) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.recreate(at(0));
  source.before_next_watermarks([&] { like("b", 10); });
  until(*one, [&] { return likes("b") == 10; });
  EXPECT_EQ(one->observer.seen().data_loss.size(), 1U);
}

TEST_F(PipelineDataLoss, AFalseAlarmIsNone) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.report_out_of_range(at(0));
  like("a", 3);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 7);
  EXPECT_TRUE(one->observer.seen().data_loss.empty());
}

TEST_F(PipelineDataLoss, ABrokerThatDoesNotAnswerIsAskedAgain) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.take_away();
  until(*one, [&] { return one->observer.seen().revoked == 1; });
  source.recreate(at(0));
  like("b", 2);
  source.fail_next_watermarks(WorldError(ErrorKind::kRetry, "timed out"));
  give();
  until_caught_up(*one);
  EXPECT_EQ(likes("b"), 2);
  EXPECT_EQ(one->observer.seen().data_loss.size(), 1U);
}

TEST_F(PipelineDataLoss, IsNotRecordedByAnOwnerOfYesterday) {
  like("a", 4);
  auto one = started();
  until_caught_up(*one);
  source.take_away();
  until(*one, [&] { return one->observer.seen().revoked == 1; });
  source.recreate(at(0));
  like("b", 2);
  // Another owner finds it first, between our claim and our finding.
  FakeStore other(database);
  source.before_next_watermarks([&] {
    const Claimed claimed = other.claim(std::vector{at(0)})[0];
    other.record_data_loss(at(0), claimed.epoch, "found by another");
  });
  give();
  until_caught_up(*one);
  EXPECT_EQ(likes("b"), 2);
  EXPECT_TRUE(one->observer.seen().data_loss.empty());
  EXPECT_EQ(database.progress(at(0)).data_loss, "found by another");
}

}  // namespace
}  // namespace tidemark::testing
