// A small application with follows, and its store and recounter: for tests of what they do
// together.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/fold.h"
#include "consumer/core/verification.h"
#include "consumer/store/pg_recount.h"
#include "consumer/store/pg_verify.h"
#include "tests/support/pg_fixture.h"

namespace tidemark::testing {

// small_declaration() and public.follows: a live row adds one to its followee's followers.
Declaration with_follows();
extern const char* const kFollowsSchema;

// What a row of it counts up to.
inline constexpr const char* kFollowers =
    "select user_id, followers from public.aggregate_user order by 1";

// A migrated database with follows, claimed, everything suspect as at a start. With a source, the
// watched tables are there and nowhere else (F10).
class FollowsTest : public StoreTest {
 protected:
  explicit FollowsTest(const std::optional<PgOptions>& source = std::nullopt);

  // sql() where the rows are.
  std::string rows_sql(const std::string& text) {
    return rows_ ? run_sql(*rows_, text) : sql(text);
  }

  void claim();
  // Inserts a live row, and gives the event that it makes: its transaction and its place in the
  // log.
  Change follow(int id, int followee);
  // The row is live no longer; or again.
  Change unfollow(int id, int followee) { return set_live(id, followee, false); }
  Change follow_again(int id, int followee) { return set_live(id, followee, true); }
  void fold(const Change& change);
  ApplyResult apply() { return store_.apply(fold_.take()); }
  ApplyResult apply(const Change& change);

  SliceResult recount(KeySet keys);
  SliceResult recount_all() { return recount(KeySet{}); }
  SliceResult recount_key(const std::string& key) { return recount(KeySet{.listed = {{key}}}); }
  // The pass that every state begins with.
  void first_pass();
  std::optional<Pass> pass_in_hand();
  void move(const Pass& pass, std::size_t rows = 1'000);
  std::vector<DriftRow> drop_all();
  // As if the state had run for long: nothing suspect, no fence.
  void settle();

  // What verify sees of the users.
  static VerifyLook look(PgVerify& verify);
  // And what it makes of it: `on_the_way` follows the stored offsets, by partition.
  Verification verification_of(const VerifyLook& look,
                               const std::vector<std::vector<Change>>& on_the_way) const;

  const Declaration follows_ = with_follows();
  std::unique_ptr<PgConnection> rows_;  // to the source
  PgStore store_;
  PgRecount recount_;
  Fold fold_;
  std::int64_t next_ = 0;

 private:
  // Runs it, and gives of its event what the database says.
  Change write(const std::string& statement);
  Change set_live(int id, int followee, bool live);
};

}  // namespace tidemark::testing
