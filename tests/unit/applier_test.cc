#include "consumer/service/applier.h"

#include <gtest/gtest.h>

#include <utility>

#include "consumer/core/unknown_commit.h"
#include "consumer/service/backoff.h"
#include "tests/unit/pipeline_fixture.h"

namespace tidemark::testing {
namespace {

using std::chrono::milliseconds;

class ApplierTest : public ::testing::Test {
 protected:
  ApplierTest() { epoch_ = database_.progress(where_).epoch; }

  // The next records of the partition, as far as `to`.
  Delta batch(std::int64_t from, std::int64_t to) {
    Delta delta;
    Advance advance;
    advance.where = where_;
    advance.epoch = epoch_;
    advance.from = Offset(from);
    advance.to = Offset(to);
    delta.advances.push_back(advance);
    return delta;
  }
  ApplyOutcomeReport report() {
    EXPECT_TRUE(applier_.wait(kPatience));
    return std::get<ApplyOutcomeReport>(*applier_.collect());
  }
  void claim() { epoch_ = store_.claim(std::vector{where_})[0].epoch; }

  const TopicPartition where_{"t", Partition(0)};
  const Declaration declaration_;
  FakeDatabase database_{declaration_};
  FakeStore store_{database_};
  RecordingObserver observer_;
  Epoch epoch_;
  Applier applier_{store_, observer_};
};

TEST_F(ApplierTest, ReportsWhatBecameOfTheBatch) {
  claim();
  EXPECT_FALSE(applier_.busy());
  applier_.submit(batch(-1, 5));
  EXPECT_TRUE(applier_.busy());
  const ApplyOutcomeReport done = report();
  EXPECT_FALSE(applier_.busy());
  EXPECT_FALSE(done.error.has_value());
  EXPECT_EQ(done.result.outcome, ApplyOutcome::kApplied);
  EXPECT_EQ(done.delta.advances[0].to, Offset(5));
  EXPECT_EQ(observer_.seen().applied, 1U);
}

TEST_F(ApplierTest, IsBusyUntilItsReportIsCollected) {
  claim();
  store_.hold();
  applier_.submit(batch(-1, 5));
  store_.wait_until_held();
  EXPECT_FALSE(applier_.wait(milliseconds(0)));
  EXPECT_FALSE(applier_.collect().has_value());
  EXPECT_TRUE(applier_.busy());
  store_.release();
  report();
  EXPECT_FALSE(applier_.collect().has_value());
}

TEST_F(ApplierTest, AFencedBatchIsNotReportedAsApplied) {
  claim();
  applier_.submit(batch(3, 5));
  EXPECT_EQ(report().result.outcome, ApplyOutcome::kFenced);
  EXPECT_EQ(observer_.seen().applied, 0U);
}

TEST_F(ApplierTest, TriesAgainOnlyWhatPassesByItself) {
  claim();
  store_.fail_next(FakeStore::Call::kApply, WorldError(ErrorKind::kRetry, "lock", "55P03"), 2);
  applier_.submit(batch(-1, 5));
  EXPECT_FALSE(report().error.has_value());
  EXPECT_EQ(observer_.seen().retries, 2U);
  for (const ErrorKind kind : {ErrorKind::kShrink, ErrorKind::kBadData, ErrorKind::kFatal,
                               ErrorKind::kDenied, ErrorKind::kConfig}) {
    store_.fail_next(FakeStore::Call::kApply, WorldError(kind, "no", "22003"));
    applier_.submit(batch(5, 6));
    const ApplyOutcomeReport done = report();
    ASSERT_TRUE(done.error.has_value());
    EXPECT_EQ(done.error->kind(), kind);
    EXPECT_EQ(done.error->sqlstate(), "22003");
  }
  EXPECT_EQ(observer_.seen().retries, 2U);
}

TEST_F(ApplierTest, SaysHowACommitEndedWhoseReplyWasLost) {
  claim();
  bool lost = false;
  store_.before_apply([&](const Delta&) {
    if (!std::exchange(lost, true)) throw UnknownCommit(WorldError(ErrorKind::kRetry, "lost"));
  });
  applier_.submit(batch(-1, 5));
  EXPECT_EQ(report().result.outcome, ApplyOutcome::kApplied);
  lost = false;
  applier_.submit(batch(-1, 5));  // as if the lost one had been stored
  EXPECT_EQ(report().result.outcome, ApplyOutcome::kFenced);
  applier_.submit(batch(5, 6));
  report();
  EXPECT_EQ(observer_.seen().unknown_commits,
            (std::vector{UnknownCommitEnd::kRepeated, UnknownCommitEnd::kFenced}));
}

TEST_F(ApplierTest, StopEndsRetriesWithALastReport) {
  claim();
  store_.fail_next(FakeStore::Call::kApply, WorldError(ErrorKind::kRetry, "down"), 1'000'000);
  applier_.submit(batch(-1, 5));
  applier_.stop();
  EXPECT_EQ(report().error->kind(), ErrorKind::kRetry);
}

TEST_F(ApplierTest, WhatIsNoWorldErrorIsRethrown) {
  claim();
  store_.before_apply([](const Delta&) { throw std::logic_error("a bug"); });
  applier_.submit(batch(-1, 5));
  ASSERT_TRUE(applier_.wait(kPatience));
  EXPECT_THROW(applier_.collect(), std::logic_error);
}

TEST_F(ApplierTest, ProbesTheLogAndForgivesFailures) {
  applier_.submit_wal_probe();
  ASSERT_TRUE(applier_.wait(kPatience));
  EXPECT_TRUE(std::get<WalReport>(*applier_.collect()).positions.has_value());
  store_.fail_next(FakeStore::Call::kWal, WorldError(ErrorKind::kRetry, "gone"));
  applier_.submit_wal_probe();
  ASSERT_TRUE(applier_.wait(kPatience));
  EXPECT_FALSE(std::get<WalReport>(*applier_.collect()).positions.has_value());
}

TEST(Backoff, DoublesWithinItsBoundsAndStartsAgain) {
  Backoff backoff(milliseconds(100), milliseconds(800));
  for (const int most : {100, 200, 400, 800, 800, 800}) {
    const auto wait = backoff.next();
    EXPECT_GE(wait.count(), most / 2);
    EXPECT_LE(wait.count(), most);
  }
  backoff.reset();
  EXPECT_LE(backoff.next().count(), 100);
}

}  // namespace
}  // namespace tidemark::testing
