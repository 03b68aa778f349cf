// Recounted columns in a declaration: what is read, what is refused, what the hash covers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "consumer/core/declaration_toml.h"
#include "tests/support/declaration_text.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using testing::with;

using Texts = std::vector<std::string>;

const std::string kVotes = R"(table = "public.votes"
primary_key = ["id"]
[columns]
id = "bigint"
voter = { type = "integer", nullable = true }
kind = "text"
[[contributes]]
aggregate = "public.voters"
key = "voter"
counter = "votes"
)";
const std::string kVoters = R"(aggregate = "public.voters"
counters = ["votes"]
[key]
column = "voter_id"
type = "integer"
[recounted.favourite]
columns = ["favourite", "favourite_votes"]
sql = "../sql/favourite.sql"
[[recounted.favourite.from]]
table = "public.votes"
key = "voter"
)";
const std::string kSql = "select voter as voter_id from votes where voter = any($1)";

auto parse(const std::string& aggregate, const std::string& sql = kSql,
           const std::string& votes = kVotes) {
  const std::vector<DeclarationFile> files = {{"d/tables/votes.toml", votes},
                                              {"d/aggregates/voters.toml", aggregate}};
  return parse_declaration(files,
                           [&](const std::filesystem::path& path) -> std::optional<std::string> {
                             if (path.lexically_normal() == "d/sql/favourite.sql") return sql;
                             return std::nullopt;
                           });
}

Texts errors_of(const std::string& aggregate, const std::string& sql = kSql) {
  return testing::error_texts(parse(aggregate, sql));
}

Texts errors_when(const std::string& old_part, const std::string& new_part) {
  return errors_of(with(kVoters, old_part, new_part));
}

std::string hash_of(const std::string& aggregate, const std::string& sql = kSql,
                    const std::string& votes = kVotes) {
  return declaration_hash(std::get<Declaration>(parse(aggregate, sql, votes)));
}

TEST(DeclarationRecounted, ColumnsStatementAndSourcesAreRead) {
  ASSERT_THAT(errors_of(kVoters), IsEmpty());
  const Declaration d = std::get<Declaration>(parse(kVoters));
  const Aggregate& voters = d.aggregates.at(0);
  const RecountedColumns& group = voters.recounted.at(0);
  EXPECT_EQ(group.name, "favourite");
  EXPECT_THAT(group.columns, ElementsAre("favourite", "favourite_votes"));
  EXPECT_EQ(group.sql, kSql) << "found relative to the file that names it";
  ASSERT_EQ(group.from.size(), 1U);
  EXPECT_EQ(d.table(group.from[0].table).columns[group.from[0].key.value].name, "voter");
  EXPECT_EQ(voters.cells(), 2U);
  EXPECT_EQ(voters.cell_name(CounterIndex(0)), "votes");
  EXPECT_EQ(voters.cell_name(voters.recounted_cell(0)), "favourite");
}

TEST(DeclarationRecounted, TheShippedOneIsTheDominantGenre) {
  const auto loaded = load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/schemas");
  const auto& d = std::get<Declaration>(loaded);
  Texts groups;
  for (const Aggregate& aggregate : d.aggregates) {
    for (const RecountedColumns& group : aggregate.recounted) {
      groups.push_back(aggregate.name.name + "." + group.name);
      EXPECT_THAT(group.columns, UnorderedElementsAre("dominant_genre", "dominant_genre_count"));
      EXPECT_THAT(group.sql, HasSubstr("collate \"C\""));
    }
  }
  EXPECT_THAT(groups, ElementsAre("aggregate_user.dominant_genre"));
}

TEST(DeclarationRecounted, ASlipIsNamedWithItsPlace) {
  EXPECT_THAT(
      errors_when("sql = ", "query = "),
      UnorderedElementsAre(
          HasSubstr("d/aggregates/voters.toml:8:1: unknown key 'query'; expected 'columns',"),
          HasSubstr("missing key 'sql'")));
  EXPECT_THAT(errors_when("public.votes", "public.vote"),
              ElementsAre(HasSubstr("voters.toml:10:9: unknown table 'public.vote'")));
  EXPECT_THAT(errors_when("\"voter\"\n", "\"votr\"\n"),
              ElementsAre(HasSubstr("voters.toml:11:7: unknown column 'votr'")));
  EXPECT_THAT(errors_when("\"voter\"\n", "\"kind\"\n"),
              ElementsAre(HasSubstr("holds keys of public.voters, which are integer")));
  EXPECT_THAT(errors_when("[[recounted.favourite.from]]\n", "[[recounted.favourite.of]]\n"),
              UnorderedElementsAre(HasSubstr("unknown key 'of'"), HasSubstr("missing [[from]]")));
}

TEST(DeclarationRecounted, AColumnHasOneUse) {
  EXPECT_THAT(errors_when("\"favourite\", ", "\"votes\", "),
              ElementsAre(HasSubstr("voters.toml:7:12: 'votes' is the key, a counter, looked up")));
  EXPECT_THAT(errors_when("\"favourite\", ", "\"voter_id\", "),
              ElementsAre(HasSubstr("'voter_id' is the key, a counter, looked up")));
  EXPECT_THAT(errors_when("\"favourite\", ", "\"favourite_votes\", "),
              ElementsAre(HasSubstr("stands twice")));
  const std::string again =
      with(kVoters.substr(kVoters.find("[recounted.")), "[recounted.favourite", "[recounted.again");
  EXPECT_THAT(
      errors_of(kVoters + with(again, "[[recounted.favourite", "[[recounted.again")),
      UnorderedElementsAre(HasSubstr("'favourite' is the key, a counter, looked up or recounted"),
                           HasSubstr("'favourite_votes' is the key, a counter, looked up")));
}

// Both are stored by their names, in one place.
TEST(DeclarationRecounted, AGroupHasNoCountersName) {
  const std::string votes = with(with(kVoters, "[recounted.favourite]", "[recounted.votes]"),
                                 "[[recounted.favourite.from]]", "[[recounted.votes.from]]");
  EXPECT_THAT(errors_of(votes), ElementsAre(HasSubstr("'votes' is a counter")));
}

TEST(DeclarationRecounted, AStatementThatIsNotThereOrTakesNoKeys) {
  EXPECT_THAT(errors_when("favourite.sql", "favorite.sql"),
              ElementsAre(HasSubstr("voters.toml:8:7: the statement's file d/sql/favorite.sql "
                                    "can't be read")));
  EXPECT_THAT(errors_of(kVoters, "select 1"), ElementsAre(HasSubstr("doesn't name $1")));
}

TEST(DeclarationRecounted, AWrongFormIsNamed) {
  const std::string head = kVoters.substr(0, kVoters.find("[recounted."));
  EXPECT_THAT(errors_of(head + "[recounted]\n"), ElementsAre(HasSubstr("[recounted] is empty")));
  EXPECT_THAT(errors_of(head + "[recounted]\nfavourite = 1\n"),
              ElementsAre(HasSubstr("recounted 'favourite' is an integer; expected a table")));
  const std::string again = kVoters.substr(kVoters.find("[[recounted"));
  EXPECT_THAT(errors_of(kVoters + again), ElementsAre(HasSubstr("the same [[from]] stands twice")));
}

// A member that computes or notices otherwise may not work on the same state (rule P5).
TEST(DeclarationRecounted, TheHashCoversStatementColumnsAndWhatIsNoticed) {
  std::vector<std::string> hashes = {hash_of(kVoters), hash_of(kVoters, kSql + " order by 1"),
                                     hash_of(with(kVoters, "\"favourite\", ", "\"best\", ")),
                                     hash_of(kVoters, kSql, with(kVotes, "kind", "sort")),
                                     hash_of(kVoters.substr(0, kVoters.find("[recounted.")))};
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::unique(hashes.begin(), hashes.end()), hashes.end());
}

}  // namespace
}  // namespace tidemark
