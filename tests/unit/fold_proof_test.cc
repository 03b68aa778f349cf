// What proves that a change is new, and what becomes suspect instead (DESIGN 4.2, 4.3).
#include <gtest/gtest.h>

#include "consumer/core/fold.h"
#include "tests/unit/fold_tester.h"

namespace tidemark {
namespace {

using testing::Causes;
using testing::Cells;
using testing::Fields;
using testing::FoldTester;

const Fields kFollow = {{"follower_user_id", 1}, {"followee_user_id", 2}};

Fields follow(int follower, int followee) {
  return {{"follower_user_id", follower}, {"followee_user_id", followee}};
}

Causes follow_suspects(const char* cause) {
  return {{"aggregate_user.following_count[1]", cause},
          {"aggregate_user.follower_count[2]", cause}};
}

Mark mark_at(std::uint64_t commit, std::uint64_t lsn) {
  return {Position{Lsn(commit), Lsn(lsn)}, {}};
}

// --- N1, N2 ------------------------------------------------------------------------------------

TEST(FoldNew, AboveTheMarkByEitherNumber) {
  FoldTester t;
  t.restart({mark_at(100, 500)});
  t.at(100, 501).create("follows", follow(1, 2));
  t.at(101, 3).create("follows", follow(3, 4));  // a long transaction: low LSN, late commit
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta).size(), 4U);
  EXPECT_EQ(delta.figures.duplicates, 0U);
}

TEST(FoldNew, WithoutALastCommitIsBelowEveryOther) {
  FoldTester t;
  t.restart({Mark{Position{std::nullopt, Lsn(500)}, {}}});
  Change first = t.change(Op::kCreate, "follows", {}, t.row("follows", follow(1, 2)));
  first.position = Position{std::nullopt, Lsn(501)};
  t.add(first);
  t.at(1, 1).create("follows", follow(3, 4));
  Change late = t.change(Op::kCreate, "follows", {}, t.row("follows", follow(5, 6)));
  late.position = Position{std::nullopt, Lsn(9'999)};
  t.add(late);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta).size(), 4U);
  EXPECT_FALSE(t.cells(delta).contains("aggregate_user.following_count[5]"));
  EXPECT_EQ(delta.figures.duplicates, 1U);
}

TEST(FoldNew, PositionsAreNumbersAndNotTexts) {
  FoldTester t;
  t.restart({mark_at(99, 99)});
  t.at(100, 100).create("follows", follow(1, 2));
  t.at(18'446'744'073'709'551'615ULL, 1).create("follows", follow(3, 4));
  EXPECT_EQ(t.take_cells().size(), 4U);
}

TEST(FoldNew, AtTheMarkWithAnotherKeyOpOrTable) {
  FoldTester t;
  t.at(100, 500).create("follows", follow(1, 2));
  t.same_position().create("follows", follow(1, 3));  // another row of the COPY page
  t.same_position().remove("follows", follow(1, 2));  // another op: a key change's other half
  t.same_position().create("saves", {{"user_id", 1}, {"save_item_id", 9}, {"save_type", "track"}});
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.figures.duplicates, 0U);
  EXPECT_EQ(t.cells(delta), (Cells{{"aggregate_user.following_count[1]", 1},
                                   {"aggregate_user.follower_count[3]", 1},
                                   {"aggregate_user.track_save_count[1]", 1},
                                   {"aggregate_track.save_count[9]", 1}}));
}

TEST(FoldNew, AtTheMarkTheSameKeyInAnotherTable) {
  const Declaration declaration = testing::DeclarationBuilder()
                                      .aggregate("owners", "id", {"things"})
                                      .table("left")
                                      .key_column("id", ColumnType::kInteger)
                                      .adds("owners", "things", "id")
                                      .table("right")
                                      .key_column("id", ColumnType::kInteger)
                                      .adds("owners", "things", "id")
                                      .build();
  FoldTester t(declaration);
  t.at(100, 500).create("left", {{"id", 5}});
  t.same_position().create("right", {{"id", 5}});
  EXPECT_EQ(t.take_cells(), (Cells{{"owners.things[5]", 2}}));
}

TEST(FoldNew, AtTheMarkTheKeyIsThePrimaryKeyAndNoOtherColumn) {
  FoldTester t;
  t.at(100, 500).create("follows", kFollow);
  t.same_position().create("follows",
                           {{"follower_user_id", 1}, {"followee_user_id", 2}, {"blocknumber", 77}});
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.figures.duplicates, 1U);
  EXPECT_EQ(t.cells(delta).at("aggregate_user.following_count[1]"), 1);
}

TEST(FoldNotNew, IsDroppedWhereNobodyRecounts) {
  FoldTester t;
  t.at(100, 500).create("follows", follow(3, 4));
  t.at(100, 500).create("follows", follow(3, 4));  // seen at the mark
  t.at(100, 499).create("follows", kFollow);       // below it
  t.at(99, 9'999).create("follows", kFollow);
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.figures.duplicates, 3U);
  EXPECT_EQ(t.cells(delta), (Cells{{"aggregate_user.following_count[3]", 1},
                                   {"aggregate_user.follower_count[4]", 1}}));
  EXPECT_EQ(t.suspects(delta), Causes{});
}

TEST(FoldNotNew, MakesItsCellsSuspectWhereSomebodyDoes) {
  FoldTester t(testing::shipped_declaration(), NotNewPolicy::kSuspect);
  t.restart({mark_at(100, 500)});
  t.at(100, 499).create("follows", kFollow);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(t.suspects(delta), follow_suspects("not_new"));
}

TEST(FoldNotNew, OfATableWithoutPrimaryKeyIsRecountedEvenSo) {
  const Declaration declaration = testing::DeclarationBuilder()
                                      .aggregate("owners", "id", {"things"})
                                      .table("things")
                                      .column("owner", ColumnType::kInteger)
                                      .column("note", ColumnType::kText)
                                      .adds("owners", "things", "owner")
                                      .build();
  FoldTester t(declaration);
  t.at(1, 1).create("things", {{"owner", 5}, {"note", "a"}});
  t.same_position().create("things", {{"owner", 5}, {"note", "b"}});  // told by the whole row
  t.same_position().create("things", {{"owner", 5}, {"note", "b"}});  // twin or repetition
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), (Cells{{"owners.things[5]", 2}}));
  EXPECT_EQ(t.suspects(delta), (Causes{{"owners.things[5]", "not_new"}}));
}

TEST(FoldNotNew, EachPartitionHasItsOwnMark) {
  FoldTester t;
  t.on(0).at(100, 500).create("follows", follow(1, 2));
  t.on(1).at(100, 400).create("follows", follow(3, 4));
  EXPECT_EQ(t.take_cells().size(), 4U);
}

TEST(FoldNotNew, MarksCarryOverFromBatchToBatch) {
  FoldTester t;
  t.at(100, 500).create("follows", kFollow);
  t.fold.take();
  t.at(100, 500).create("follows", kFollow);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(delta.figures.duplicates, 1U);
}

TEST(FoldNotNew, ResetBringsTheGivenMarksBack) {
  FoldTester t;
  t.at(100, 500).create("follows", kFollow);
  const Delta first = t.fold.take();
  t.at(100, 501).create("follows", follow(3, 4));  // folded ahead, and never applied
  t.restart({first.advances[0].mark}, 1);
  EXPECT_TRUE(t.fold.empty());
  EXPECT_EQ(t.fold.rows(), 0U);
  t.at(100, 500).create("follows", kFollow);
  t.at(100, 501).create("follows", follow(3, 4));
  EXPECT_EQ(t.take_cells(), (Cells{{"aggregate_user.following_count[3]", 1},
                                   {"aggregate_user.follower_count[4]", 1}}));
}

TEST(FoldNoPosition, IsSuspectAndLeavesTheMark) {
  FoldTester t;
  t.at(100, 500).create("follows", follow(3, 4));
  Change change = t.change(Op::kCreate, "follows", {}, t.row("follows", kFollow));
  change.position.reset();
  t.add(change);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.suspects(delta), follow_suspects("no_position"));
  EXPECT_FALSE(t.cells(delta).contains("aggregate_user.following_count[1]"));
  EXPECT_EQ(delta.advances[0].mark.position, (Position{Lsn(100), Lsn(500)}));
}

// --- N3 ----------------------------------------------------------------------------------------

TEST(FoldNullKey, IsSuspectAndLeavesTheMark) {
  FoldTester t;
  Change change = t.change(Op::kDelete, "follows", t.row("follows", kFollow), {});
  change.has_key = false;
  t.add(change);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(t.suspects(delta), follow_suspects("no_key"));
  EXPECT_FALSE(delta.advances[0].mark.position.has_value());
}

// --- 4.3 ---------------------------------------------------------------------------------------

TEST(FoldSnapshotRow, IsSuspectCountsNothingAndLeavesTheMark) {
  FoldTester t;
  t.at(100, 500).read("follows", kFollow);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(t.suspects(delta), follow_suspects("snapshot_row"));
  EXPECT_FALSE(delta.advances[0].mark.position.has_value());
}

TEST(FoldSnapshotRow, MakesRowsExist) {
  FoldTester t;
  t.read("users", {{"user_id", 3}});
  t.read("playlists", {{"playlist_id", 9}, {"playlist_owner_id", 1}});
  EXPECT_EQ(t.rows(t.fold.take()),
            (std::set<std::string>{"aggregate_user[3]", "aggregate_playlist[9]"}));
}

TEST(FoldTruncate, MakesTheTablesCountersSuspectInAllRows) {
  FoldTester t;
  t.truncate("follows");
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.ranges(delta), (Causes{{"aggregate_user.follower_count", "truncate"},
                                     {"aggregate_user.following_count", "truncate"}}));
  EXPECT_EQ(t.suspects(delta), Causes{});
}

TEST(FoldPartial, AMissingBeforeNamesTheCellsThatThePrimaryKeyNames) {
  FoldTester t;
  t.add(t.change(Op::kUpdate, "follows", {}, t.row("follows", kFollow)));
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(t.suspects(delta), follow_suspects("partial_image"));
  EXPECT_EQ(t.ranges(delta), Causes{});
}

TEST(FoldPartial, AMissingBeforeOfAnInactiveRowIsSuspectToo) {
  FoldTester t;
  Fields gone = kFollow;
  gone.emplace_back("is_delete", true);
  t.add(t.change(Op::kUpdate, "follows", {}, t.row("follows", gone)));
  EXPECT_EQ(t.suspects(t.fold.take()), follow_suspects("partial_image"));
}

// Any change of a track makes its owner's suspect.
const Causes::value_type kGenre{"aggregate_user.dominant_genre[1]", "changed"};

TEST(FoldPartial, AnOldOwnerThatNobodyKnowsCanBeAnybody) {
  FoldTester t;
  t.add(t.change(Op::kUpdate, "tracks", {}, t.row("tracks", {{"track_id", 9}, {"owner_id", 1}})));
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(t.suspects(delta), (Causes{{"aggregate_user.total_track_count[1]", "partial_image"},
                                       {"aggregate_user.track_count[1]", "partial_image"},
                                       kGenre}));
  EXPECT_EQ(t.ranges(delta), (Causes{{"aggregate_user.total_track_count", "partial_image"},
                                     {"aggregate_user.track_count", "partial_image"},
                                     {"aggregate_user.dominant_genre", "partial_image"}}));
}

TEST(FoldPartial, ADeleteOfWhichOnlyTheKeyIsKnown) {
  FoldTester t;
  RowImage before(t.row("reposts", {}).size(), Unknown{});
  const RowImage key =
      t.row("reposts", {{"user_id", 1}, {"repost_item_id", 9}, {"repost_type", "track"}});
  for (const ColumnIndex column :
       testing::shipped_declaration()
           .table(testing::table_named(testing::shipped_declaration(), "reposts"))
           .primary_key) {
    before[column.value] = key[column.value];
  }
  t.add(t.change(Op::kDelete, "reposts", before, {}));
  const Delta delta = t.fold.take();
  // A track's repost: its playlist cell is not touched, as the type stands in the key.
  EXPECT_EQ(t.suspects(delta), (Causes{{"aggregate_user.repost_count[1]", "partial_image"},
                                       {"aggregate_track.repost_count[9]", "partial_image"}}));
  EXPECT_EQ(t.ranges(delta), Causes{});
}

TEST(FoldPartial, AnUnavailableValueWhereItMattersOnly) {
  const Fields known = {{"track_id", 9}, {"owner_id", 1}};
  Fields hidden = known;
  hidden.emplace_back("is_unlisted", Unknown{});
  FoldTester t;
  t.update("tracks", known, hidden);
  Delta delta = t.fold.take();
  EXPECT_EQ(t.suspects(delta),
            (Causes{{"aggregate_user.track_count[1]", "partial_image"}, kGenre}));
  Fields undescribed = known;
  undescribed.emplace_back("genre", Unknown{});
  t.update("tracks", undescribed, undescribed);
  t.create("tracks", undescribed);
  delta = t.fold.take();
  EXPECT_EQ(t.suspects(delta), Causes{kGenre}) << "no count's";
  EXPECT_EQ(t.cells(delta), (Cells{{"aggregate_user.total_track_count[1]", 1},
                                   {"aggregate_user.track_count[1]", 1}}));
}

TEST(FoldPartial, AnUnavailableValueOfARowThatCannotCountIsNoDoubt) {
  FoldTester t;
  const Fields gone = {{"track_id", 9}, {"owner_id", 1}, {"is_delete", true}};
  Fields unknown = gone;
  unknown.emplace_back("stem_of", Unknown{});
  t.update("tracks", gone, unknown);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.suspects(delta), Causes{kGenre}) << "no count's";
  EXPECT_EQ(delta.rows(), 1U);
}

TEST(FoldPartial, IsStillMarkedAsSeen) {
  FoldTester t;
  t.at(100, 500).add(t.change(Op::kUpdate, "follows", {}, t.row("follows", kFollow)));
  EXPECT_EQ(t.fold.take().advances[0].mark.position, (Position{Lsn(100), Lsn(500)}));
}

// --- bad records -------------------------------------------------------------------------------

TEST(FoldBad, IsParkedAndItsTablesCountersAreSuspect) {
  FoldTester t;
  t.create("follows", kFollow);
  t.bad("follows", "the key", "the value");
  const Delta delta = t.fold.take();
  ASSERT_EQ(delta.parked.size(), 1U);
  const ParkedRecord& parked = delta.parked[0];
  EXPECT_EQ(parked.where, (TopicPartition{"t", Partition(0)}));
  EXPECT_EQ(parked.offset, Offset(1));
  EXPECT_EQ(parked.timestamp, KafkaTimestamp(1001));
  EXPECT_EQ(parked.key, "the key");
  EXPECT_EQ(parked.payload, "the value");
  EXPECT_EQ(parked.bad.code, BadCode::kBadJson);
  EXPECT_EQ(t.ranges(delta), (Causes{{"aggregate_user.follower_count", "parked"},
                                     {"aggregate_user.following_count", "parked"}}));
  EXPECT_EQ(t.cells(delta).size(), 2U);
}

TEST(FoldBad, ALongPayloadIsCutAndItsLengthKept) {
  FoldTester t;
  const std::string big(ParkedRecord::kPayloadBytesMax + 1, 'x');
  t.bad("follows", big, big);
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.parked[0].payload->size(), ParkedRecord::kPayloadBytesMax);
  EXPECT_EQ(delta.parked[0].key->size(), ParkedRecord::kPayloadBytesMax);
  EXPECT_EQ(delta.parked[0].payload_bytes, big.size());
}

TEST(FoldBad, ManyOfThemNameEachCounterOnce) {
  FoldTester t;
  for (int i = 0; i < 1000; ++i) t.bad("follows", "k", "v");
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.parked.size(), 1000U);
  EXPECT_EQ(delta.suspect_ranges.size(), 2U);
}

}  // namespace
}  // namespace tidemark
