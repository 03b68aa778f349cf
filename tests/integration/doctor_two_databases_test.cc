// What `tidemark doctor` finds where rows and cells are in two databases (DESIGN F10).
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "consumer/service/doctor.h"
#include "consumer/store/grants.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_doctor.h"
#include "tests/support/follows_fixture.h"
#include "tests/support/scratch_postgres.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kRole = "tidemark_run";

PgOptions a_source() {
  PgOptions options;
  options.connection = ScratchPostgres::another().make_database("source");
  return options;
}

class DoctorOfTwoDatabases : public FollowsTest {
 protected:
  DoctorOfTwoDatabases() : DoctorOfTwoDatabases(a_source()) {}

  PgDoctorOptions doctor_options() {
    PgDoctorOptions options{.pg = options_as(kRole), .group_id = "counters", .slot = "debezium"};
    options.source = source_;
    options.source->connection += std::string(" user=") + kRole;
    return options;
  }
  Diagnosis look(const PgDoctorOptions& options) {
    PgDoctor doctor(follows_, options);
    return diagnose(doctor.checks());
  }
  std::vector<std::string> found(const PgDoctorOptions& options) {
    std::vector<std::string> lines;
    for (const CheckResult& check : look(options).checks) {
      for (const Finding& finding : check.findings) {
        lines.push_back(check.name + ": " + finding.what);
      }
    }
    return lines;
  }

  PgOptions source_;

 private:
  explicit DoctorOfTwoDatabases(const PgOptions& source) : FollowsTest(source), source_(source) {
    const std::string there = "select count(*) from pg_roles where rolname = 'tidemark_run'";
    if (sql(there) == "0") sql("create role tidemark_run login");
    if (rows_sql(there) == "0") rows_sql("create role tidemark_run login");
    migrate({PgOptions(options()), "counters", kRole}, follows_);
    sql(target_grants_sql(follows_, kRole));
    rows_sql(source_grants_sql(follows_, kRole));
    rows_sql("create publication doctor for table public.follows, public.playlists");
    // A cell in the target, whose recount is planned in the source.
    sql("insert into public.aggregate_user (user_id) values (7)");
  }
};

// Nobody reads the slot in these tests, and that is all that is wrong.
TEST_F(DoctorOfTwoDatabases, EachIsLookedAtForWhatItHas) {
  EXPECT_THAT(found(doctor_options()), ElementsAre("slot: there is no replication slot debezium"));
}

TEST_F(DoctorOfTwoDatabases, AServerOfTheSourceThatNobodyVerifiesAndARoleThatMayTooMuchThere) {
  PgDoctorOptions options = doctor_options();
  const std::string port = std::to_string(ScratchPostgres::another().port());
  options.source->connection += " host=127.0.0.1,db.example.org port=" + port + "," + port;
  rows_sql("grant delete on public.follows to tidemark_run");
  EXPECT_THAT(found(options),
              ElementsAre("tls of the source: the connection to db.example.org is not encrypted",
                          "role of the source: tidemark_run may write watched tables: "
                          "public.follows",
                          HasSubstr("slot: ")));
  EXPECT_THAT(text_of(look(options)), HasSubstr("sslrootcert=FILE in [source] connection"));
}

TEST_F(DoctorOfTwoDatabases, ABigTableOfTheSourceThatIsReadAsAWholeForOneKey) {
  rows_sql(
      "drop index public.follows_followee_idx;"
      "insert into public.follows select i, i, true from generate_series(1, 300000) as i;"
      "analyze public.follows");
  EXPECT_THAT(found(doctor_options()),
              ElementsAre(HasSubstr("slot: "),
                          HasSubstr("plans: the recount of single rows of public.aggregate_user "
                                    "reads all of public.follows")));
}

}  // namespace
}  // namespace tidemark::testing
