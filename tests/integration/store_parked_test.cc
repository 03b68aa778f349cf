// PgParked: what becomes of parked records that an operator deals with, on a real database.
#include <gmock/gmock.h>

#include <limits>
#include <string>
#include <vector>

#include "consumer/core/fold.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_parked.h"
#include "tests/support/follows_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kSuspects =
    "select counter, key, cause from tidemark.suspects order by counter, key collate \"C\"";
const std::string kParked =
    "select topic, partition, \"offset\" from tidemark.parked order by 1, 2, 3";

class StoreParked : public StoreTest {
 protected:
  StoreParked() {
    sql(kFollowsSchema);
    migrate({options(), "counters", ""}, follows_);
    PgStoreOptions member = store_options();
    member.recounted = true;
    PgStore(follows_, member).claim(std::vector{at(0), at(1)});
    sql("delete from tidemark.suspect_ranges");
  }

  void park(const std::string& topic, int partition, int offset,
            const std::string& code = "bad_json") {
    sql("insert into tidemark.parked (topic, partition, \"offset\", record_timestamp, code, reason,"
        " key, payload, payload_bytes) values ('" +
        topic + "', " + std::to_string(partition) + ", " + std::to_string(offset) + ", 5, '" +
        code + "', 'why', '{}', '\\x7b00ff', 3)");
  }
  // What a new follow of `followee`, read again, touches.
  Delta touching(int followee) {
    fold_.reset(
        std::vector<FoldPartition>{{at(0), Epoch(0), kNotStarted, {}, {.below = Offset(kAll)}}});
    Change change;
    change.table = TableIndex(0);
    change.op = Op::kCreate;
    change.tx_id = 3;
    change.after = {std::int64_t{1}, std::int64_t{followee}, true};
    Record record;
    record.topic = "t";
    record.offset = Offset(1);
    fold_.add_change(record, change);
    return fold_.take();
  }
  std::vector<std::int64_t> offsets(const ParkedBounds& bounds) {
    std::vector<std::int64_t> found;
    for (const ParkedDetail& one : parked_.read(bounds, std::nullopt, 100)) {
      found.push_back(one.row.offset.value);
    }
    EXPECT_EQ(parked_.count(bounds), found.size());
    return found;
  }

  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
  const Declaration follows_ = with_follows();
  PgParked parked_{follows_, options(), "counters"};
  Fold fold_{follows_, NotNewPolicy::kSuspect};
};

TEST_F(StoreParked, OnlyThoseWithinAllBoundsAreMeant) {
  park("t", 0, 1);
  park("t", 0, 2, "too_large");
  park("t", 0, 3);
  park("t", 1, 2);
  park("u", 0, 4);
  EXPECT_THAT(offsets({}), ElementsAre(1, 2, 3, 2, 4));
  EXPECT_THAT(offsets({.topic = "u"}), ElementsAre(4));
  EXPECT_THAT(offsets({.topic = "t", .partition = Partition(1)}), ElementsAre(2));
  EXPECT_THAT(offsets({.from = Offset(2), .to = Offset(3)}), ElementsAre(2, 3, 2));
  EXPECT_THAT(offsets({.code = "too_large"}), ElementsAre(2));
  EXPECT_THAT(offsets({.topic = "none"}), IsEmpty());
}

TEST_F(StoreParked, TheyAreReadBatchByBatchAsTheyWereKept) {
  park("t", 0, 1);
  park("t", 1, 1);
  park("u", 0, 0);
  const auto first = parked_.read({}, std::nullopt, 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].payload, std::string("{\0\xff", 3));
  const auto rest = parked_.read({}, ParkedPlace{at(1), Offset(1)}, 2);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].row.where.topic, "u");
}

TEST_F(StoreParked, WhatOneNamesIsRecountedAndNothingIsCounted) {
  park("t", 0, 1);
  park("t", 0, 2);
  const std::string progress = sql("select * from tidemark.progress order by partition");
  EXPECT_EQ(parked_.settle(touching(7), std::vector{ParkedPlace{at(0), Offset(1)}}).cells, 1U);
  EXPECT_EQ(sql(kSuspects), "followers|7|replay");
  EXPECT_EQ(sql("select * from public.aggregate_user"), "");
  EXPECT_EQ(sql("select * from tidemark.progress order by partition"), progress);
  EXPECT_EQ(sql(kParked), "t|0|2");
}

TEST_F(StoreParked, ARowGoesWithItsMarksOrNotAtAll) {
  park("t", 0, 1);
  sql("alter table tidemark.suspects add constraint broken check (key <> '7')");
  error_of([&] { parked_.settle(touching(7), std::vector{ParkedPlace{at(0), Offset(1)}}); });
  EXPECT_EQ(sql(kParked), "t|0|1") << "gone without what it named: its cells would stay wrong";
}

TEST_F(StoreParked, TwoOperatorsAtOnceOnlyRecountTwice) {
  park("t", 0, 1);
  const std::vector place{ParkedPlace{at(0), Offset(1)}};
  parked_.settle(touching(7), place);
  PgParked other(follows_, options(), "counters");
  other.settle(touching(7), place);
  EXPECT_EQ(sql(kSuspects), "followers|7|replay");
}

TEST_F(StoreParked, AnotherGroupsStateIsRefused) {
  PgParked other(follows_, options(), "others");
  EXPECT_EQ(error_of([&] { other.count({}); }).kind(), ErrorKind::kConfig);
}

}  // namespace
}  // namespace tidemark::testing
