// Fold: what makes recounted columns suspect (DESIGN 3).
#include <gtest/gtest.h>

#include "tests/unit/fold_tester.h"

namespace tidemark {
namespace {

using testing::Causes;
using testing::Fields;
using testing::FoldTester;

const Fields kJazz = {{"track_id", 9}, {"owner_id", 1}, {"genre", "Jazz"}};
const Fields kRock = {{"track_id", 9}, {"owner_id", 1}, {"genre", "Rock"}};

std::string genre_of(int user) {
  return "aggregate_user.dominant_genre[" + std::to_string(user) + "]";
}

TEST(FoldRecounted, AChangedGenreNamesTheOwnerAndMovesNoCount) {
  FoldTester t;
  t.update("tracks", kJazz, kRock);
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.suspects(delta), (Causes{{genre_of(1), "changed"}}));
  EXPECT_TRUE(t.cells(delta).empty());
}

TEST(FoldRecounted, ANewAndADeletedTrackNameTheirOwners) {
  FoldTester t;
  t.create("tracks", kJazz);
  t.remove("tracks", {{"track_id", 10}, {"owner_id", 2}});
  EXPECT_EQ(t.suspects(t.fold.take()),
            (Causes{{genre_of(1), "changed"}, {genre_of(2), "changed"}}));
}

TEST(FoldRecounted, ATrackThatIsGivenAwayNamesBothOwners) {
  FoldTester t;
  t.update("tracks", kJazz, {{"track_id", 9}, {"owner_id", 2}, {"genre", "Jazz"}});
  EXPECT_EQ(t.suspects(t.fold.take()),
            (Causes{{genre_of(1), "changed"}, {genre_of(2), "changed"}}));
}

TEST(FoldRecounted, AnUpdateOfNothingNamesNobody) {
  FoldTester t;
  t.update("tracks", kJazz, kJazz);
  const Delta delta = t.fold.take();
  EXPECT_TRUE(t.suspects(delta).empty());
  EXPECT_TRUE(t.ranges(delta).empty());
}

TEST(FoldRecounted, OtherTablesNameNobody) {
  FoldTester t;
  t.create("follows", {{"follower_user_id", 1}, {"followee_user_id", 2}});
  EXPECT_TRUE(t.suspects(t.fold.take()).empty());
}

// A duplicate, even where it is dropped from the counts, may be of a change that no recount saw.
TEST(FoldRecounted, AChangeThatIsNotNewNamesItsOwnerToo) {
  FoldTester t;
  t.create("tracks", kJazz);
  t.fold.take();
  t.same_position().create("tracks", kJazz);
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.figures.duplicates, 1U);
  EXPECT_EQ(t.suspects(delta), (Causes{{genre_of(1), "changed"}}));
}

TEST(FoldRecounted, ASnapshotsRowNamesItsOwner) {
  FoldTester t;
  t.read("tracks", kJazz);
  EXPECT_EQ(t.suspects(t.fold.take()).at(genre_of(1)), "changed");
}

TEST(FoldRecounted, WithoutABeforeTheOldOwnerMayBeAnybody) {
  FoldTester t;
  t.add(t.change(Op::kUpdate, "tracks", {}, t.row("tracks", kJazz)));
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.suspects(delta).at(genre_of(1)), "changed");
  EXPECT_EQ(t.ranges(delta).at("aggregate_user.dominant_genre"), "partial_image");
}

TEST(FoldRecounted, AnUnknownValueOnBothSidesMayBeAChange) {
  FoldTester t;
  RowImage row = t.row("tracks", kJazz);
  row[testing::column_named(testing::shipped_declaration(),
                            testing::table_named(testing::shipped_declaration(), "tracks"), "genre")
          .value] = Unknown{};
  t.add(t.change(Op::kUpdate, "tracks", row, row));
  EXPECT_EQ(t.suspects(t.fold.take()), (Causes{{genre_of(1), "changed"}}));
}

TEST(FoldRecounted, ATruncateAndABadRecordMakeAllUsersSuspect) {
  FoldTester t;
  t.truncate("tracks");
  EXPECT_EQ(t.ranges(t.fold.take()).at("aggregate_user.dominant_genre"), "truncate");
  t.bad("tracks", "k", "{");
  EXPECT_EQ(t.ranges(t.fold.take()).at("aggregate_user.dominant_genre"), "parked");
}

}  // namespace
}  // namespace tidemark
