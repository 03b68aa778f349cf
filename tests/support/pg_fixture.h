// A database with a small application in it, migrated, for tests of the store.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/store/pg.h"
#include "consumer/store/pg_store.h"

namespace tidemark::testing {

// Indexes into small_declaration()'s aggregates, which are ordered by name.
inline constexpr std::uint32_t kPlaylists = 0;  // integer key; is_album looked up; 2 int counters
inline constexpr std::uint32_t kTags = 1;       // text key; one bigint counter, `uses`
inline constexpr std::uint32_t kUsers = 2;  // integer key; bigint `followers`, smallint `badges`
inline constexpr std::uint32_t kUuids = 3;  // uuid key; one int counter, `uses`

// One watched table, public.playlists, and four aggregates. Nothing contributes: deltas are made
// by hand.
Declaration small_declaration();
// Its tables.
extern const char* const kSmallSchema;

// Makes a delta row by row. Rows must come in key order.
class DeltaBuilder {
 public:
  explicit DeltaBuilder(const Declaration& declaration);
  DeltaBuilder& row(std::uint32_t aggregate, std::int64_t key, std::vector<std::int32_t> deltas);
  DeltaBuilder& row(std::uint32_t aggregate, std::string key, std::vector<std::int32_t> deltas);
  // From `from` to `to` in partition `partition` of topic "t".
  DeltaBuilder& advance(Epoch epoch, std::int64_t from, std::int64_t to,
                        std::int32_t partition = 0);
  Delta build() { return delta_; }

 private:
  void add_deltas(AggregateDelta& aggregate, const std::vector<std::int32_t>& deltas);

  Delta delta_;
};

// Each test has a database of its own on the scratch server.
class StoreTest : public ::testing::Test {
 protected:
  StoreTest();

  // Runs SQL as the superuser, committed; rows as "a|b,c|d", NULL as "null".
  std::string sql(const std::string& text) { return run_sql(superuser_, text); }
  static std::string run_sql(PgConnection& connection, const std::string& text);
  // Waits, with a bound, until the backend waits for a lock; asks through `holder`, which holds it.
  static void await_blocked(PgTransaction& holder, int backend_pid);

  PgOptions options() const;
  // The same as another role, which needs no password.
  PgOptions options_as(const std::string& role) const;
  PgStoreOptions store_options() const;
  void migrate_small();
  // Partition of topic "t".
  static TopicPartition at(std::int32_t partition) { return {"t", Partition(partition)}; }
  // Claims partition 0 and gives its epoch.
  static Epoch claim_one(PgStore& store) { return store.claim(std::vector{at(0)})[0].epoch; }

  Declaration declaration_ = small_declaration();
  std::string dsn_;
  PgConnection superuser_;
};

// The error that `work` throws; a test failure when it throws none.
WorldError error_of(const std::function<void()>& work);

}  // namespace tidemark::testing
