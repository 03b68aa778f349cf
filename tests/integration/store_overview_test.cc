// OverviewReader: what a status page shows of the stored state.
#include <gmock/gmock.h>

#include <chrono>

#include "consumer/store/overview.h"
#include "consumer/store/slot_look.h"
#include "tests/support/pg_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;

constexpr std::chrono::seconds kPatience{60};

class StoreOverview : public StoreTest {
 protected:
  StoreOverview() {
    migrate_small();
    store_.claim(std::vector{at(0), at(1)});
  }

  // A busy machine may need longer than the second that a look is given: then another one.
  template <typename Look>
  static auto patiently(Look look) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (true) {
      try {
        return look();
      } catch (const WorldError&) {
        if (std::chrono::steady_clock::now() > until) throw;
      }
    }
  }
  Overview read() {
    return patiently([this] { return reader_.read(); });
  }

  PgStore store_{declaration_, store_options()};
  OverviewReader reader_{options()};
};

TEST_F(StoreOverview, ShowsHowFarEachPartitionIsAndWhose) {
  store_.apply(DeltaBuilder(declaration_).advance(Epoch(1), -1, 42).build());
  const Overview seen = read();
  ASSERT_EQ(seen.partitions.size(), 2U);
  EXPECT_EQ(seen.partitions[0].where, at(0));
  EXPECT_EQ(seen.partitions[0].next, Offset(42));
  EXPECT_EQ(seen.partitions[0].owner, "member-1");
  EXPECT_EQ(seen.partitions[1].next, kNotStarted);
}

TEST_F(StoreOverview, ShowsPassesDriftAndWhoWaits) {
  sql("insert into tidemark.passes (cause, aggregates, started_at, ended_at, cells) values "
      "('schedule', '{a}', now() - interval '90 s', now() - interval '60 s', 7), "
      "('suspect', '{a}', now(), now(), 1), ('schedule', '{a}', now(), null, 3)");
  sql("insert into tidemark.drift (aggregate, counter, key, expected, found, difference, fence) "
      "values ('public.a', 'n', 'secret', 4, 6, -2, 9)");
  sql("insert into tidemark.dirty (user_id, rules, error) values (1, '{fp,rd}', null), "
      "(2, '{fp}', 'fp 22012')");
  const Overview seen = read();
  ASSERT_TRUE(seen.last && seen.going);
  EXPECT_EQ(seen.last->cells, 7) << "a pass over suspects is none over everything";
  EXPECT_THAT(*seen.last->ended_seconds, AllOf(Ge(60), Le(600)));
  EXPECT_EQ(seen.going->cells, 3);
  ASSERT_EQ(seen.drift.size(), 1U);
  EXPECT_EQ(seen.drift[0].difference, -2);
  EXPECT_EQ(seen.counts.drift, 1U);
  ASSERT_EQ(seen.waiting.size(), 2U);
  EXPECT_EQ(seen.waiting[0].rule, "fp");
  EXPECT_EQ(seen.waiting[0].users, 2);
  EXPECT_EQ(seen.waiting[0].failed, 1);
  EXPECT_EQ(seen.waiting[1].users, 1);
  EXPECT_EQ(seen.counts.dirty, 2U);
  EXPECT_EQ(seen.counts.failed, 1U);
}

TEST_F(StoreOverview, CostsNoMoreThanABoundHoweverMuchWaits) {
  sql("insert into tidemark.suspects (aggregate, counter, key, cause) "
      "select 'public.a', 'n', k::text, 'replay' from generate_series(1, 120000) k");
  const Overview seen = read();
  EXPECT_EQ(seen.counts.suspect_cells, OverviewReader::kCountMax);
  EXPECT_LT(seen.suspect_oldest_seconds.value_or(1'000), 600);
}

// Somebody who holds a table must not hold the page.
TEST_F(StoreOverview, GivesUpSoonWhenPostgresDoesNotAnswer) {
  PgConnection other(options());
  PgTransaction holds(other);
  holds.run_sql({"hold", ""}, "lock table tidemark.drift in access exclusive mode");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW(reader_.read(), WorldError);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kPatience);
  holds.roll_back();
  EXPECT_EQ(read().partitions.size(), 2U);
}

// --- the source, where it is a second database --------------------------------------------------

TEST_F(StoreOverview, ASlotIsShownWithHowFarItIsBehind) {
  const std::string name = "slot_" + sql("select current_database()");
  SlotLook look(options(), name);
  EXPECT_FALSE(look.look().slot.value().there);
  const std::string confirmed =
      sql("select lsn from pg_create_logical_replication_slot('" + name + "', 'pgoutput')");
  sql("select pg_logical_emit_message(true, 'fill', repeat('x', 100000))");
  const SourceView seen = look.look();
  EXPECT_EQ(seen.slot_name, name);
  EXPECT_TRUE(seen.slot->there);
  EXPECT_FALSE(seen.slot->active);
  EXPECT_EQ(seen.slot->confirmed, confirmed);
  EXPECT_GT(seen.slot->behind_bytes.value(), 100'000);
  EXPECT_LT(seen.slot->behind_bytes.value(), 50'000'000);
  sql("select pg_drop_replication_slot('" + name + "')");
}

TEST_F(StoreOverview, ASourceThatCannotBeReachedIsToldAndFoundAgain) {
  PgOptions source = options();
  source.connection += " user=nobody_yet";
  SlotLook look(source, "debezium");
  const SourceView lost = look.look();
  EXPECT_FALSE(lost.slot);
  EXPECT_THAT(lost.trouble, ::testing::HasSubstr("the role is unknown"));
  sql("create role nobody_yet login");
  EXPECT_TRUE(look.look().slot);
  sql("drop role nobody_yet");
}

}  // namespace
}  // namespace tidemark::testing
