// LiveStatus: looks at a group whose database goes and comes back.
#include "consumer/service/live_status.h"

#include <gmock/gmock.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/mock_kafka.h"
#include "tests/support/pg_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class LiveStatusTest : public StoreTest {
 protected:
  LiveStatusTest() { kafka_.create_topic("t", 1); }

  LiveStatusOptions live_options() {
    return {.pg = options(),
            .kafka = kafka_.properties("counters"),
            .group = "counters",
            .interval = std::chrono::seconds(2),
            .source = std::nullopt,
            .slot = ""};
  }
  void apply(Epoch epoch, std::int64_t from, std::int64_t to) {
    store_->apply(DeltaBuilder(declaration_).advance(epoch, from, to).build());
  }
  // One that the database serves no more.
  void lose_database() {
    const std::string name = sql("select current_database()");
    PgOptions elsewhere = options();
    elsewhere.connection += " dbname=postgres";
    PgConnection other(elsewhere);
    other.run_alone("lose", "alter database " + name + " allow_connections false");
    other.run_alone(
        "lose", "select pg_terminate_backend(pid) from pg_stat_activity where datname = '" + name +
                    "' and application_name = 'tidemark status'");
  }
  void find_database() {
    sql("update pg_database set datallowconn = true where datname = current_database()");
  }

  MockKafka kafka_;
  std::unique_ptr<PgStore> store_;
};

TEST_F(LiveStatusTest, ShowsLagAndRatesFromItsSecondLookOn) {
  migrate_small();
  store_ = std::make_unique<PgStore>(declaration_, store_options());
  const Epoch epoch = claim_one(*store_);
  kafka_.produce_numbers("t", 0, 0, 9);
  apply(epoch, -1, 2);
  LiveStatus status(live_options());
  std::vector<std::string> lines = status.look();
  EXPECT_THAT(lines, Contains("lag           7 records"));
  EXPECT_THAT(lines, Contains("applied       - records/s"));
  EXPECT_THAT(lines.back(), HasSubstr("member-1"));
  apply(epoch, 2, 8);
  lines = status.look();
  EXPECT_THAT(lines, Contains(HasSubstr("lag           1 records, shrinking by ")));
  EXPECT_THAT(lines, Not(Contains("applied       - records/s")));
}

TEST_F(LiveStatusTest, ADatabaseThatIsLostIsToldAndFoundAgain) {
  LiveStatus never(live_options());
  EXPECT_EQ(error_of([&] { never.look(); }).kind(), ErrorKind::kConfig) << "nothing was migrated";

  migrate_small();
  store_ = std::make_unique<PgStore>(declaration_, store_options());
  apply(claim_one(*store_), -1, 42);
  LiveStatus status(live_options());
  status.look();
  lose_database();
  for (int i = 0; i < 2; ++i) {
    const std::vector<std::string> lines = status.look();
    EXPECT_THAT(lines[1], HasSubstr("NO LOOK AT POSTGRES for "));
    EXPECT_THAT(lines.back(), HasSubstr("            42 ")) << "the last figures";
  }
  find_database();
  EXPECT_THAT(status.look(), Not(Contains(HasSubstr("NO LOOK"))));
}

TEST_F(LiveStatusTest, WithoutKafkaItShowsWhatPostgresSays) {
  migrate_small();
  store_ = std::make_unique<PgStore>(declaration_, store_options());
  apply(claim_one(*store_), -1, 42);
  LiveStatus status(live_options());
  kafka_.set_down();
  const std::vector<std::string> lines = status.look();
  EXPECT_THAT(lines, Contains(HasSubstr("lag           not known: kafka: ")));
  EXPECT_THAT(lines.back(), HasSubstr("            42 "));
}

}  // namespace
}  // namespace tidemark::testing
