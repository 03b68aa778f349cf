// Whom changes make dirty (DESIGN 5, C1): the shipped rules, by DOMAIN 3's table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/fold_tester.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// "m 7": the rule and the user; "cs via 7" when 7 is what users are found by.
std::set<std::string> marks(const Delta& delta) {
  std::set<std::string> out;
  for (const DirtyKeys& dirty : delta.dirty) {
    const Rule& rule = shipped_declaration().rule(dirty.rule);
    const bool via = !rule.dirty[dirty.source].via.empty();
    for (const std::int64_t key : dirty.keys) {
      out.insert(rule.name + (via ? " via " : " ") + std::to_string(key));
    }
  }
  return out;
}

std::set<std::string> marks(FoldTester& tester) { return marks(tester.fold.take()); }

// By rule and key, for the rules with the user in the row.
std::map<std::string, std::int64_t> blocks(const Delta& delta) {
  std::map<std::string, std::int64_t> out;
  for (const DirtyKeys& dirty : delta.dirty) {
    for (std::size_t i = 0; i < dirty.keys.size(); ++i) {
      out[shipped_declaration().rule(dirty.rule).name + " " + std::to_string(dirty.keys[i])] =
          dirty.blocks[i];
    }
  }
  return out;
}

TEST(FoldDirty, AUserEventMarksItsUserAndItsReferrer) {
  FoldTester t;
  t.create("user_events", {{"user_id", 1}});
  EXPECT_THAT(marks(t), IsEmpty());
  t.create("user_events", {{"user_id", 1}, {"is_mobile_user", true}});
  EXPECT_THAT(marks(t), ElementsAre("m 1"));
  t.create("user_events", {{"user_id", 1}, {"referrer", 2}});
  EXPECT_THAT(marks(t), ElementsAre("r 2", "rd 1", "rv 2"));
  t.create("user_events", {{"user_id", 1}, {"referrer", 2}, {"is_current", false}});
  EXPECT_THAT(marks(t), IsEmpty());
}

TEST(FoldDirty, OldAndNewReferrerAreMarked) {
  FoldTester t;
  t.update("user_events", {{"user_id", 1}, {"referrer", 2}}, {{"user_id", 1}, {"referrer", 3}});
  EXPECT_THAT(marks(t), ElementsAre("r 2", "r 3", "rd 1", "rv 2", "rv 3"));
  t.remove("user_events", {{"user_id", 1}, {"referrer", 3}});
  EXPECT_THAT(marks(t), ElementsAre("r 3", "rd 1", "rv 3"));
}

TEST(FoldDirty, AReferrersFirstRowAndItsVerificationInBothDirectionsMarkIt) {
  FoldTester t;
  t.create("users", {{"user_id", 2}});
  EXPECT_THAT(marks(t), ElementsAre("p 2", "r 2", "rv 2"));
  t.update("users", {{"user_id", 2}}, {{"user_id", 2}, {"is_verified", true}});
  EXPECT_THAT(marks(t), ElementsAre("cs 2", "p 2", "r 2", "rv 2"));
  t.update("users", {{"user_id", 2}, {"is_verified", true}}, {{"user_id", 2}});
  EXPECT_THAT(marks(t), ElementsAre("cs 2", "p 2", "r 2", "rv 2"));
  t.update("users", {{"user_id", 2}}, {{"user_id", 2}, {"bio", "x"}});
  EXPECT_THAT(marks(t), ElementsAre("p 2")) << "a bio is nothing to referrals";
}

TEST(FoldDirty, TracksAndPlaylistsMarkTheirOwners) {
  FoldTester t;
  t.update("tracks", {{"track_id", 9}, {"owner_id", 1}}, {{"track_id", 9}, {"owner_id", 2}});
  EXPECT_THAT(marks(t), ElementsAre("cs 1", "cs 2", "cs via 9", "u 1", "u 2"));
  t.create("playlists", {{"playlist_owner_id", 3}, {"is_private", true}});
  EXPECT_THAT(marks(t), ElementsAre("fp 3"));
}

TEST(FoldDirty, FollowsRepostsAndSavesMarkTheActorAndRemixesTheirParentsOwner) {
  FoldTester t;
  t.create("follows", {{"follower_user_id", 1}, {"followee_user_id", 2}});
  t.create("reposts", {{"user_id", 3}, {"repost_item_id", 10}, {"repost_type", "playlist"}});
  t.create("saves", {{"user_id", 4}, {"save_item_id", 11}, {"save_type", "track"}});
  t.create("remixes", {{"parent_track_id", 20}, {"child_track_id", 21}});
  EXPECT_THAT(marks(t), ElementsAre("cs via 11", "cs via 21", "p 1", "p 3", "p 4"));
}

TEST(FoldDirty, AnUpdateThatChangesNothingMarksNobody) {
  FoldTester t;
  t.update("users", {{"user_id", 2}}, {{"user_id", 2}});
  EXPECT_THAT(marks(t), IsEmpty());
}

TEST(FoldDirty, AUserOfManyChangesIsMarkedOnceWithTheNewestBlock) {
  FoldTester t;
  const auto row = [](Fields more) {
    Fields fields{{"user_id", 1}, {"is_mobile_user", true}};
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  };
  t.create("user_events", row({{"blocknumber", 50}}));
  t.create("user_events", row({{"blocknumber", 40}}));
  EXPECT_EQ(blocks(t.fold.take()).at("m 1"), 50);
  t.update("user_events", row({{"blocknumber", 40}}), row({{"blocknumber", 60}}));
  EXPECT_EQ(blocks(t.fold.take()).at("m 1"), 60);
  t.create("user_events", row({{"blocknumber", 50}}));
  t.create("user_events", row({{"blocknumber", Null{}}}));
  EXPECT_EQ(blocks(t.fold.take()).at("m 1"), DirtyKeys::kNoBlock)
      << "null is above each checkpoint";
}

TEST(FoldDirty, AChangeThatProvesNothingMarksAllTheSame) {
  FoldTester t;
  t.read("user_events", {{"user_id", 1}, {"is_mobile_user", true}});
  EXPECT_THAT(marks(t), ElementsAre("m 1"));
  const Change change = t.change(Op::kCreate, "user_events", {},
                                 t.row("user_events", {{"user_id", 1}, {"is_mobile_user", true}}));
  t.add(change);
  t.fold.take();
  t.add(change);  // delivered again
  EXPECT_THAT(marks(t), ElementsAre("m 1"));
}

TEST(FoldDirty, WhoeverIsNotKnownHasTheRuleSwept) {
  const auto swept = [](FoldTester& t) {
    std::set<std::string> names;
    for (const RuleIndex rule : t.fold.take().sweeps) {
      names.insert(shipped_declaration().rule(rule).name);
    }
    return names;
  };
  FoldTester t;
  t.truncate("user_events");
  EXPECT_THAT(swept(t), UnorderedElementsAre("m", "r", "rd", "rv"));
  t.bad("playlists", "k", "v");
  EXPECT_THAT(swept(t), UnorderedElementsAre("fp"));
  // Without REPLICA IDENTITY FULL the old owner isn't known.
  t.add(t.change(Op::kUpdate, "playlists", {}, t.row("playlists", {{"playlist_owner_id", 3}})));
  EXPECT_THAT(swept(t), UnorderedElementsAre("fp"));
  t.create("playlists", {{"playlist_owner_id", 3}});
  EXPECT_THAT(swept(t), IsEmpty());
}

TEST(FoldDirty, ADroppedBatchLeavesNoMarks) {
  FoldTester t;
  t.create("playlists", {{"playlist_owner_id", 3}});
  t.restart({{}, {}});
  EXPECT_THAT(marks(t), IsEmpty());
}

}  // namespace
}  // namespace tidemark::testing
