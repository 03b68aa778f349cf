// The pipeline in good days, and when Postgres says no.
#include "consumer/service/pipeline.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/pipeline_fixture.h"

namespace tidemark::testing {
namespace {

class PipelineFlow : public PipelineTest {};
class PipelineFailure : public PipelineTest {};

// --- batches -----------------------------------------------------------------------------------

TEST_F(PipelineFlow, AppliesEachRecordAtOnceWhenLittleComes) {
  auto one = started();
  for (int i = 1; i <= 5; ++i) {
    like("a");
    until(*one, [&] { return database.commits() == static_cast<std::size_t>(i); });
    EXPECT_EQ(likes("a"), i);
  }
}

TEST_F(PipelineFlow, TakesManyRecordsInOneTransactionWhenManyCome) {
  like("a", 700);
  like("b", 300);
  auto one = started();
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 700);
  EXPECT_EQ(likes("b"), 300);
  EXPECT_EQ(database.commits(), 1U);
}

TEST_F(PipelineFlow, ABatchHasNoMoreRecordsThanItMay) {
  PipelineOptions options = patient();
  options.batch.records_max = 10;
  like("a", 95);
  auto one = started(1, options);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 95);
  EXPECT_EQ(database.largest_batch(), 10U);
}

TEST_F(PipelineFlow, AnOldBatchGoesAlthoughMoreKeepsComing) {
  PipelineOptions options = patient();
  options.batch.age_max = std::chrono::milliseconds(0);
  like("a", 1000);
  auto one = started(1, options);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 1000);
  EXPECT_GT(database.commits(), 1U);
}

TEST_F(PipelineFlow, FarBehindItGathersLargerBatches) {
  PipelineOptions options = patient();
  options.batch.age_max = std::chrono::milliseconds(0);
  options.batch.catchup_records = 500;
  options.batch.records_max = 2000;
  like("a", 2400);
  auto one = started(1, options);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 2400);
  EXPECT_GE(database.largest_batch(), 1800U);
}

TEST_F(PipelineFlow, FoldsTheNextBatchWhileTheLastIsApplied) {
  auto one = started();
  one->store().hold();
  like("a");
  until(*one, [&] { return one->store().held_now(); });
  like("a", 5);
  until(*one, [&] { return source.delivered() == 6; });
  EXPECT_TRUE(one->store().held_now());
  EXPECT_EQ(database.commits(), 0U);
  one->store().release();
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 6);
  EXPECT_EQ(database.commits(), 2U);
}

TEST_F(PipelineFlow, GoesOnAcrossGapsOfKafkasOwn) {
  like("a");
  source.skip_offsets(at(0), 7);
  like("a");
  source.skip_offsets(at(0), 1);  // at the end: nothing to read there
  auto one = started();
  until(*one, [&] { return likes("a") == 2; });
  EXPECT_EQ(database.progress(at(0)).next, Offset(9));
}

TEST_F(PipelineFlow, StatusSaysWhereItStands) {
  auto one = member();
  EXPECT_FALSE(one->pipeline->status().positioned);
  like("a", 3, 1);
  junk(1, 1);
  give(2);
  until(*one, [&] { return database.progress(at(1)).next == Offset(4); });
  until(*one, [&] {
    const PipelineStatus status = one->pipeline->status();
    return status.partitions.size() == 2 && status.partitions[1].next == Offset(4);
  });
  const PipelineStatus status = one->pipeline->status();
  EXPECT_TRUE(status.positioned);
  EXPECT_EQ(status.waiting_for, "");
  EXPECT_EQ(status.partitions[0].next, kNotStarted);
  EXPECT_EQ(status.partitions[1].where, at(1));
  EXPECT_EQ(status.partitions[1].high, Offset(4));
  EXPECT_EQ(status.partitions[1].parked, 1U);
}

TEST_F(PipelineFlow, KafkaHearsOnlyWhatThePostgresLogHasOnDisk) {
  database.hold_flush();
  auto one = started();
  like("a", 3);
  until_caught_up(*one);
  until(*one, [&] { return one->store().calls(Call::kWal) >= 2; });
  EXPECT_TRUE(source.committed().empty());
  database.flush_all();
  until(*one, [&] { return !source.committed().empty(); });
  EXPECT_EQ(source.committed().at(at(0)), Offset(3));
}

TEST_F(PipelineFlow, LanesApplyWithoutWaitingForEachOther) {
  auto one = started(2, patient(), 2);
  one->store(0).hold();
  like("a", 3, 0);
  until(*one, [&] { return one->store(0).held_now(); });
  like("b", 4, 1);
  until(*one, [&] { return likes("b") == 4; });
  EXPECT_EQ(likes("a"), 0);
  one->store(0).release();
  until_caught_up(*one, 2);
  EXPECT_EQ(likes("a"), 3);
}

TEST_F(PipelineFlow, LanesHaveEachPartitionInOne) {
  for (int partition = 0; partition < 5; ++partition) like("a", 100, partition);
  auto one = started(5, patient(), 3);
  until_caught_up(*one, 5);
  EXPECT_EQ(likes("a"), 500);
  for (std::size_t lane = 0; lane < 3; ++lane) EXPECT_GT(one->store(lane).calls(Call::kApply), 0U);
}

// --- failures that pass ------------------------------------------------------------------------

TEST_F(PipelineFailure, ARetryAppliesTheSameBatchOnce) {
  auto one = started();
  one->store().fail_next(Call::kApply, WorldError(ErrorKind::kRetry, "deadlock", "40P01"), 3);
  like("a", 4);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 4);
  EXPECT_EQ(one->observer.seen().retries, 3U);
  EXPECT_EQ(database.commits(), 1U);
  EXPECT_EQ(source.assigns(), 1U);
}

TEST_F(PipelineFailure, ALostReplyToCommitNeitherDoublesNorLoses) {
  auto one = started();
  one->store().lose_next_reply();
  like("a", 4);
  until_caught_up(*one);
  like("a", 2);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 6);
  EXPECT_EQ(one->observer.seen().fenced, 1U);
}

TEST_F(PipelineFailure, AZombieIsFencedAndReadsTheOffsetsAgain) {
  auto zombie = started();
  zombie->store().hold();
  like("a", 4);
  until(*zombie, [&] { return zombie->store().held_now(); });
  like("a", 3);
  until(*zombie, [&] { return source.delivered() == 7; });  // folded ahead

  FakeStore owner(database);
  const Claimed claimed = owner.claim(std::vector{at(0)})[0];
  EXPECT_EQ(claimed.next, kNotStarted);
  zombie->store().release();
  until(*zombie, [&] { return zombie->observer.seen().fenced == 1; });
  EXPECT_EQ(likes("a"), 0);
  until_caught_up(*zombie);
  EXPECT_EQ(likes("a"), 7);
}

TEST_F(PipelineFailure, AfterAnotherOwnerAppliedNothingIsDoubled) {
  auto zombie = started();
  zombie->store().hold();
  like("a", 4);
  until(*zombie, [&] { return zombie->store().held_now(); });

  FakeSource same_records = source;
  Member owner(*this, same_records, patient(), 1);
  same_records.give({at(0)});
  until_caught_up(owner);
  EXPECT_EQ(likes("a"), 4);
  zombie->store().release();
  until(*zombie, [&] { return zombie->observer.seen().fenced == 1; });
  like("a");
  until_caught_up(*zombie);
  EXPECT_EQ(likes("a"), 5);
}

// A store is one connection: nobody else may use it while its lane applies, and the other lane's
// transaction decides what the offsets are.
TEST_F(PipelineFailure, AClaimWaitsForTheTransactionsOfAllLanes) {
  auto one = started(2, patient(), 2);
  one->store(1).hold();
  like("b", 3, 1);
  until(*one, [&] { return one->store(1).held_now(); });
  one->store(0).fail_next(Call::kApply, WorldError(ErrorKind::kShrink, "timeout", "57014"));
  like("a", 4, 0);
  until(*one, [&] { return one->observer.seen().shrunk.size() == 1; });
  const auto later = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  while (std::chrono::steady_clock::now() < later) one->pipeline->step();
  EXPECT_EQ(one->observer.seen().assigned, 1U);
  one->store(1).release();
  until_caught_up(*one, 2);
  EXPECT_EQ(likes("a"), 4);
  EXPECT_EQ(likes("b"), 3);
  EXPECT_EQ(one->observer.seen().fenced, 0U);
}

TEST_F(PipelineFailure, ABatchThatIsTooLargeIsHalvedAndGrowsBack) {
  like("a", 100);
  auto one = started();
  one->store().before_apply([](const Delta& delta) {
    if (delta.figures.records > 10) throw WorldError(ErrorKind::kShrink, "timeout", "57014");
  });
  until(*one, [&] { return database.commits() == 1; });
  EXPECT_EQ(one->observer.seen().shrunk, (std::vector<std::size_t>{50, 25, 12, 6}));
  EXPECT_EQ(likes("a"), 6);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 100);
  EXPECT_LE(database.largest_batch(), 10U);

  one->store().before_apply(nullptr);
  like("a", 500);
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 600);
  EXPECT_GT(database.largest_batch(), 60U);
}

TEST_F(PipelineFailure, ARecordThatPostgresRefusesIsParkedAlone) {
  like("a", 20);
  like("refused");
  like("a", 20);
  auto one = started();
  one->store().before_apply([](const Delta& delta) {
    for (const std::string& key : delta.aggregates[0].text_keys) {
      if (key == "refused") throw WorldError(ErrorKind::kBadData, "bad character", "22021");
    }
  });
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 40);
  EXPECT_EQ(likes("refused"), 0);
  const std::vector<ParkedRecord> parked = database.parked();
  ASSERT_EQ(parked.size(), 1U);
  EXPECT_EQ(parked[0].offset, Offset(20));
  EXPECT_EQ(parked[0].bad.code, BadCode::kRefusedByDatabase);
  EXPECT_EQ(database.suspect_ranges().size(), 1U);
}

TEST_F(PipelineFailure, TwoLanesEachParkWhatIsRefusedOfThem) {
  for (int partition = 0; partition < 2; ++partition) {
    like("a", 5, partition);
    like("refused", 1, partition);
    like("a", 5, partition);
  }
  auto one = started(2, patient(), 2);
  for (std::size_t lane = 0; lane < 2; ++lane) {
    one->store(lane).before_apply([](const Delta& delta) {
      for (const std::string& key : delta.aggregates[0].text_keys) {
        if (key == "refused") throw WorldError(ErrorKind::kBadData, "bad character", "22021");
      }
    });
  }
  until_caught_up(*one, 2);
  EXPECT_EQ(likes("a"), 20);
  EXPECT_EQ(database.parked().size(), 2U);
}

TEST_F(PipelineFailure, WhatIsRefusedEvenParkedEndsTheLoop) {
  like("a");
  auto one = started();
  one->store().before_apply(
      [](const Delta&) { throw WorldError(ErrorKind::kBadData, "bad", "22P05"); });
  EXPECT_THROW(until(*one, [] { return false; }), WorldError);
}

TEST_F(PipelineFailure, AClaimThatFailsIsTriedAgainWhileTheSourceRests) {
  like("a", 1000);
  auto one = started();
  until_caught_up(*one);
  const std::size_t delivered = source.delivered();
  one->store().hold();
  like("a");
  until(*one, [&] { return one->store().held_now(); });
  FakeStore(database).claim(std::vector{at(0)});  // fences it
  one->store().fail_next(Call::kClaim, WorldError(ErrorKind::kRetry, "down", "57P03"), 3);
  one->store().release();
  like("a", 1000);
  until(*one, [&] { return one->observer.seen().retries >= 1; });
  EXPECT_TRUE(source.all_paused());
  EXPECT_FALSE(one->pipeline->status().positioned);
  until_caught_up(*one);
  EXPECT_EQ(one->observer.seen().retries, 3U);
  EXPECT_EQ(likes("a"), 2001);
  // Not read over and over while nothing could be done with it.
  EXPECT_LT(source.delivered() - delivered, 2100U);
}

TEST_F(PipelineFailure, PollingGoesOnWhileTheDatabaseIsDown) {
  PipelineOptions options = patient();
  options.batch.records_max = 10;
  auto one = started(1, options);
  one->store().hold();
  like("a", 1000);
  until(*one, [&] { return source.all_paused(); });  // no room for more
  const std::size_t polls = source.polls();
  const std::size_t delivered = source.delivered();
  until(*one, [&] { return source.polls() > polls + 100; });
  EXPECT_LT(source.delivered(), 100U);
  EXPECT_EQ(source.delivered(), delivered);
  one->store().release();
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 1000);
}

TEST_F(PipelineFailure, AnAssignThatFailsAfterAPauseIsTriedAgain) {
  PipelineOptions options = patient();
  options.batch.records_max = 10;
  auto one = started(1, options);
  one->store().hold();
  like("a", 100);
  until(*one, [&] { return source.all_paused(); });
  source.fail_next_assign(WorldError(ErrorKind::kRetry, "broker down"));
  one->store().release();
  until_caught_up(*one);
  EXPECT_EQ(likes("a"), 100);
}

// --- failures that don't -----------------------------------------------------------------------

TEST_F(PipelineFailure, WhatAPersonMustMendEndsTheLoop) {
  for (const ErrorKind kind : {ErrorKind::kFatal, ErrorKind::kDenied, ErrorKind::kConfig}) {
    for (const Call call : {Call::kClaim, Call::kApply}) {
      auto one = started();
      one->store().fail_next(call, WorldError(kind, "mend me", "42501"));
      like("a");
      try {
        until(*one, [] { return false; });
        ADD_FAILURE() << "went on";
      } catch (const WorldError& error) {
        EXPECT_EQ(error.kind(), kind);
        EXPECT_EQ(error.sqlstate(), "42501");
        EXPECT_STREQ(error.what(), "mend me");
      }
    }
  }
}

TEST_F(PipelineFailure, AFatalErrorOfTheSourceEndsTheLoop) {
  auto one = started();
  source.fail_next_assign(WorldError(ErrorKind::kDenied, "no right to topic likes"));
  EXPECT_THROW(until(*one, [] { return false; }), WorldError);
}

TEST_F(PipelineFailure, AProbeOfTheLogThatFailsIsForgotten) {
  auto one = started();
  one->store().fail_next(Call::kWal, WorldError(ErrorKind::kRetry, "gone", "08006"), 1);
  like("a", 3);
  until(*one, [&] { return !source.committed().empty(); });
  EXPECT_EQ(source.committed().at(at(0)), Offset(3));
}

}  // namespace
}  // namespace tidemark::testing
