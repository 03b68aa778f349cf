// On histories that only grow, what was announced is what a look at the source tables gives: each
// threshold up to the count, once; whatever came twice, was suspect, or was recounted meanwhile.
#include <deque>
#include <random>

#include "tests/integration/milestone_fixture.h"

namespace tidemark::testing {
namespace {

class MilestonesProperty : public MilestoneTest {
 protected:
  static constexpr int kRounds = 25;
  static constexpr int kSteps = 60;
  static constexpr int kTracks = 3;

  static int track_of(int round, std::size_t n) {
    return 1000 + round * kTracks + static_cast<int>(n % kTracks);
  }

  Change grow(int track) {
    Fields fields = repost_of(++user_);
    fields[1] = {"repost_item_id", track};
    return create("reposts", fields);
  }

  // So many of the events that are on their way, as one batch.
  void apply_some(std::size_t count) {
    std::vector<Change> batch;
    for (; count > 0 && !coming_.empty(); --count) {
      batch.push_back(coming_.front());
      last_.push_back(coming_.front());
      coming_.pop_front();
    }
    if (!batch.empty()) apply(batch);
  }

  void recount_one(int track) {
    recount("aggregate_track", KeySet{.listed = {{std::to_string(track)}}});
  }

  void step(int round) {
    const int track = track_of(round, random_());
    switch (random_() % 8) {
      case 0:
      case 1:
      case 2:
        for (std::size_t rows = random_() % 8; rows > 0; --rows) coming_.push_back(grow(track));
        return;
      case 3:
      case 4:
        return apply_some(random_() % 12);
      case 5:
        return recount_one(track);
      case 6:
        sql("insert into tidemark.suspects (aggregate, counter, key, cause) values"
            " ('public.aggregate_track', 'repost_count', '" +
            std::to_string(track) + "', 'not_new') on conflict do nothing");
        return;
      default:
        if (!last_.empty()) apply({last_[random_() % last_.size()]});  // comes again
        return;
    }
  }

  std::mt19937 random_{20'261'121};
  std::deque<Change> coming_;
  std::vector<Change> last_;
  int user_ = 0;
};

TEST_F(MilestonesProperty, WhatOnlyGrowsIsAnnouncedToTheLastThreshold) {
  sql("insert into public.tracks (track_id, owner_id, is_current, is_delete, created_at,"
      " updated_at) select n, n, true, false, now(), now() from generate_series(1000, 1100) as n;"
      "insert into public.blocks select 'b' || n, n from generate_series(2001, 9999) as n");
  settle();
  for (int round = 0; round < kRounds; ++round) {
    last_.clear();
    for (int i = 0; i < kSteps; ++i) step(round);
    apply_some(coming_.size());
    for (std::size_t track = 0; track < kTracks; ++track) recount_one(track_of(round, track));
    drop_fences();
  }
  const std::string ladder = "unnest(array[10, 25, 50, 100, 250, 500]) as t";
  const std::string due =
      sql("select id, t from (select repost_item_id as id, count(*) as n"
          " from public.reposts group by 1) as c cross join " +
          ladder + " where t <= n order by 1, 2");
  EXPECT_GT(due.size(), 100U) << "the histories are too short to show anything";
  EXPECT_EQ(sql("select id, threshold from public.milestones order by 1, 2"), due);
  EXPECT_EQ(sql("select count(*) from public.notification"),
            sql("select count(*) from public.milestones"));
  EXPECT_EQ(sql("select count(*) from tidemark.unannounced"), "0");
  EXPECT_EQ(sql("select count(*) from public.aggregate_track a join (select repost_item_id as id,"
                " count(*) as n from public.reposts group by 1) as c on c.id = a.track_id"
                " where a.repost_count <> c.n"),
            "0");
}

}  // namespace
}  // namespace tidemark::testing
