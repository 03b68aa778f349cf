// Milestones in a declaration: what is read, what is refused, what the hash covers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "consumer/core/declaration_toml.h"
#include "consumer/core/milestone_sql.h"
#include "tests/support/declaration_text.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using testing::with;

using Texts = std::vector<std::string>;

const std::string kVotes = R"(table = "public.votes"
primary_key = ["id"]
[columns]
id = "bigint"
poll = "integer"
voter = { type = "integer", nullable = true }
at = "timestamp"
kind = "text"
[active]
kind = "yes"
[[contributes]]
aggregate = "public.polls"
key = "poll"
counter = "votes"
details = ["at", "voter"]
[[contributes]]
aggregate = "public.polls"
key = "voter"
counter = "others"
)";
const std::string kPolls = R"(aggregate = "public.polls"
counters = ["votes", "others"]
[key]
column = "poll"
type = "integer"
[milestones]
sql = "../sql/polls.sql"
reads = ["public.people.score"]
inserts = ["public.news"]
sequences = ["public.news_id_seq"]
[milestones.counters.votes]
name = "VOTES"
thresholds = [3, 5, 10]
)";
const std::string kSql = "insert into news select unnest($1::integer[])";

auto parse(const std::string& polls, const std::string& votes = kVotes,
           const std::string& sql = kSql) {
  const std::vector<DeclarationFile> files = {{"d/tables/votes.toml", votes},
                                              {"d/aggregates/polls.toml", polls}};
  return parse_declaration(files,
                           [&](const std::filesystem::path& path) -> std::optional<std::string> {
                             if (path.lexically_normal() == "d/sql/polls.sql") return sql;
                             return std::nullopt;
                           });
}

Texts errors_of(const std::string& polls, const std::string& votes = kVotes) {
  return testing::error_texts(parse(polls, votes));
}
Texts errors_when(const std::string& old_part, const std::string& new_part) {
  return errors_of(with(kPolls, old_part, new_part));
}
Texts errors_when_votes(const std::string& old_part, const std::string& new_part) {
  return errors_of(kPolls, with(kVotes, old_part, new_part));
}

std::string hash_of(const std::string& polls, const std::string& votes = kVotes,
                    const std::string& sql = kSql) {
  return declaration_hash(std::get<Declaration>(parse(polls, votes, sql)));
}

TEST(DeclarationMilestones, CountersStatementAndRightsAreRead) {
  ASSERT_THAT(errors_of(kPolls), IsEmpty());
  const Declaration d = std::get<Declaration>(parse(kPolls));
  const Milestones& milestones = d.aggregates.at(0).milestones;
  ASSERT_EQ(milestones.counters.size(), 1U);
  EXPECT_EQ(milestones.counters[0].counter, CounterIndex(0));
  EXPECT_EQ(milestones.counters[0].name, "VOTES");
  EXPECT_THAT(milestones.counters[0].thresholds, ElementsAre(3, 5, 10));
  EXPECT_EQ(milestones.sql, kSql) << "found relative to the file that names it";
  EXPECT_EQ(milestones.reads.at(0).table.text() + "/" + milestones.reads[0].column,
            "public.people/score");
  EXPECT_EQ(milestones.inserts.at(0).text(), "public.news");
  EXPECT_EQ(milestones.sequences.at(0).text(), "public.news_id_seq");
  const Contribution& votes = d.tables.at(0).contributions.at(0);
  ASSERT_EQ(votes.details.size(), 2U);
  EXPECT_EQ(d.tables[0].columns[votes.details[0].value].name, "at");
  EXPECT_THAT(d.tables[0].contributions.at(1).details, IsEmpty());
}

TEST(DeclarationMilestones, TheShippedOnesAreTheFiveOfTheDomain) {
  const auto loaded = load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/schemas");
  Texts found;
  for (const Aggregate& aggregate : std::get<Declaration>(loaded).aggregates) {
    for (const Milestone& milestone : aggregate.milestones.counters) {
      found.push_back(milestone.name + " of " + aggregate.name.name + "." +
                      aggregate.counters[milestone.counter.value].name + " " +
                      std::to_string(milestone.thresholds.size()));
    }
  }
  EXPECT_THAT(found, ElementsAre("PLAYLIST_REPOST_COUNT of aggregate_playlist.repost_count 16",
                                 "PLAYLIST_SAVE_COUNT of aggregate_playlist.save_count 16",
                                 "TRACK_REPOST_COUNT of aggregate_track.repost_count 16",
                                 "TRACK_SAVE_COUNT of aggregate_track.save_count 16",
                                 "FOLLOWER_COUNT of aggregate_user.follower_count 13"));
}

TEST(DeclarationMilestones, ASlipNamesFileLineAndWhatWasExpected) {
  EXPECT_THAT(
      errors_when("[milestones]\n", "[milestones]\ninserst = 3\n"),
      ElementsAre("d/aggregates/polls.toml:7:1: unknown key 'inserst'; expected 'sql', "
                  "'counters', 'reads', 'inserts' or 'sequences'; did you mean 'inserts'?"));
  EXPECT_THAT(errors_when("name = \"VOTES\"", "nam = \"VOTES\""),
              ElementsAre(HasSubstr("missing key 'name'"), HasSubstr("unknown key 'nam'")));
  EXPECT_THAT(errors_when("counters.votes]", "counters.vote]"),
              ElementsAre(HasSubstr("polls.toml:11:22: unknown counter 'vote' of public.polls; "
                                    "expected 'votes' or 'others'; did you mean 'votes'?")));
}

TEST(DeclarationMilestones, ThresholdsAscendAboveZero) {
  EXPECT_THAT(errors_when("[3, 5, 10]", "[3, 3]"),
              ElementsAre("d/aggregates/polls.toml:13:18: 'thresholds' holds 3 here; expected "
                          "integers above 0, ascending"));
  EXPECT_THAT(errors_when("[3, 5, 10]", "[0]"), ElementsAre(HasSubstr("above 0")));
  EXPECT_THAT(errors_when("[3, 5, 10]", "[\"3\"]"), ElementsAre(HasSubstr("holds a string")));
  EXPECT_THAT(errors_when("[3, 5, 10]", "[]"), ElementsAre(HasSubstr("is an empty list")));
  EXPECT_THAT(errors_when("thresholds = [3, 5, 10]\n", ""),
              ElementsAre(HasSubstr("'thresholds' is missing")));
}

TEST(DeclarationMilestones, WithoutACounterOrAStatementTheyAreRefused) {
  EXPECT_THAT(errors_of(kPolls.substr(0, kPolls.find("[milestones.counters"))),
              ElementsAre(HasSubstr("names no counter")));
  EXPECT_THAT(errors_when("polls.sql", "other.sql"),
              ElementsAre(HasSubstr("polls.toml:7:7: the statement's file d/sql/other.sql")));
  EXPECT_THAT(errors_when("sql = \"../sql/polls.sql\"\n", ""),
              ElementsAre(HasSubstr("missing key 'sql'")));
}

TEST(DeclarationMilestones, RightsNameWhatCanBeGranted) {
  EXPECT_THAT(errors_when("public.people.score", "people.score"),
              ElementsAre(HasSubstr("found 'people.score'; expected schema.table.column")));
  EXPECT_THAT(errors_when("[\"public.news\"]", "[\"news\"]"), ElementsAre(HasSubstr("'news'")));
}

TEST(DeclarationMilestones, DetailsStandWhereMilestonesNeedThem) {
  EXPECT_THAT(errors_when_votes("details = [\"at\", \"voter\"]\n", ""),
              ElementsAre("d/tables/votes.toml:11:1: counter 'votes' of public.polls has "
                          "milestones; expected 'details', the columns that its statement takes"));
  EXPECT_THAT(
      errors_when_votes("counter = \"others\"\n", "counter = \"others\"\ndetails = [\"at\"]\n"),
      ElementsAre(HasSubstr("'others' of public.polls has no milestones")));
  EXPECT_THAT(errors_when_votes("[\"at\", \"voter\"]", "[\"at\", \"kind\"]"),
              ElementsAre(HasSubstr("column 'kind' is declared text; expected details of")));
  EXPECT_THAT(errors_when_votes("[\"at\", \"voter\"]", "[\"at\", \"votr\"]"),
              ElementsAre(HasSubstr("did you mean 'voter'?")));
}

TEST(DeclarationMilestones, AllDetailsOfAnAggregateAreOfOneForm) {
  const std::string both = with(kPolls, "[milestones.counters.votes]",
                                "[milestones.counters.others]\nname = \"O\"\nthresholds = [1]\n"
                                "[milestones.counters.votes]");
  const std::string others = "counter = \"others\"\n";
  EXPECT_THAT(errors_of(both, with(kVotes, others, others + "details = [\"at\", \"voter\"]\n")),
              IsEmpty());
  EXPECT_THAT(
      errors_of(both, with(kVotes, others, others + "details = [\"voter\", \"at\"]\n")),
      ElementsAre(HasSubstr("votes.toml:20:11: details of public.polls are of other types")));
}

TEST(DeclarationMilestones, TheHashTellsWhatIsAnnounced) {
  const std::string hash = hash_of(kPolls);
  EXPECT_NE(hash_of(with(kPolls, "[3, 5, 10]", "[3, 5]")), hash);
  EXPECT_NE(hash_of(with(kPolls, "\"VOTES\"", "\"V\"")), hash);
  EXPECT_NE(hash_of(kPolls, kVotes, kSql + " "), hash);
  EXPECT_NE(hash_of(kPolls, with(kVotes, "[\"at\", \"voter\"]", "[\"at\", \"poll\"]")), hash);
  EXPECT_EQ(hash_of(with(kPolls, "public.people.score", "public.people.rank")), hash);
}

TEST(DeclarationMilestones, TheNewestRowIsAskedForAsTheFoldCountsIt) {
  const Declaration d = std::get<Declaration>(parse(kPolls));
  EXPECT_EQ(newest_row_sql(d, AggregateIndex(0), d.aggregates[0].milestones.counters[0]),
            "select k.key::text, n.d0::text, n.d1::text from unnest($1::integer[]) as k(key)"
            " cross join lateral (select * from (select r.\"at\", r.\"voter\" from"
            " \"public\".\"votes\" as r where r.\"poll\" = k.key and r.\"kind\"::text = 'yes'"
            " and true) as rows(d0, d1) order by d0 desc nulls last, d1 desc nulls last limit 1)"
            " as n");
}

}  // namespace
}  // namespace tidemark
