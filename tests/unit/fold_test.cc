// What each change of the music network's rows counts (DOMAIN 2), and in which rows.
#include "consumer/core/fold.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/fold_tester.h"

namespace tidemark {
namespace {

using testing::Causes;
using testing::Cells;
using testing::Fields;
using testing::FoldTester;
using testing::shipped_declaration;

const Fields kFollow = {{"follower_user_id", 1}, {"followee_user_id", 2}};

Fields with(Fields fields, const Fields& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

Fields repost_of(const char* type) {
  return {{"user_id", 1}, {"repost_item_id", 9}, {"repost_type", type}};
}
Fields save_of(const char* type) {
  return {{"user_id", 1}, {"save_item_id", 9}, {"save_type", type}};
}

// --- what a row counts: DOMAIN 2's table -------------------------------------------------------

TEST(FoldCounts, AFollowForBothUsers) {
  FoldTester t;
  t.create("follows", kFollow);
  EXPECT_EQ(t.take_cells(), (Cells{{"aggregate_user.following_count[1]", 1},
                                   {"aggregate_user.follower_count[2]", 1}}));
}

TEST(FoldCounts, ARepostForItsUserAndItsItem) {
  const std::map<const char*, const char*> item_cell = {
      {"track", "aggregate_track.repost_count[9]"},
      {"playlist", "aggregate_playlist.repost_count[9]"},
      {"album", "aggregate_playlist.repost_count[9]"}};
  for (const auto& [type, cell] : item_cell) {
    FoldTester t;
    t.create("reposts", repost_of(type));
    EXPECT_EQ(t.take_cells(), (Cells{{"aggregate_user.repost_count[1]", 1}, {cell, 1}})) << type;
  }
}

TEST(FoldCounts, ASaveForItsUserOnlyWhenItIsOfATrack) {
  const std::map<const char*, Cells> expected = {
      {"track", {{"aggregate_user.track_save_count[1]", 1}, {"aggregate_track.save_count[9]", 1}}},
      {"playlist", {{"aggregate_playlist.save_count[9]", 1}}},
      {"album", {{"aggregate_playlist.save_count[9]", 1}}}};
  for (const auto& [type, cells] : expected) {
    FoldTester t;
    t.create("saves", save_of(type));
    EXPECT_EQ(t.take_cells(), cells) << type;
  }
}

TEST(FoldCounts, ATrackByWhatMakesItCount) {
  const Fields track = {{"track_id", 9}, {"owner_id", 1}};
  const Cells both = {{"aggregate_user.total_track_count[1]", 1},
                      {"aggregate_user.track_count[1]", 1}};
  const std::vector<std::pair<Fields, Cells>> table = {
      {{}, both},
      {{{"is_unlisted", true}}, {{"aggregate_user.total_track_count[1]", 1}}},
      {{{"is_current", false}}, {}},
      {{{"is_delete", true}}, {}},
      {{{"is_available", false}}, {}},
      {{{"stem_of", "{}"}}, {}},
      {{{"genre", "Jazz"}}, both},
      {{{"is_unlisted", true}, {"is_delete", true}}, {}}};
  for (std::size_t i = 0; i < table.size(); ++i) {
    FoldTester t;
    t.create("tracks", with(track, table[i].first));
    EXPECT_EQ(t.take_cells(), table[i].second) << "row " << i;
  }
}

TEST(FoldCounts, APlaylistOrAnAlbumByWhatMakesItCount) {
  const Fields playlist = {{"playlist_id", 9}, {"playlist_owner_id", 1}};
  const std::vector<std::pair<Fields, Cells>> table = {
      {{}, {{"aggregate_user.playlist_count[1]", 1}}},
      {{{"is_album", true}}, {{"aggregate_user.album_count[1]", 1}}},
      {{{"is_private", true}}, {}},
      {{{"is_current", false}}, {}},
      {{{"is_delete", true}}, {}}};
  for (std::size_t i = 0; i < table.size(); ++i) {
    FoldTester t;
    t.create("playlists", with(playlist, table[i].first));
    EXPECT_EQ(t.take_cells(), table[i].second) << "row " << i;
  }
}

TEST(FoldCounts, NothingForRowsThatAreNotActive) {
  for (const Fields& state : {Fields{{"is_current", false}}, Fields{{"is_delete", true}}}) {
    FoldTester t;
    t.create("follows", with(kFollow, state));
    t.create("reposts", with(repost_of("track"), state));
    t.create("saves", with(save_of("album"), state));
    EXPECT_EQ(t.take_cells(), Cells{});
  }
}

TEST(FoldCounts, TracksAndPlaylistsWithOneIdApart) {
  FoldTester t;
  t.create("reposts", repost_of("track"));
  t.create("reposts", repost_of("playlist"));
  t.create("reposts", repost_of("album"));  // a user may hold both: both count
  EXPECT_EQ(t.take_cells(), (Cells{{"aggregate_user.repost_count[1]", 3},
                                   {"aggregate_track.repost_count[9]", 1},
                                   {"aggregate_playlist.repost_count[9]", 2}}));
}

TEST(FoldCounts, AFollowOfOneselfInBothCells) {
  FoldTester t;
  t.create("follows", {{"follower_user_id", 1}, {"followee_user_id", 1}});
  EXPECT_EQ(t.take_cells(), (Cells{{"aggregate_user.following_count[1]", 1},
                                   {"aggregate_user.follower_count[1]", 1}}));
}

// --- transitions -------------------------------------------------------------------------------

const Cells kUnfollowed = {{"aggregate_user.following_count[1]", -1},
                           {"aggregate_user.follower_count[2]", -1}};

TEST(FoldToggle, KeyChangeAsDeleteAndCreateOnTwoPartitions) {
  FoldTester t;
  t.on(0).remove("follows", with(kFollow, {{"txhash", "a"}}));
  t.on(1).same_position().create("follows", with(kFollow, {{"txhash", "b"}, {"is_delete", true}}));
  EXPECT_EQ(t.take_cells(), kUnfollowed);
}

TEST(FoldToggle, KeyChangeAsOneUpdate) {
  FoldTester t;
  t.update("follows", with(kFollow, {{"txhash", "a"}}),
           with(kFollow, {{"txhash", "b"}, {"is_delete", true}}));
  EXPECT_EQ(t.take_cells(), kUnfollowed);
}

TEST(FoldToggle, ThereAndBackInOneBatchLeavesARowWithZero) {
  FoldTester t;
  t.create("follows", kFollow);
  t.update("follows", kFollow, with(kFollow, {{"is_delete", true}}));
  const Delta delta = t.fold.take();
  EXPECT_EQ(t.cells(delta), Cells{});
  EXPECT_EQ(t.rows(delta), (std::set<std::string>{"aggregate_user[1]", "aggregate_user[2]"}));
  for (const AggregateDelta& rows : delta.aggregates) {
    EXPECT_TRUE(std::ranges::all_of(rows.deltas, [](std::int32_t sum) { return sum == 0; }));
  }
}

TEST(FoldTransition, DemoteThenInsertCountsOnce) {
  FoldTester t;
  t.create("follows", with(kFollow, {{"txhash", "a"}}));
  t.update("follows", with(kFollow, {{"txhash", "a"}}),
           with(kFollow, {{"txhash", "a"}, {"is_current", false}}));
  t.create("follows", with(kFollow, {{"txhash", "b"}}));
  EXPECT_EQ(t.take_cells(), (Cells{{"aggregate_user.following_count[1]", 1},
                                   {"aggregate_user.follower_count[2]", 1}}));
}

TEST(FoldTransition, HardDeleteOfAnActiveRowCountsDown) {
  FoldTester t;
  t.remove("follows", kFollow);
  EXPECT_EQ(t.take_cells(), kUnfollowed);
}

TEST(FoldTransition, HardDeleteOfAnInactiveRowCountsNothing) {
  FoldTester t;
  t.remove("follows", with(kFollow, {{"is_delete", true}}));
  EXPECT_EQ(t.fold.take().rows(), 0U);
}

TEST(FoldTransition, NoOpUpdateCountsNothing) {
  FoldTester t;
  t.update("follows", kFollow, kFollow);
  EXPECT_EQ(t.fold.take().rows(), 0U);
}

TEST(FoldTransition, UpdateOfAColumnThatNothingReadsCountsNothing) {
  FoldTester t;
  t.update("follows", kFollow, with(kFollow, {{"blocknumber", 5}}));
  EXPECT_EQ(t.fold.take().rows(), 0U);
}

TEST(FoldTransition, ChangeOfOwnerMovesTheCount) {
  FoldTester t;
  t.update("tracks", {{"track_id", 9}, {"owner_id", 1}}, {{"track_id", 9}, {"owner_id", 2}});
  EXPECT_EQ(t.take_cells(), (Cells{{"aggregate_user.total_track_count[1]", -1},
                                   {"aggregate_user.track_count[1]", -1},
                                   {"aggregate_user.total_track_count[2]", 1},
                                   {"aggregate_user.track_count[2]", 1}}));
}

TEST(FoldTransition, PlaylistThatBecomesAnAlbumChangesSides) {
  const Fields playlist = {{"playlist_id", 9}, {"playlist_owner_id", 1}};
  FoldTester t;
  t.update("playlists", playlist, with(playlist, {{"is_album", true}}));
  EXPECT_EQ(t.take_cells(), (Cells{{"aggregate_user.playlist_count[1]", -1},
                                   {"aggregate_user.album_count[1]", 1}}));
}

TEST(FoldTransition, TrackThatIsHiddenStaysInTheTotal) {
  const Fields track = {{"track_id", 9}, {"owner_id", 1}};
  FoldTester t;
  t.update("tracks", track, with(track, {{"is_unlisted", true}}));
  EXPECT_EQ(t.take_cells(), (Cells{{"aggregate_user.track_count[1]", -1}}));
}

// --- nulls, as in SQL --------------------------------------------------------------------------

Declaration nullable_declaration() {
  return testing::DeclarationBuilder()
      .aggregate("owners", "id", {"things", "live"})
      .table("things")
      .key_column("id", ColumnType::kInteger)
      .nullable_column("owner", ColumnType::kInteger)
      .nullable_column("live", ColumnType::kBoolean)
      .nullable_column("gone", ColumnType::kTimestamp)
      .active_when_null("gone")
      .adds("owners", "things", "owner")
      .build();
}

TEST(FoldNull, ANullKeyCountsForNobody) {
  const Declaration declaration = nullable_declaration();
  FoldTester t(declaration);
  t.create("things", {{"id", 1}, {"owner", Null{}}});
  t.remove("things", {{"id", 1}, {"owner", Null{}}});
  EXPECT_EQ(t.fold.take().rows(), 0U);
}

TEST(FoldNull, AKeyThatBecomesNullCountsDownOnly) {
  const Declaration declaration = nullable_declaration();
  FoldTester t(declaration);
  t.update("things", {{"id", 1}, {"owner", 5}}, {{"id", 1}, {"owner", Null{}}});
  t.update("things", {{"id", 2}, {"owner", Null{}}}, {{"id", 2}, {"owner", 6}});
  EXPECT_EQ(t.take_cells(), (Cells{{"owners.things[5]", -1}, {"owners.things[6]", 1}}));
}

TEST(FoldNull, IsNullPredicateHoldsForNullOnly) {
  const Declaration declaration = nullable_declaration();
  FoldTester t(declaration);
  t.create("things", {{"id", 1}, {"owner", 5}, {"gone", 0}});
  EXPECT_EQ(t.take_cells(), Cells{});
  t.update("things", {{"id", 1}, {"owner", 5}, {"gone", 0}}, {{"id", 1}, {"owner", 5}});
  EXPECT_EQ(t.take_cells(), (Cells{{"owners.things[5]", 1}}));
}

TEST(FoldNull, AnEqualityWithNullIsNotTrue) {
  Declaration declaration = testing::DeclarationBuilder()
                                .aggregate("owners", "id", {"things"})
                                .table("things")
                                .key_column("id", ColumnType::kInteger)
                                .column("owner", ColumnType::kInteger)
                                .nullable_column("live", ColumnType::kBoolean)
                                .active_when("live", false)
                                .adds("owners", "things", "owner")
                                .build();
  FoldTester t(declaration);
  t.create("things", {{"id", 1}, {"owner", 5}, {"live", Null{}}});
  EXPECT_EQ(t.take_cells(), Cells{});
  t.update("things", {{"id", 1}, {"owner", 5}, {"live", Null{}}},
           {{"id", 1}, {"owner", 5}, {"live", false}});
  EXPECT_EQ(t.take_cells(), (Cells{{"owners.things[5]", 1}}));
}

// --- rows that must exist ----------------------------------------------------------------------

using Rows = std::set<std::string>;

TEST(FoldMakes, AUserAndATrackGetTheirRowWhetherActiveOrNot) {
  FoldTester t;
  t.create("users", {{"user_id", 3}, {"is_current", false}});
  t.create("tracks", {{"track_id", 9}, {"owner_id", 1}, {"is_delete", true}});
  EXPECT_EQ(t.rows(t.fold.take()), (Rows{"aggregate_user[3]", "aggregate_track[9]"}));
}

TEST(FoldMakes, AnUpdateThatKeepsTheKeyMakesNothing) {
  FoldTester t;
  t.update("users", {{"user_id", 3}}, {{"user_id", 3}, {"bio", "b"}});
  EXPECT_EQ(t.fold.take().rows(), 0U);
}

TEST(FoldMakes, ADeleteMakesNothing) {
  FoldTester t;
  t.remove("users", {{"user_id", 3}});
  EXPECT_EQ(t.fold.take().rows(), 0U);
}

TEST(FoldLookup, APlaylistsRowIsLookedUpAgainWheneverItChanges) {
  const Fields playlist = {{"playlist_id", 9}, {"playlist_owner_id", 1}, {"is_private", true}};
  FoldTester t;
  t.update("playlists", playlist, with(playlist, {{"is_album", true}}));
  EXPECT_EQ(t.rows(t.fold.take()), Rows{"aggregate_playlist[9]"});
  t.remove("playlists", playlist);
  EXPECT_EQ(t.rows(t.fold.take()), Rows{"aggregate_playlist[9]"});
  t.update("playlists", playlist, playlist);
  EXPECT_EQ(t.rows(t.fold.take()), Rows{});
}

TEST(FoldLookup, AChangedKeyIsLookedUpAtBothEnds) {
  FoldTester t;
  t.update("playlists", {{"playlist_id", 9}, {"playlist_owner_id", 1}, {"is_private", true}},
           {{"playlist_id", 10}, {"playlist_owner_id", 1}, {"is_private", true}});
  EXPECT_EQ(t.rows(t.fold.take()), (Rows{"aggregate_playlist[10]", "aggregate_playlist[9]"}));
}

// --- text keys ---------------------------------------------------------------------------------

TEST(FoldTextKeys, AreCountedAndSortedBytewise) {
  const Declaration declaration = testing::DeclarationBuilder()
                                      .aggregate("tags", "tag", {"uses"}, ColumnType::kText)
                                      .table("uses")
                                      .key_column("id", ColumnType::kInteger)
                                      .column("tag", ColumnType::kText)
                                      .adds("tags", "uses", "tag")
                                      .build();
  FoldTester t(declaration);
  for (const char* tag : {"b", "\xc3\xa9", "a", "", "b", "B"}) {
    t.create("uses", {{"id", 1}, {"tag", tag}});
  }
  const Delta delta = t.fold.take();
  EXPECT_EQ(delta.aggregates[0].text_keys,
            (std::vector<std::string>{"", "B", "a", "b", "\xc3\xa9"}));
  EXPECT_EQ(delta.aggregates[0].deltas, (std::vector<std::int32_t>{1, 1, 1, 2, 1}));
  t.create("uses", {{"id", 1}, {"tag", "z"}});
  EXPECT_EQ(t.take_cells(), (Cells{{"tags.uses[z]", 1}}));
}

}  // namespace
}  // namespace tidemark
