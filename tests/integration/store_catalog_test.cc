// check_catalog: what is told of a declaration that doesn't fit the database.
#include <gmock/gmock.h>

#include "consumer/store/catalog.h"
#include "tests/support/pg_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Catalog : public StoreTest {
 protected:
  std::vector<CatalogProblem> check() { return check_catalog(superuser_, declaration_); }
  // "severity column: found" of each problem.
  std::vector<std::string> told() { return told(check()); }
  static std::vector<std::string> told(const std::vector<CatalogProblem>& problems) {
    std::vector<std::string> lines;
    for (const CatalogProblem& problem : problems) {
      lines.push_back((problem.severity == Severity::kError ? "error " : "warning ") +
                      problem.column + ": " + problem.found);
    }
    return lines;
  }
  Table& playlists() { return declaration_.tables[0]; }
};

TEST_F(Catalog, FittingDeclarationHasNoProblems) {
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_TRUE(playlists().replica_full);
}

TEST_F(Catalog, ProblemNamesFileTableAndWhatToDo) {
  sql("alter table public.aggregate_tag drop column uses");
  const auto problems = check();
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].text(),
            "schemas/aggregates/aggregate_tag.toml: public.aggregate_tag.uses: found no such "
            "column, expected a column of this name: correct the declaration, or add the column");
}

TEST_F(Catalog, MissingTableAndView) {
  sql("drop table public.aggregate_tag; alter table public.playlists rename to p;"
      "create view public.playlists as select * from public.p");
  EXPECT_THAT(told(), ElementsAre("error : a view or the like", "error : no such table"));
}

TEST_F(Catalog, OtherTypeAndNullability) {
  sql("alter table public.playlists alter column is_album type text, alter column is_current"
      " drop not null");
  EXPECT_THAT(told(),
              ElementsAre("error is_album: text", "error is_current: a column that may be null"));
}

TEST_F(Catalog, OtherPrimaryKey) {
  playlists().primary_key = {ColumnIndex(0)};
  EXPECT_THAT(told(), ElementsAre("error : primary key playlist_id, txhash"));
}

TEST_F(Catalog, PrimaryKeyInAnotherOrderIsTheSame) {
  std::swap(playlists().primary_key[0], playlists().primary_key[1]);
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(Catalog, EnumValuesOnEitherSideOnly) {
  sql("create type public.kind as enum ('a', 'b'); alter table public.playlists"
      " add column kind public.kind not null");
  Column kind;
  kind.name = "kind";
  kind.type = ColumnType::kEnum;
  kind.values = {"a", "c"};
  playlists().columns.push_back(kind);
  EXPECT_THAT(told(), ElementsAre("error kind: no enum value c",
                                  "error kind: enum value b that is not declared"));
}

TEST_F(Catalog, TimestampPrecisionDecidesTheUnit) {
  sql("alter table public.playlists add column at timestamp(3) not null");
  Column at;
  at.name = "at";
  at.type = ColumnType::kTimestamp;
  playlists().columns.push_back(at);
  EXPECT_THAT(told(), ElementsAre("error at: timestamp(3)"));
  playlists().columns.back().timestamp_in_millis = true;
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(Catalog, PartialReplicaIdentityIsAWarningAndStored) {
  sql("alter table public.playlists replica identity default");
  EXPECT_THAT(told(), ElementsAre("warning : replica identity is not full"));
  EXPECT_FALSE(playlists().replica_full);
}

TEST_F(Catalog, AggregateWithoutUniqueKey) {
  sql("alter table public.aggregate_tag drop constraint aggregate_tag_pkey;"
      "create unique index on public.aggregate_tag (tag) where uses > 0");
  EXPECT_THAT(told(), ElementsAre("error tag: no unique index on this column alone"));
}

TEST_F(Catalog, AggregateRowThatCouldNotBeInserted) {
  sql("alter table public.aggregate_tag add column must text not null, add column may text not"
      " null default ''");
  EXPECT_THAT(told(), ElementsAre("error must: not null without a default"));
}

TEST_F(Catalog, CounterThatIsNoIntegerOrHasACheck) {
  sql("alter table public.aggregate_tag alter column uses type numeric;"
      "alter table public.aggregate_user add check (followers >= 0)");
  EXPECT_THAT(told(), ElementsAre("error uses: numeric", "warning followers: a CHECK constraint"));
}

TEST_F(Catalog, LookupOfAnotherTypeThanItsSource) {
  sql("alter table public.aggregate_playlist alter column is_album type text");
  EXPECT_THAT(told(), ElementsAre("error is_album: text"));
}

TEST_F(Catalog, LookupThatCanNotBeNull) {
  sql("alter table public.aggregate_playlist alter column is_album set not null");
  EXPECT_THAT(told(), ElementsAre("error is_album: a column that can't be null"));
}

TEST_F(Catalog, MissingRightsOfTheCurrentRole) {
  sql("drop role if exists store_test_reader; create role store_test_reader login;"
      "grant select on all tables in schema public to store_test_reader;"
      "grant insert, update on public.aggregate_playlist, public.aggregate_user,"
      " public.aggregate_uuid to store_test_reader;"
      "grant insert on public.aggregate_tag to store_test_reader");
  PgConnection reader(options_as("store_test_reader"));
  const auto problems = check_catalog(reader, declaration_);
  EXPECT_THAT(told(problems), ElementsAre("error uses: the current role may not update"));
  EXPECT_THAT(problems.at(0).action, HasSubstr("--print-grants"));
}

}  // namespace
}  // namespace tidemark::testing
