// LiveStatus: looks at a group whose database goes and comes back.
#include "consumer/service/live_status.h"

#include <gmock/gmock.h>

#include <algorithm>
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

using Steady = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{60};
constexpr int kMore = 6;  // records from one try to the next

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
  // Lines of a look; none when Postgres needed longer for it than it is given, on a busy machine.
  static std::vector<std::string> look(LiveStatus& status) {
    try {
      return status.look();
    } catch (const WorldError&) {
      return {};
    }
  }
  static bool shows_lag(const std::vector<std::string>& lines) {
    return std::ranges::any_of(lines, [](const std::string& line) {
      return line.starts_with("lag ") && line.find("not known") == std::string::npos;
    });
  }
  static bool is_current(const std::vector<std::string>& lines) {
    return !lines.empty() && std::ranges::none_of(lines, [](const std::string& line) {
      return line.find("NO LOOK") != std::string::npos;
    });
  }
  // The first one for which Postgres had the time.
  static std::vector<std::string> current_look(LiveStatus& status) {
    const auto until = Steady::now() + kPatience;
    while (true) {
      std::vector<std::string> lines = look(status);
      if (is_current(lines) || Steady::now() > until) return lines;
    }
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
  std::int64_t next = 2;
  apply(epoch, -1, next);
  kafka_.produce_numbers("t", 0, 0, 3);
  std::vector<std::string> first;
  std::vector<std::string> second;
  // Each look may take a second only, which a busy machine may not have: then again.
  const auto until = Steady::now() + kPatience;
  do {
    kafka_.produce_numbers("t", 0, 0, kMore);
    LiveStatus status(live_options());
    first = look(status);
    apply(epoch, next, next + kMore);
    next += kMore;
    second = look(status);
  } while (!(shows_lag(first) && shows_lag(second) && is_current(second)) && Steady::now() < until);
  EXPECT_THAT(first, Contains("lag           7 records"));
  EXPECT_THAT(first, Contains("applied       - records/s"));
  EXPECT_THAT(first, Contains(HasSubstr("member-1")));
  EXPECT_THAT(second, Contains(HasSubstr("lag           1 records, shrinking by ")));
  EXPECT_THAT(second, Not(Contains("applied       - records/s")));
}

TEST_F(LiveStatusTest, ADatabaseThatIsLostIsToldAndFoundAgain) {
  LiveStatus never(live_options());
  EXPECT_EQ(error_of([&] { never.look(); }).kind(), ErrorKind::kConfig) << "nothing was migrated";

  migrate_small();
  store_ = std::make_unique<PgStore>(declaration_, store_options());
  apply(claim_one(*store_), -1, 42);
  LiveStatus status(live_options());
  ASSERT_TRUE(is_current(current_look(status)));
  lose_database();
  for (int i = 0; i < 2; ++i) {
    const std::vector<std::string> lines = status.look();
    EXPECT_THAT(lines[1], HasSubstr("NO LOOK AT POSTGRES for "));
    EXPECT_THAT(lines.back(), HasSubstr("            42 ")) << "the last figures";
  }
  find_database();
  EXPECT_TRUE(is_current(current_look(status)));
}

TEST_F(LiveStatusTest, WithoutKafkaItShowsWhatPostgresSays) {
  migrate_small();
  store_ = std::make_unique<PgStore>(declaration_, store_options());
  apply(claim_one(*store_), -1, 42);
  LiveStatus status(live_options());
  kafka_.set_down();
  const std::vector<std::string> lines = current_look(status);
  EXPECT_THAT(lines, Contains(HasSubstr("lag           not known: kafka: ")));
  EXPECT_THAT(lines.back(), HasSubstr("            42 "));
}

}  // namespace
}  // namespace tidemark::testing
