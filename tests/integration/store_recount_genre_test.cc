// Recounted columns on a real database: the dominant genre of the shipped application (DOMAIN 2).
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "consumer/core/declaration_toml.h"
#include "consumer/core/fold.h"
#include "consumer/store/catalog.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_recount.h"
#include "tests/support/declarations.h"
#include "tests/support/pg_fixture.h"
#include "tests/support/scratch_postgres.h"

namespace tidemark::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr milliseconds kPatience{2'000};
const std::string kGenres =
    "select user_id, dominant_genre, dominant_genre_count from public.aggregate_user order by 1";
const std::string kSuspects = "select counter, key, cause from tidemark.suspects order by 1, 2";

Declaration shipped() {
  return std::get<Declaration>(load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/schemas"));
}

std::string app_schema() {
  std::ifstream file(std::string(TIDEMARK_SOURCE_DIR) + "/ops/app/schema.sql");
  return "set search_path = public;" +
         std::string{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()} +
         "set search_path = pg_catalog;";
}

class StoreRecountGenre : public StoreTest {
 protected:
  StoreRecountGenre() {
    sql("drop table public.playlists, public.aggregate_playlist, public.aggregate_tag,"
        " public.aggregate_user, public.aggregate_uuid");
    sql(app_schema());
    migrate({options(), "counters", ""}, shipped_);
    const Claimed claimed = store_.claim(std::vector{at(0)})[0];
    fold_.reset(std::vector<FoldPartition>{
        {at(0), claimed.epoch, claimed.next, claimed.mark, claimed.touch_only}});
    tracks_ = table_named(shipped_, "tracks");
    users_ = *shipped_.find_aggregate({"public", "aggregate_user"});
  }

  PgStoreOptions recounted() const {
    PgStoreOptions options = store_options();
    options.recounted = true;
    return options;
  }

  // A track in the open; `genre` in quotes, or null.
  void track(int id, int owner, const std::string& genre, int day = 1,
             const std::string& changed = "") {
    sql("insert into public.tracks (track_id, owner_id, is_current, is_delete, is_unlisted,"
        " is_available, genre, stem_of, created_at, updated_at) select track_id, owner_id,"
        " is_current, is_delete, is_unlisted, is_available, genre, stem_of, at, at from (select " +
        std::to_string(id) + " as track_id, " + std::to_string(owner) +
        " as owner_id, true as is_current, false as is_delete, false as is_unlisted, true as"
        " is_available, " +
        genre + "::text as genre, null::jsonb as stem_of, timestamp '2026-01-01' + " +
        std::to_string(day) + " * interval '1 day' as at) as t");
    if (!changed.empty()) {
      sql("update public.tracks set " + changed + " where track_id = " + std::to_string(id));
    }
  }

  RowImage image(int id, int owner, std::string_view genre) const {
    const Table& table = shipped_.table(tracks_);
    RowImage row(table.columns.size(), Null{});
    const auto set = [&](std::string_view name, const Value& value) {
      row[column_named(shipped_, tracks_, name).value] = value;
    };
    set("track_id", std::int64_t{id});
    set("owner_id", std::int64_t{owner});
    set("is_current", true);
    set("is_delete", false);
    set("is_unlisted", false);
    set("is_available", true);
    set("genre", genre);
    set("created_at", std::int64_t{0});
    set("txhash", std::string_view(""));
    return row;
  }

  // Sets a track's genre, and gives the event that this makes. The genre must be a literal.
  Change regenre(int id, int owner, std::string_view from, std::string_view to) {
    const std::string both =
        sql("with row as (update public.tracks set genre = '" + std::string(to) +
            "' where track_id = " + std::to_string(id) +
            " returning 1) select pg_current_xact_id()::xid, pg_current_wal_insert_lsn() - '0/0'"
            " from row");
    const auto bar = both.find('|');
    Change change;
    change.table = tracks_;
    change.op = Op::kUpdate;
    change.tx_id = std::stoull(both.substr(0, bar));
    change.position = Position{Lsn(std::stoull(both.substr(bar + 1)) - 1),
                               Lsn(std::stoull(both.substr(bar + 1)))};
    change.before = image(id, owner, from);
    change.after = image(id, owner, to);
    return change;
  }

  void apply(const Change& change) {
    Record record;
    record.topic = "t";
    record.offset = Offset(next_++);
    fold_.add_change(record, change);
    store_.apply(fold_.take());
  }

  SliceResult recount(KeySet keys) {
    return recount_.recount(users_, std::move(keys), kPatience, nullptr);
  }
  SliceResult recount_all() { return recount(KeySet{}); }
  SliceResult recount_key(const std::string& key) { return recount(KeySet{.listed = {{key}}}); }

  // As if the state had run for long: the first pass is through, nothing is suspect, no fence.
  void settle() {
    while (true) {
      auto pass = recount_.current_pass();
      if (!pass) pass = recount_.begin_due_pass(milliseconds(3'600'000));
      if (!pass) break;
      ASSERT_TRUE(
          recount_.recount(pass->aggregate, KeySet{.from = pass->next_key}, kPatience, &*pass)
              .taken);
      if (pass->last_aggregate) recount_.end_pass(*pass);
    }
    EXPECT_THAT(drop_all(), IsEmpty()) << "a start is no drift";
  }

  std::vector<DriftRow> drop_all() {
    std::vector<std::int64_t> ids;
    for (const OutstandingFence& fence : recount_.fences()) ids.push_back(fence.id);
    return recount_.drop_fences(ids);
  }

  const Declaration shipped_ = shipped();
  TableIndex tracks_;
  AggregateIndex users_;
  PgStore store_{shipped_, recounted()};
  PgRecount recount_{shipped_, {options(), "no_such_slot"}};
  Fold fold_{shipped_, NotNewPolicy::kSuspect};
  std::int64_t next_ = 0;
};

TEST_F(StoreRecountGenre, MostTracksThenTheLatestThenTheNameDecide) {
  track(10, 1, "'Jazz'", 1);
  track(11, 1, "'Jazz'", 1);
  track(12, 1, "'Rock'", 9);
  track(20, 2, "'Jazz'", 1);
  track(21, 2, "'Rock'", 2);
  track(30, 3, "'a'");
  track(31, 3, "'B'");  // before 'a' by bytes, behind it in a dictionary
  track(32, 3, "null");
  track(40, 4, "null", 1);
  track(41, 4, "'z'", 1);
  settle();
  EXPECT_EQ(sql(kGenres), "1|Jazz|2,2|Rock|1,3|B|1,4|z|1");
}

TEST_F(StoreRecountGenre, ANullGenreIsAGenreLikeAnyOther) {
  track(10, 1, "null");
  track(11, 1, "null");
  track(12, 1, "'Jazz'");
  track(20, 2, "null", 2);
  track(21, 2, "'Jazz'", 1);
  settle();
  EXPECT_EQ(sql(kGenres), "1|null|2,2|null|1");
}

TEST_F(StoreRecountGenre, OnlyTracksInTheOpenDecideAndWithoutAnyBothAreNull) {
  track(10, 1, "'Jazz'");
  track(11, 1, "'Rock'", 2, "is_unlisted = true");
  track(12, 1, "'Rock'", 2, "is_delete = true");
  track(13, 1, "'Rock'", 2, "is_current = false");
  track(14, 1, "'Rock'", 2, "is_available = false");
  track(15, 1, "'Rock'", 2, "stem_of = '{}'");
  track(20, 2, "'Rock'", 2, "is_unlisted = true");
  sql("insert into public.aggregate_user (user_id) values (3)");
  EXPECT_EQ(sql(kGenres), "3|null|0") << "the column's default";
  settle();
  EXPECT_EQ(sql(kGenres), "1|Jazz|1,2|null|null,3|null|null");
}

TEST_F(StoreRecountGenre, AChangedGenreIsRecountedWhenItsEventCame) {
  track(10, 1, "'Jazz'");
  settle();
  apply(regenre(10, 1, "Jazz", "Rock"));
  EXPECT_EQ(sql(kSuspects), "dominant_genre|1|changed");
  const auto keys = recount_.suspect_keys(10);
  ASSERT_TRUE(keys.has_value());
  EXPECT_EQ(keys->aggregate, users_);
  EXPECT_EQ(recount(KeySet{.listed = keys->keys}).corrected, 1U);
  EXPECT_EQ(sql(kGenres), "1|Rock|1");
  EXPECT_EQ(sql(kSuspects), "");
  EXPECT_THAT(drop_all(), IsEmpty()) << "a repair is no drift";
}

TEST_F(StoreRecountGenre, APassThatIsAheadOfTheEventsFindsLagAndNoDrift) {
  track(10, 1, "'Jazz'");
  settle();
  const Change coming = regenre(10, 1, "Jazz", "Rock");
  EXPECT_EQ(recount_all().corrected, 1U);
  EXPECT_EQ(sql(kGenres), "1|Rock|1");
  EXPECT_EQ(sql("select counter, key, remaining, expected, suspect from tidemark.ledger"),
            "dominant_genre|1|1|null|f");
  apply(coming);
  EXPECT_THAT(drop_all(), IsEmpty());
  recount_key("1");
  EXPECT_THAT(drop_all(), IsEmpty());
  EXPECT_EQ(sql("select count(*) from tidemark.ledger"), "0");
}

TEST_F(StoreRecountGenre, WhatNoEventExplainsIsDriftAndIsSaidOnce) {
  track(10, 1, "'Jazz'");
  settle();
  sql("update public.aggregate_user set dominant_genre = 'Polka' where user_id = 1");
  EXPECT_EQ(recount_all().corrected, 1U);
  EXPECT_EQ(sql(kGenres), "1|Jazz|1");
  const std::vector<DriftRow> drift = drop_all();
  ASSERT_EQ(drift.size(), 1U);
  EXPECT_EQ(drift[0].counter, "dominant_genre");
  EXPECT_EQ(drift[0].key, "1");
  EXPECT_EQ(drift[0].difference, 1);
  EXPECT_EQ(drift[0].expected, std::nullopt);
  recount_all();
  EXPECT_THAT(drop_all(), IsEmpty());
}

TEST_F(StoreRecountGenre, APassOverRightRowsWritesNothing) {
  track(10, 1, "'Jazz'");
  track(20, 2, "null");
  sql("insert into public.aggregate_user (user_id) values (3)");
  settle();
  const std::string versions = "select user_id, xmin, ctid from public.aggregate_user order by 1";
  const std::string before = sql(versions);
  EXPECT_EQ(recount_all().corrected, 0U);
  EXPECT_EQ(sql(versions), before);
  EXPECT_EQ(sql("select count(*) from tidemark.ledger"), "0");
}

// The column's default of 0 would be called drift by the next pass.
TEST_F(StoreRecountGenre, ARowThatAnEventMakesHasNullsUntilItsOwnRecount) {
  track(10, 1, "'Jazz'");
  settle();
  sql("delete from public.aggregate_user");
  Change change = regenre(10, 1, "Jazz", "Rock");
  change.op = Op::kCreate;
  change.before.clear();
  apply(change);
  EXPECT_EQ(sql(kGenres), "1|null|null");
  recount_key("1");
  EXPECT_EQ(sql(kGenres), "1|Rock|1");
}

TEST_F(StoreRecountGenre, ARowThatAnotherWriterHoldsIsNotWaitedFor) {
  track(10, 1, "'Jazz'");
  track(20, 2, "'Jazz'");
  settle();
  const Change first = regenre(10, 1, "Jazz", "Rock");
  const Change second = regenre(20, 2, "Jazz", "Rock");
  PgConnection other(options());
  PgTransaction holder(other);
  holder.run_sql({"hold", ""}, "update public.aggregate_user set score = 5 where user_id = 1");
  const SliceResult slice = recount_all();
  EXPECT_TRUE(slice.taken);
  EXPECT_EQ(slice.held, 1U);
  EXPECT_EQ(sql(kGenres), "1|Jazz|1,2|Rock|1");
  EXPECT_EQ(sql("select cause from tidemark.suspects where counter = 'dominant_genre'"), "locked");
  holder.commit();
  recount_key("1");
  EXPECT_EQ(sql(kGenres), "1|Rock|1,2|Rock|1");
  EXPECT_EQ(sql("select score from public.aggregate_user where user_id = 1"), "5");
  apply(first);
  apply(second);
  EXPECT_THAT(drop_all(), IsEmpty());
}

// What the operator asked for is called drift; not so what an event explained in the meantime.
TEST_F(StoreRecountGenre, AnEventAfterARequestMakesItARepair) {
  track(10, 1, "'Jazz'");
  settle();
  recount_.request(users_, std::vector<std::string>{"1"});
  apply(regenre(10, 1, "Jazz", "Rock"));
  EXPECT_EQ(recount_.requests_left(users_), 1U) << "the command still waits for it";
  EXPECT_EQ(recount_key("1").corrected, 1U);
  EXPECT_EQ(recount_.requests_left(users_), 0U);
  EXPECT_THAT(drop_all(), IsEmpty());
}

TEST_F(StoreRecountGenre, AKeyThatHasNoRowIsNotGivenOne) {
  settle();
  recount_key("77");
  EXPECT_EQ(sql(kGenres), "");
}

TEST_F(StoreRecountGenre, AnotherStatementMakesEveryRowSuspect) {
  track(10, 1, "'Jazz'");
  settle();
  Declaration changed = shipped_;
  changed.aggregates[users_.value].recounted[0].sql =
      "select owner_id as user_id, 'any' as dominant_genre, null as dominant_genre_count"
      " from public.tracks where owner_id = any($1)";
  EXPECT_THAT(migrate({options(), "counters", ""}, changed).new_counters,
              ElementsAre("public.aggregate_user.dominant_genre"));
  PgRecount later(changed, {options(), "no_such_slot"});
  const auto pass = later.begin_due_pass(milliseconds(3'600'000));
  ASSERT_TRUE(pass.has_value());
  EXPECT_EQ(later.recount(users_, KeySet{}, kPatience, &*pass).corrected, 1U);
  later.end_pass(*pass);
  EXPECT_EQ(sql(kGenres), "1|any|null");
  EXPECT_THAT(drop_all(), IsEmpty()) << "a new definition is no drift";
}

TEST_F(StoreRecountGenre, AnUnfitDeclarationIsToldByTheCatalogsCheck) {
  Declaration unfit = shipped_;
  const auto told = [&] {
    std::vector<std::string> columns;
    for (const CatalogProblem& problem : check_catalog(superuser_, unfit)) {
      columns.push_back(problem.column + ": " + problem.expected);
    }
    return columns;
  };
  EXPECT_THAT(told(), IsEmpty());
  RecountedColumns& genre = unfit.aggregates[users_.value].recounted[0];
  genre.sql = "select owner_id as user_id, genre as dominant_genre from public.tracks";
  EXPECT_THAT(told(), ElementsAre("dominant_genre: one that gives user_id, dominant_genre, "
                                  "dominant_genre_count"));
  genre.columns = {"supporter_count", "no_such_column"};
  EXPECT_THAT(told(), ElementsAre("supporter_count: one that may be null",
                                  "no_such_column: a column of this name"));
}

}  // namespace
}  // namespace tidemark::testing
