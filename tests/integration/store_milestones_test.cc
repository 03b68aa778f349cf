// Milestones that batches cross, on the shipped application (DOMAIN 2).
#include <barrier>
#include <thread>

#include "tests/integration/milestone_fixture.h"

namespace tidemark::testing {
namespace {

class StoreMilestones : public MilestoneTest {
 protected:
  // Nine of what the tenth row is announced for, counted long ago.
  void nine(const std::string& table, Fields fields, const std::string& user) {
    for (int id = 1; id <= 9; ++id) {
      fields.emplace_back(user, id);
      create(table, fields);
      fields.pop_back();
    }
    settle();
  }
  Change tenth(const std::string& table, Fields fields, const std::string& user) {
    fields.insert(fields.end(), {{user, 10}, {"created_at", 90'500'000}, {"blocknumber", 42}});
    return create(table, fields);
  }
};

// --- each name ----------------------------------------------------------------------------------

TEST_F(StoreMilestones, TheTenthRepostOfATrackIsAnnounced) {
  repost_unseen(1, 9);
  settle();
  apply({repost(10)});
  EXPECT_EQ(milestones(), "9|TRACK_REPOST_COUNT|10|10|1010|1970-01-01 00:00:10");
  EXPECT_EQ(notifications(),
            "77|milestone:TRACK_REPOST_COUNT:id:9:threshold:10|milestone|null|10|"
            "1970-01-01 00:00:10|{\"type\": \"TRACK_REPOST_COUNT\", \"track_id\": 9, "
            "\"threshold\": 10}|{77}");
}

TEST_F(StoreMilestones, TheTenthSaveOfATrackIsAnnounced) {
  const Fields save = {{"save_item_id", 9}, {"save_type", "track"}};
  nine("saves", save, "user_id");
  apply({tenth("saves", save, "user_id")});
  EXPECT_EQ(milestones(), "9|TRACK_SAVE_COUNT|10|42|null|1970-01-01 00:01:30.5");
  EXPECT_EQ(notifications(),
            "77|milestone:TRACK_SAVE_COUNT:id:9:threshold:10|milestone|null|42|"
            "1970-01-01 00:01:30.5|{\"type\": \"TRACK_SAVE_COUNT\", \"track_id\": 9, "
            "\"threshold\": 10}|{77}");
}

TEST_F(StoreMilestones, TheTenthRepostOfAnAlbumIsAnnounced) {
  const Fields repost = {{"repost_item_id", 5}, {"repost_type", "album"}};
  nine("reposts", repost, "user_id");
  apply({tenth("reposts", repost, "user_id")});
  EXPECT_EQ(milestones(), "5|PLAYLIST_REPOST_COUNT|10|42|null|1970-01-01 00:01:30.5");
  EXPECT_EQ(notifications(),
            "78|milestone:PLAYLIST_REPOST_COUNT:id:5:threshold:10|milestone|null|42|"
            "1970-01-01 00:01:30.5|{\"type\": \"PLAYLIST_REPOST_COUNT\", \"is_album\": true, "
            "\"threshold\": 10, \"playlist_id\": 5}|{78}");
}

// A user's first trace may be the save of a playlist, which counts nothing of the user.
TEST_F(StoreMilestones, TheTenthSaveOfAPlaylistIsAnnouncedThoughItsUserHasNoRow) {
  const Fields save = {{"save_item_id", 6}, {"save_type", "playlist"}};
  nine("saves", save, "user_id");
  apply({tenth("saves", save, "user_id")});
  EXPECT_EQ(milestones(), "6|PLAYLIST_SAVE_COUNT|10|42|null|1970-01-01 00:01:30.5");
  EXPECT_EQ(notifications(),
            "79|milestone:PLAYLIST_SAVE_COUNT:id:6:threshold:10|milestone|null|42|"
            "1970-01-01 00:01:30.5|{\"type\": \"PLAYLIST_SAVE_COUNT\", \"is_album\": false, "
            "\"threshold\": 10, \"playlist_id\": 6}|{79}");
}

TEST_F(StoreMilestones, TheTenthFollowerIsAnnounced) {
  const Fields follow = {{"followee_user_id", 80}};
  nine("follows", follow, "follower_user_id");
  apply({tenth("follows", follow, "follower_user_id")});
  EXPECT_EQ(milestones(), "80|FOLLOWER_COUNT|10|42|null|1970-01-01 00:01:30.5");
  EXPECT_EQ(notifications(),
            "80|milestone:FOLLOWER_COUNT:id:80:threshold:10|milestone_follower_count|null|42|"
            "1970-01-01 00:01:30.5|{\"type\": \"FOLLOWER_COUNT\", \"user_id\": 80, "
            "\"threshold\": 10}|{80}");
}

// --- which crossing -----------------------------------------------------------------------------

TEST_F(StoreMilestones, OneBatchAnnouncesAllThatItCrosses) {
  settle();
  std::vector<Change> changes;
  for (int user = 1; user <= 55; ++user) changes.push_back(repost(user));
  apply(changes);
  EXPECT_EQ(announced(),
            "TRACK_REPOST_COUNT 10 by 10,TRACK_REPOST_COUNT 25 by 25,TRACK_REPOST_COUNT 50 by 50");
  EXPECT_EQ(sql("select count(*) from public.notification"), "3");
}

TEST_F(StoreMilestones, ACrossingThatTheBatchUndoesIsNotAnnounced) {
  repost_unseen(1, 9);
  settle();
  apply({repost(10), remove("reposts", repost_of(10))});
  EXPECT_EQ(reposts(), "9");
  EXPECT_EQ(milestones(), "");
}

TEST_F(StoreMilestones, WhatIsCrossedAgainIsNotAnnouncedAgain) {
  repost_unseen(1, 9);
  settle();
  apply({repost(10)});
  apply({remove("reposts", repost_of(10))});
  apply({repost(11)});
  EXPECT_EQ(reposts(), "10");
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
  EXPECT_EQ(sql("select count(*) from public.notification"), "1");
}

TEST_F(StoreMilestones, AChangeThatComesTwiceAnnouncesOnce) {
  repost_unseen(1, 9);
  settle();
  const Change change = repost(10);
  apply({change});
  apply({change});
  EXPECT_NE(sql("select count(*) from tidemark.suspects"), "0") << "it is not new";
  recount_track();
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
  EXPECT_EQ(sql("select count(*) from public.notification"), "1");
}

TEST_F(StoreMilestones, WhatAFenceSkipsIsNoStepTowardsAThreshold) {
  repost_unseen(1, 8);
  settle();
  const Change seen = repost(9);
  recount_track();
  EXPECT_EQ(reposts(), "9");
  apply({seen, repost(10)});
  EXPECT_EQ(reposts(), "10");
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
}

// --- who is left out ----------------------------------------------------------------------------

TEST_F(StoreMilestones, AnActorWithABadScoreAnnouncesNothingForEver) {
  repost_unseen(1, 9);
  settle();
  sql("insert into public.aggregate_user (user_id, score) values (10, -1), (25, null), (50, 0)");
  std::vector<Change> changes;
  for (int user = 10; user <= 50; ++user) changes.push_back(repost(user));
  apply(changes);
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 50 by 50") << "10 is below 0, 25 has none";
  sql("update public.aggregate_user set score = 5");
  recount_track();
  apply({repost(51)});
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 50 by 50");
}

TEST_F(StoreMilestones, AnItemWithoutAKnownOwnerAnnouncesNothing) {
  repost_unseen(1, 9);
  settle();
  sql("update public.tracks set is_current = false");
  apply({repost(10)});
  EXPECT_EQ(reposts(), "10");
  EXPECT_EQ(milestones() + notifications(), "");
}

TEST_F(StoreMilestones, OfSeveralCurrentRowsTheNewestNamesTheOwner) {
  sql("insert into public.tracks (track_id, owner_id, is_current, is_delete, created_at,"
      " updated_at, blocknumber, txhash) values (9, 66, true, false, now(), now(), 3, 'b')");
  repost_unseen(1, 9);
  settle();
  apply({repost(10)});
  EXPECT_EQ(sql("select specifier, user_ids from public.notification"), "66|{66}");
}

// --- suspect cells ------------------------------------------------------------------------------

TEST_F(StoreMilestones, UntilItsFirstRecountACellAnnouncesNothing) {
  repost_unseen(1, 9);
  std::vector<Change> changes;
  for (int user = 10; user <= 21; ++user) changes.push_back(repost(user));
  apply(changes);
  EXPECT_EQ(reposts(), "12");
  settle();
  EXPECT_EQ(reposts(), "21");
  EXPECT_EQ(milestones(), "");
  EXPECT_EQ(sql("select count(*) from tidemark.unannounced"), "0");
  for (int user = 22; user <= 25; ++user) apply({repost(user)});
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 25 by 25");
}

TEST_F(StoreMilestones, ASuspectCellLeavesItsCrossingToItsRecount) {
  repost_unseen(1, 9);
  settle();
  Change read = repost(10);
  Change same = read;
  read.op = Op::kRead;
  apply({read});
  EXPECT_NE(sql("select count(*) from tidemark.suspects where key = '9'"), "0");
  apply({same});
  EXPECT_EQ(reposts(), "10");
  EXPECT_EQ(milestones(), "") << "it may be wrong";
  EXPECT_EQ(sql("select counter, key, value from tidemark.unannounced"), "repost_count|9|9");
  recount_track();
  EXPECT_EQ(reposts(), "10") << "it was right";
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
  EXPECT_EQ(sql("select count(*) from tidemark.unannounced"), "0");
}

TEST_F(StoreMilestones, ACellThatTheBatchItselfMakesSuspectWaitsToo) {
  repost_unseen(1, 9);
  settle();
  Change read = repost(11);
  read.op = Op::kRead;
  apply({repost(10), read});
  EXPECT_EQ(milestones(), "");
  recount_track();
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 11") << "the newest row";
}

TEST_F(StoreMilestones, ACrossingThatWasWrongIsNeverAnnounced) {
  repost_unseen(1, 9);
  settle();
  sql("insert into tidemark.suspects (aggregate, counter, key, cause)"
      " values ('public.aggregate_track', 'repost_count', '9', 'not_new')");
  Change twin = repost(10);
  remove("reposts", repost_of(10));
  apply({twin});
  EXPECT_EQ(reposts(), "10");
  recount_track();
  EXPECT_EQ(reposts(), "9");
  EXPECT_EQ(milestones(), "");
}

TEST_F(StoreMilestones, ACellThatAnOperatorHasRecountedAnnouncesAsEver) {
  repost_unseen(1, 9);
  settle();
  recount_.request(aggregate("aggregate_track"), std::vector<std::string>{"9"});
  apply({repost(10)});
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
}

// --- two members --------------------------------------------------------------------------------

TEST_F(StoreMilestones, TwoMembersOnOneHotTrackAnnounceEachThresholdOnce) {
  settle();
  constexpr int kBatches = 60;
  std::barrier start(2);
  const auto member = [&](std::int32_t partition) {
    PgStore store(app(), recounted());
    const Claimed claimed = store.claim(std::vector{at(partition)})[0];
    Fold fold(app(), NotNewPolicy::kSuspect);
    fold.reset(std::vector<FoldPartition>{{claimed.where, claimed.epoch, claimed.next, {}}});
    FoldTester rows;
    start.arrive_and_wait();
    for (int b = 0; b < kBatches; ++b) {
      Record record;
      record.topic = "t";
      record.partition = Partition(partition);
      record.offset = Offset(b);
      const int user = partition * 1000 + b;
      Change change = rows.change(Op::kCreate, "reposts", {}, rows.row("reposts", repost_of(user)));
      change.tx_id = 3;  // of long ago: every snapshot sees it
      fold.add_change(record, change);
      EXPECT_EQ(store.apply(fold.take()).outcome, ApplyOutcome::kApplied);
    }
  };
  std::thread second([&] { member(2); });
  member(1);
  second.join();
  EXPECT_EQ(reposts(), "120");
  EXPECT_EQ(sql("select threshold from public.milestones order by 1"), "10,25,50,100");
  EXPECT_EQ(sql("select count(*) from public.notification"), "4");
  EXPECT_EQ(sql("select last_value from public.notification_id_seq"), "4")
      << "nobody tried a second time";
}

// Each waits for the row at the same value: only what the upsert returns tells who crossed.
TEST_F(StoreMilestones, TwoMembersThatWaitForOneRowDontBothCross) {
  repost_unseen(1, 9);
  settle();
  PgStore other(app(), recounted());
  const Epoch epoch = other.claim(std::vector{at(1)})[0].epoch;
  Fold fold(app(), NotNewPolicy::kSuspect);
  fold.reset(std::vector<FoldPartition>{{at(1), epoch, Offset(-1), {}}});
  Record record;
  record.topic = "t";
  record.partition = Partition(1);
  record.offset = Offset(0);
  fold.add_change(record, repost(11));
  const Delta second = fold.take();
  const Change first = repost(10);
  PgTransaction holder(superuser_);
  holder.run_sql({"hold", ""}, "select from public.aggregate_track where track_id = 9 for update");
  std::thread one([&] { apply({first}); });
  await_blocked(holder, store_.backend_pid());
  const int other_pid = other.backend_pid();
  std::thread two([&] { other.apply(second); });
  await_blocked(holder, other_pid);
  holder.commit();
  one.join();
  two.join();
  EXPECT_EQ(reposts(), "11");
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
  EXPECT_EQ(sql("select last_value from public.notification_id_seq"), "1");
}

// --- a failing world ----------------------------------------------------------------------------

TEST_F(StoreMilestones, ABatchThatCantBeAnnouncedIsNotStored) {
  repost_unseen(1, 9);
  settle();
  sql("alter table public.milestones rename to gone");
  const std::string before = sql("select next_offset from tidemark.progress");
  const Change change = repost(10);
  EXPECT_EQ(error_of([&] { apply({change}); }).kind(), ErrorKind::kFatal);
  EXPECT_EQ(reposts(), "9");
  EXPECT_EQ(sql("select next_offset from tidemark.progress"), before);
  sql("alter table public.gone rename to milestones");
  claim();
  apply({change});
  EXPECT_EQ(announced(), "TRACK_REPOST_COUNT 10 by 10");
}

TEST_F(StoreMilestones, AMissingTableIsToldAtStart) {
  sql("drop table public.notification");
  PgStore late(app(), recounted());
  const WorldError error = error_of([&] { late.claim(std::vector{at(1)}); });
  EXPECT_EQ(error.kind(), ErrorKind::kFatal);
  EXPECT_THAT(error.what(), ::testing::HasSubstr("notification"));
}

}  // namespace
}  // namespace tidemark::testing
