// PgRebuild: cells from zero by the stream alone, on a real database.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "consumer/store/pg_rebuild.h"
#include "tests/support/follows_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;

const std::string kRebuilt = "select user_id, followers from other.aggregate_user order by 1";

class StoreRebuild : public FollowsTest {
 protected:
  StoreRebuild() { settle(); }

  std::vector<RebuildPart> begin(PgRebuild& rebuild) {
    const std::vector<RebuildPart> asked = {{{at(0), Epoch(0), kNotStarted, {}, {}}, Offset(10)},
                                            {{at(1), Epoch(0), kNotStarted, {}, {}}, Offset(10)}};
    std::vector<RebuildPart> parts = rebuild.begin(asked);
    std::vector<FoldPartition> partitions;
    for (const RebuildPart& part : parts) partitions.push_back(part.at);
    from_topics_.reset(partitions);
    return parts;
  }
  // A follow as a record of partition 0.
  void feed(const Change& change, std::int64_t offset) {
    Record record;
    record.topic = "t";
    record.offset = Offset(offset);
    from_topics_.add_change(record, change);
  }
  PgRebuild rebuild() { return {follows_, options(), "counters", "other"}; }

  Fold from_topics_{follows_, NotNewPolicy::kDrop};
};

TEST_F(StoreRebuild, CountsFromZeroBesideTheLiveTables) {
  PgRebuild rebuild = this->rebuild();
  begin(rebuild);
  feed(follow(1, 7), 0);
  feed(follow(2, 7), 1);
  rebuild.store(from_topics_.take());
  rebuild.finish();
  EXPECT_EQ(sql(kRebuilt), "7|2");
  EXPECT_EQ(sql(kFollowers), "") << "the live cells are the group's";
  EXPECT_EQ(sql("select count(*) from tidemark.rebuilds"), "0");
}

TEST_F(StoreRebuild, GoesOnWhereItStoppedAndCountsNothingTwice) {
  const Change first = follow(1, 7);
  {
    PgRebuild rebuild = this->rebuild();
    begin(rebuild);
    feed(first, 0);
    rebuild.store(from_topics_.take());
  }
  PgRebuild rebuild = this->rebuild();
  const std::vector<RebuildPart> parts = begin(rebuild);
  EXPECT_EQ(parts.at(0).at.next, Offset(1));
  EXPECT_EQ(parts.at(1).at.next, kNotStarted);
  feed(first, 1);  // redelivered: the mark was stored too
  feed(follow(2, 7), 2);
  rebuild.store(from_topics_.take());
  EXPECT_EQ(sql(kRebuilt), "7|2");
}

TEST_F(StoreRebuild, ASecondProcessFencesTheFirst) {
  PgRebuild first = rebuild();
  begin(first);
  feed(follow(1, 7), 0);
  const Delta batch = from_topics_.take();
  PgRebuild second = rebuild();
  begin(second);
  EXPECT_EQ(error_of([&] { first.store(batch); }).kind(), ErrorKind::kFatal);
  EXPECT_EQ(sql(kRebuilt), "");
}

TEST_F(StoreRebuild, TablesThatAreNotEmptyAreRefusedUntilARestart) {
  sql("create schema other; create table other.aggregate_user (like public.aggregate_user"
      " including all); insert into other.aggregate_user (user_id, followers) values (7, 3)");
  PgRebuild rebuild = this->rebuild();
  const WorldError error = error_of([&] { begin(rebuild); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), HasSubstr("other.aggregate_user"));
  rebuild.restart();
  begin(rebuild);
  EXPECT_EQ(sql(kRebuilt), "");
}

TEST_F(StoreRebuild, TheLiveSchemaAndASecondTargetAreRefused) {
  const WorldError live = error_of([&] { PgRebuild(follows_, options(), "counters", "public"); });
  EXPECT_THAT(live.what(), HasSubstr("public.aggregate"));
  PgRebuild rebuild = this->rebuild();
  begin(rebuild);
  PgRebuild elsewhere(follows_, options(), "counters", "elsewhere");
  EXPECT_THAT(error_of([&] { begin(elsewhere); }).what(), HasSubstr("'other'"));
}

TEST_F(StoreRebuild, InPlaceEveryCellIsZeroAndMembersBeginAnew) {
  apply(follow(1, 7));
  apply(follow(2, 8));
  fold(follow(3, 8));
  const Delta batch = fold_.take();
  PgConnection connection(options());
  EXPECT_EQ(rebuild_in_place(connection, follows_, {"counters", declaration_hash(follows_)}), 2U);
  EXPECT_EQ(sql(kFollowers), "7|0,8|0");
  EXPECT_EQ(store_.apply(batch).outcome, ApplyOutcome::kFenced);
  EXPECT_EQ(store_.claim(std::vector{at(0)})[0].next, kNotStarted);
}

}  // namespace
}  // namespace tidemark::testing
