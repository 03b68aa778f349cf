// The shipped application on a real database: rows that are written, the events that they make, and
// what is announced of them.
#pragma once

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "consumer/core/fold.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_recount.h"
#include "tests/support/declarations.h"
#include "tests/support/pg_fixture.h"
#include "tests/unit/fold_tester.h"

namespace tidemark::testing {

class MilestoneTest : public StoreTest {
 protected:
  MilestoneTest() {
    sql("drop table public.playlists, public.aggregate_playlist, public.aggregate_tag,"
        " public.aggregate_user, public.aggregate_uuid");
    std::ifstream file(std::string(TIDEMARK_SOURCE_DIR) + "/ops/app/schema.sql");
    sql("set search_path = public;" +
        std::string{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()} +
        "set search_path = pg_catalog;");
    sql("insert into public.blocks select 'b' || n, n from generate_series(1, 2000) as n;"
        "insert into public.tracks (track_id, owner_id, is_current, is_delete, created_at,"
        " updated_at) values (9, 77, true, false, now(), now());"
        "insert into public.playlists (playlist_id, playlist_owner_id, is_album, is_private,"
        " is_current, is_delete, created_at) values (5, 78, true, false, true, false, now()),"
        " (6, 79, false, true, true, false, now())");
    migrate({options(), "counters", ""}, app());
    claim();
  }

  static const Declaration& app() { return shipped_declaration(); }
  static AggregateIndex aggregate(const std::string& name) {
    return *app().find_aggregate({"public", name});
  }
  PgStoreOptions recounted() const {
    PgStoreOptions options = store_options();
    options.recounted = true;
    return options;
  }

  void claim() { claim(store_); }
  // Batches are applied by this one from now on.
  void claim(PgStore& store) {
    applier_ = &store;
    const Claimed claimed = store.claim(std::vector{at(0)})[0];
    fold_.reset(std::vector<FoldPartition>{
        {at(0), claimed.epoch, claimed.next, claimed.mark, claimed.touch_only}});
    next_ = std::max<std::int64_t>(0, claimed.next.value);
  }

  // --- rows and their events ---
  // An active row, and the event of its insert; times are microseconds since 1970.
  Change create(const std::string& table, const Fields& fields) {
    return changed(Op::kCreate, table, fields,
                   "insert into public." + table + " (" + columns(table) + ") values (" +
                       values(table, fields) + ")");
  }
  Change remove(const std::string& table, const Fields& fields) {
    return changed(Op::kDelete, table, fields,
                   "delete from public." + table + " as t where row(" + columns(table, "t.") +
                       ") is not distinct from row(" + values(table, fields) + ")");
  }
  // The user's repost of track 9, in the block and second of the user's number.
  Fields repost_of(int user) const {
    return {{"user_id", user},        {"repost_item_id", 9},
            {"repost_type", "track"}, {"created_at", user * 1'000'000},
            {"blocknumber", user},    {"slot", 1000 + user}};
  }
  Change repost(int user) { return create("reposts", repost_of(user)); }
  // Rows that no event of ours tells of.
  void repost_unseen(int from, int to) {
    for (int user = from; user <= to; ++user) repost(user);
  }

  ApplyResult apply(const std::vector<Change>& changes) {
    for (const Change& change : changes) {
      Record record;
      record.topic = "t";
      record.offset = Offset(next_++);
      fold_.add_change(record, change);
    }
    return applier_->apply(fold_.take());
  }

  // --- recounts ---
  SliceResult recount(const std::string& name, KeySet keys, const Pass* pass = nullptr) {
    return recount_.recount(aggregate(name), std::move(keys), std::chrono::milliseconds(2'000),
                            pass);
  }
  SliceResult recount_track() { return recount("aggregate_track", KeySet{.listed = {{"9"}}}); }
  // As if the state had run for long: all is recounted, no fence.
  void settle() {
    while (true) {
      auto pass = recount_.current_pass();
      if (!pass) pass = recount_.begin_due_pass(std::chrono::milliseconds(3'600'000));
      if (!pass) break;
      ASSERT_TRUE(recount(app().aggregate(pass->aggregate).name.name,
                          KeySet{.from = pass->next_key}, &*pass)
                      .taken);
      if (pass->last_aggregate) recount_.end_pass(*pass);
    }
    drop_fences();
  }
  std::vector<DriftRow> drop_fences() {
    std::vector<std::int64_t> ids;
    for (const OutstandingFence& fence : recount_.fences()) ids.push_back(fence.id);
    return recount_.drop_fences(ids);
  }

  // --- what is seen ---
  std::string milestones() {
    return sql(
        "select id, name, threshold, blocknumber, slot, \"timestamp\""
        " from public.milestones order by 2, 1, 3");
  }
  // "name threshold by block".
  std::string announced() {
    return sql(
        "select name || ' ' || threshold || ' by ' || coalesce(blocknumber::text, 'none')"
        " from public.milestones order by name, threshold");
  }
  std::string notifications() {
    return sql(
        "select specifier, group_id, type, slot, blocknumber, \"timestamp\", data, user_ids"
        " from public.notification order by group_id");
  }
  std::string reposts() {
    return sql("select repost_count from public.aggregate_track where track_id = 9");
  }

  PgStore store_{app(), recounted()};
  PgRecount recount_{app(), {options(), "no_such_slot"}};
  Fold fold_{app(), NotNewPolicy::kSuspect};

 private:
  static std::string columns(const std::string& table, const std::string& alias = "") {
    std::string list;
    for (const Column& column : app().table(table_named(app(), table)).columns) {
      list += (list.empty() ? "" : ", ") + alias + column.name;
    }
    return list;
  }
  std::string values(const std::string& table, const Fields& fields) const {
    const Table& declared = app().table(table_named(app(), table));
    const RowImage image = rows_.row(table, fields);
    std::string list;
    for (std::size_t i = 0; i < image.size(); ++i) {
      std::string text = "null";
      if (const auto* number = std::get_if<std::int64_t>(&image[i])) {
        text = std::to_string(*number);
        if (declared.columns[i].type == ColumnType::kTimestamp) {
          text = "timestamp 'epoch' + " + text + " * interval '1 microsecond'";
        }
      } else if (const auto* flag = std::get_if<bool>(&image[i])) {
        text = *flag ? "true" : "false";
      } else if (const auto* word = std::get_if<std::string_view>(&image[i])) {
        text = "'" + std::string(*word) + "'";
      }
      list += (list.empty() ? "" : ", ") + text;
    }
    return list;
  }
  // Runs the statement on one row, and gives the event: its transaction and its place in the log.
  Change changed(Op op, const std::string& table, const Fields& fields,
                 const std::string& statement) {
    const std::string both = sql("with row as (" + statement +
                                 " returning 1) select pg_current_xact_id()::xid,"
                                 " pg_current_wal_insert_lsn() - '0/0' from row");
    const auto bar = both.find('|');
    Change change;
    change.table = table_named(app(), table);
    change.op = op;
    change.tx_id = std::stoull(both.substr(0, bar));
    change.position = Position{Lsn(std::stoull(both.substr(bar + 1)) - 1),
                               Lsn(std::stoull(both.substr(bar + 1)))};
    (op == Op::kDelete ? change.before : change.after) = rows_.row(table, fields);
    return change;
  }

  FoldTester rows_;
  PgStore* applier_ = nullptr;
  std::int64_t next_ = 0;
};

}  // namespace tidemark::testing
