#include "consumer/core/declaration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "consumer/core/declaration_toml.h"
#include "consumer/core/decode.h"
#include "tests/support/declaration_text.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using testing::with;

using Texts = std::vector<std::string>;

// A small declaration that is right; tests break one thing of it.
const std::string kVotes = R"(table = "public.votes"
primary_key = ["id"]
[columns]
id = "bigint"
voter = { type = "integer", nullable = true }
kind = { type = "enum", values = ["up", "down"] }
note = { type = "text", nullable = true }
weight = "smallint"
sealed = "boolean"
cast_at = { type = "timestamp", precision = 3, nullable = true }
[active]
sealed = true
[[contributes]]
aggregate = "public.voters"
key = "voter"
counter = "votes"
when = { kind = ["up", "down"], weight = 2 }
)";
const std::string kVoters = R"(aggregate = "public.voters"
counters = ["votes"]
[key]
column = "voter_id"
type = "integer"
[lookups.note]
table = "public.votes"
value = "note"
key = "voter"
when = { note = { null = false } }
)";

Texts errors_of(const std::vector<DeclarationFile>& files) {
  return testing::error_texts(parse_declaration(files));
}

Texts errors_of_table(const std::string& table) {
  return errors_of({{"votes.toml", table}, {"voters.toml", kVoters}});
}

Texts errors_of_aggregate(const std::string& aggregate) {
  return errors_of({{"votes.toml", kVotes}, {"voters.toml", aggregate}});
}

// Changes one place of the table and of the aggregate, and gives the errors.
Texts errors_when(const std::string& old_part, const std::string& new_part) {
  return errors_of_table(with(kVotes, old_part, new_part));
}

Declaration parsed(const std::vector<DeclarationFile>& files) {
  auto result = parse_declaration(files);
  if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&result)) {
    for (const DeclarationError& error : *errors) ADD_FAILURE() << error.text();
    return {};
  }
  return std::get<Declaration>(std::move(result));
}

std::string hash_of(const std::string& table, const std::string& aggregate) {
  return declaration_hash(parsed({{"t", table}, {"a", aggregate}}));
}

Declaration shipped() {
  auto result = load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/schemas");
  if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&result)) {
    for (const DeclarationError& error : *errors) ADD_FAILURE() << error.text();
    return {};
  }
  return std::get<Declaration>(std::move(result));
}

// --- What is read -------------------------------------------------------------------------------

TEST(Declaration, ATableAndAnAggregateAreReadInFull) {
  const Declaration d = parsed({{"votes.toml", kVotes}, {"voters.toml", kVoters}});
  ASSERT_EQ(d.tables.size(), 1u);
  ASSERT_EQ(d.aggregates.size(), 1u);
  const Table& votes = d.tables[0];
  EXPECT_EQ(votes.name.text(), "public.votes");
  EXPECT_EQ(votes.topic, std::nullopt);
  EXPECT_EQ(votes.file, "votes.toml");
  Texts columns;
  for (const Column& c : votes.columns) columns.push_back(c.name);
  EXPECT_THAT(columns, ElementsAre("cast_at", "id", "kind", "note", "sealed", "voter", "weight"));
  EXPECT_THAT(votes.primary_key, ElementsAre(ColumnIndex(1)));
  EXPECT_TRUE(votes.columns[0].timestamp_in_millis);
  EXPECT_TRUE(votes.columns[0].nullable);
  EXPECT_FALSE(votes.columns[1].nullable);
  EXPECT_THAT(votes.columns[2].values, ElementsAre("down", "up"));
  ASSERT_EQ(votes.active.all.size(), 1u);
  EXPECT_EQ(votes.active.all[0].column, ColumnIndex(4));
  ASSERT_EQ(votes.contributions.size(), 1u);
  EXPECT_EQ(votes.contributions[0].key, ColumnIndex(5));
  EXPECT_EQ(votes.contributions[0].when.all.size(), 2u);
  const Lookup& lookup = d.aggregates[0].lookups.at(0);
  EXPECT_EQ(lookup.column, "note");
  EXPECT_EQ(lookup.value, ColumnIndex(3));
  EXPECT_FALSE(std::get<Condition::IsNull>(lookup.when.all.at(0).test).null);
}

TEST(Declaration, TheShippedOneIsTheMusicNetworks) {
  const Declaration d = shipped();
  Texts tables;
  for (const Table& table : d.tables) tables.push_back(table.name.text());
  EXPECT_THAT(tables,
              ElementsAre("public.follows", "public.playlists", "public.remixes", "public.reposts",
                          "public.saves", "public.tracks", "public.user_events", "public.users"));
  Texts cells;
  for (const Aggregate& aggregate : d.aggregates) {
    for (const Counter& counter : aggregate.counters) {
      cells.push_back(aggregate.name.name + "." + counter.name);
      EXPECT_NE(counter.name, "score") << "another writer's column";
    }
  }
  EXPECT_EQ(cells.size(), 12u);
  std::size_t contributions = 0;
  for (const Table& table : d.tables) contributions += table.contributions.size();
  EXPECT_EQ(contributions, 12u);  // the cells of DOMAIN 2, each fed once
}

TEST(Declaration, TheSecondApplicationNeedsNoCode) {
  const auto result = load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/tests/schemas_likes");
  EXPECT_TRUE(std::holds_alternative<Declaration>(result));
}

// A declared column that the application's events lack, or have in another type, shows here.
TEST(Declaration, TheSampleOfEachShippedTableDecodes) {
  const Declaration d = shipped();
  for (std::uint32_t i = 0; i < d.tables.size(); ++i) {
    const std::string& name = d.tables[i].name.name;
    std::ifstream file(std::string(TIDEMARK_SOURCE_DIR) + "/schemas/samples/" + name + ".json");
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    ASSERT_FALSE(text.empty()) << name << " has no sample";
    Decoder decoder(d, DecodeLimits{});
    Record record;
    record.topic = "app.public";
    record.key = "{}";
    record.value = text;
    Change change;
    const DecodeResult result = decoder.decode(record, TopicTables{{TableIndex(i)}, false}, change);
    const auto* bad = std::get_if<BadRecord>(&result);
    EXPECT_EQ(bad, nullptr) << name << ": " << bad->reason;
    ASSERT_TRUE(std::holds_alternative<Decoded>(result)) << name;
    EXPECT_EQ(change.after.size(), d.tables[i].columns.size()) << name;
    for (const Value& value : change.after) {
      EXPECT_FALSE(std::holds_alternative<Unknown>(value)) << name;
    }
  }
}

TEST(Declaration, FindsTablesAndAggregatesByName) {
  const Declaration d = shipped();
  ASSERT_TRUE(d.find_table({"public", "saves"}).has_value());
  EXPECT_EQ(d.table(*d.find_table({"public", "saves"})).name.name, "saves");
  EXPECT_FALSE(d.find_table({"other", "saves"}).has_value());
  ASSERT_TRUE(d.find_aggregate({"public", "aggregate_user"}).has_value());
  EXPECT_FALSE(d.find_aggregate({"public", "saves"}).has_value());
}

// --- Errors -------------------------------------------------------------------------------------

TEST(DeclarationError, AnUnknownKeySaysWhereAndWhatWasMeant) {
  EXPECT_THAT(errors_when("primary_key = [\"id\"]", "primary_keys = [\"id\"]"),
              ElementsAre("votes.toml:2:1: unknown key 'primary_keys'; expected 'table', 'topic', "
                          "'primary_key', 'columns', 'active', 'contributes' or 'makes'; did you "
                          "mean 'primary_key'?"));
  EXPECT_THAT(errors_when("nullable = true }\nkind", "nulable = true }\nkind"),
              ElementsAre(AllOf(StartsWith("votes.toml:5:29: unknown key 'nulable'"),
                                HasSubstr("did you mean 'nullable'?"))));
}

TEST(DeclarationError, ADoubledKeySaysWhere) {
  EXPECT_THAT(errors_of_table("table = \"a.b\"\ntable = \"a.c\"\n"),
              ElementsAre(AllOf(StartsWith("votes.toml:2:"), HasSubstr("doubled key"))));
}

TEST(DeclarationError, TextThatIsNoTomlSaysWhere) {
  EXPECT_THAT(errors_of_table("table = \n"), ElementsAre(StartsWith("votes.toml:1:9: ")));
  EXPECT_THAT(errors_of_table("table = \"\xff\"\n"),
              ElementsAre(AllOf(StartsWith("votes.toml:1:"), HasSubstr("utf-8"))));
}

TEST(DeclarationError, AFileThatDeclaresNothing) {
  EXPECT_THAT(errors_of_table(""),
              ElementsAre(HasSubstr("missing key 'table', 'aggregate' or 'rule'")));
  EXPECT_THAT(errors_of_table("tabel = \"a.b\""), ElementsAre(HasSubstr("did you mean 'table'?")));
}

TEST(DeclarationError, AllErrorsAreToldInOrder) {
  std::string table = with(kVotes, "id = \"bigint\"", "id = \"bigin\"");
  table = with(table, "weight = 2", "weight = 40000");
  table = with(table, "\nsealed = true", "\nseeled = true");
  const std::string aggregate = with(kVoters, "value = \"note\"", "value = \"remark\"");
  EXPECT_THAT(errors_of({{"b.toml", table}, {"a.toml", aggregate}}),
              ElementsAre(StartsWith("a.toml:8:9: unknown column 'remark' of public.votes"),
                          StartsWith("b.toml:4:6: unknown type 'bigin' of column 'id'"),
                          StartsWith("b.toml:12:1: unknown column 'seeled'"),
                          StartsWith("b.toml:17:42: column 'weight' is compared with 40000")));
}

struct Slip {
  const char* what;
  std::string old_part;
  std::string new_part;
  std::string error;  // a part of the only error

  friend std::ostream& operator<<(std::ostream& out, const Slip& slip) { return out << slip.what; }
};

class TableSlip : public ::testing::TestWithParam<Slip> {};
TEST_P(TableSlip, IsTheOnlyError) {
  const Slip& slip = GetParam();
  EXPECT_THAT(errors_when(slip.old_part, slip.new_part), ElementsAre(HasSubstr(slip.error)));
}

INSTANTIATE_TEST_SUITE_P(
    DeclarationError, TableSlip,
    ::testing::Values(
        Slip{"NameWithoutSchema", "public.votes", "votes",
             "1:9: found 'votes'; expected schema.name"},
        Slip{"NameThatIsNoText", "\"public.votes\"", "5",
             "'table' is an integer; expected a string"},
        Slip{"NameTooLong", "weight =", std::string(64, 'w') + " = \"text\"\nweight =", "64 bytes"},
        Slip{"EmptyTopic", "[columns]", "topic = \"\"\n[columns]", "'topic' is an empty string"},
        Slip{"EmptyKey", "[\"id\"]", "[]", "'primary_key' is an empty list"},
        Slip{"KeyTwice", "[\"id\"]", "[\"id\", \"id\"]", "'id' stands twice in 'primary_key'"},
        Slip{"KeyOfAnUnknownColumn", "[\"id\"]", "[\"iid\"]", "did you mean 'id'?"},
        Slip{"KeyThatCanBeNull", "[\"id\"]", "[\"voter\"]", "declared nullable"},
        Slip{"UnknownType", "\"bigint\"", "\"int8\"",
             "unknown type 'int8' of column 'id'; expected"},
        Slip{"ColumnThatIsNoType", "\"smallint\"", "7", "column 'weight' is an integer"},
        Slip{"EnumWithoutValues", "{ type = \"enum\", values = [\"up\", \"down\"] }", "\"enum\"",
             "an enum without values"},
        Slip{"EnumWithEmptyValues", "values = [\"up\", \"down\"]", "values = []", "empty list"},
        Slip{"ValuesOfAText", "{ type = \"text\",", "{ type = \"text\", values = [\"a\"],",
             "only an enum has them"},
        Slip{"PrecisionOutOfRange", "precision = 3", "precision = 7", "an integer from 0 to 6"},
        Slip{"PrecisionOfADate", "\"timestamp\"", "\"date\"", "only a timestamp has one"},
        Slip{"NullableThatIsNoBoolean", "nullable = true", "nullable = \"yes\"", "true or false"},
        Slip{"ConstantOfAnotherType", "sealed = true", "sealed = \"yes\"",
             "column 'sealed' is compared with 'yes'; it is declared boolean"},
        Slip{"ConstantOutOfRange", "weight = 2", "weight = 32768", "-32768 to 32767"},
        Slip{"ConstantNotInTheEnum", "[\"up\", \"down\"], weight", "\"dwn\", weight",
             "did you mean 'down'?"},
        Slip{"ConstantTwice", "[\"up\", \"down\"], weight", "[\"up\", \"up\"], weight",
             "stands twice"},
        Slip{"ConstantsEmpty", "[\"up\", \"down\"], weight", "[], weight", "at least one constant"},
        Slip{"ConstantForATime", "sealed = true", "cast_at = 5", "{ null = true }"},
        Slip{"NullOfANotNull", "sealed = true", "sealed = { null = true }", "is never null"},
        Slip{"NullThatIsNoBoolean", "sealed = true", "note = { null = 1 }", "true or false"},
        Slip{"UnknownTest", "sealed = true", "note = { nul = true, null = true }",
             "unknown key 'nul'"},
        Slip{"NoCondition", "sealed = true", "", "found no condition"},
        Slip{"UnknownAggregate", "public.voters", "public.voter", "did you mean 'public.voters'?"},
        Slip{"UnknownCounter", "\"votes\"", "\"vote\"", "unknown counter 'vote' of public.voters"},
        Slip{"KeyOfAnotherType", "key = \"voter\"", "key = \"note\"",
             "declared text and holds keys"},
        Slip{"KeyTooWide", "key = \"voter\"", "key = \"id\"", "an integer type that fits"},
        Slip{"MissingCounter", "counter = \"votes\"\n", "", "missing key 'counter'"},
        Slip{"ContributesThatIsNoList", "[[contributes]]", "[contributes]",
             "each as [[contributes]]"},
        Slip{"MakesWithACounter", "[[contributes]]",
             "[[makes]]\naggregate = \"public.voters\"\nkey = \"voter\"\ncounter = \"votes\"\n"
             "[[contributes]]",
             "unknown key 'counter'"}),
    [](const auto& param) { return param.param.what; });

class AggregateSlip : public ::testing::TestWithParam<Slip> {};
TEST_P(AggregateSlip, IsTheOnlyError) {
  const Slip& slip = GetParam();
  EXPECT_THAT(errors_of_aggregate(with(kVoters, slip.old_part, slip.new_part)),
              ElementsAre(HasSubstr(slip.error)));
}

INSTANTIATE_TEST_SUITE_P(
    DeclarationError, AggregateSlip,
    ::testing::Values(
        Slip{"KeyOfATypeThatIsNoKey", "\"integer\"", "\"date\"", "the key is declared date"},
        Slip{"CounterThatIsTheKey", "[\"votes\"]", "[\"votes\", \"voter_id\"]",
             "it can't be a counter too"},
        Slip{"CounterThatNothingFeeds", "[\"votes\"]", "[\"votes\", \"points\"]",
             "counter 'points' of public.voters gets no contribution"},
        Slip{"CounterTwice", "[\"votes\"]", "[\"votes\", \"votes\"]", "stands twice in 'counters'"},
        Slip{"LookupThatIsACounter", "[lookups.note]", "[lookups.votes]", "can't be looked up"},
        Slip{"LookupOfAnUnknownTable", "public.votes", "public.polls",
             "unknown table 'public.polls'"},
        Slip{"LookupOfAnUnknownValue", "value = \"note\"", "value = \"notes\"",
             "did you mean 'note'?"},
        Slip{"LookupKeyOfAnotherType", "key = \"voter\"", "key = \"sealed\"", "declared boolean"},
        Slip{"MissingKeyTable", "[key]\ncolumn = \"voter_id\"\ntype = \"integer\"\n", "",
             "missing table [key]"}),
    [](const auto& param) { return param.param.what; });

TEST(DeclarationError, TheSameNameTwiceNamesTheOtherFile) {
  EXPECT_THAT(errors_of({{"a.toml", kVotes}, {"b.toml", kVotes}, {"c.toml", kVoters}}),
              ElementsAre("b.toml:1:9: table public.votes is declared twice; first in a.toml"));
  EXPECT_THAT(errors_of({{"a.toml", kVotes}, {"b.toml", kVoters}, {"c.toml", kVoters}}),
              ElementsAre(HasSubstr("aggregate public.voters is declared twice; first in b.toml")));
}

TEST(DeclarationError, AnAggregateThatIsWatched) {
  const std::string aggregate = with(kVoters, "public.voters", "public.votes");
  EXPECT_THAT(
      errors_of({{"a.toml", with(kVotes, "public.voters", "public.votes")}, {"b.toml", aggregate}}),
      ElementsAre(HasSubstr("is a watched table too, in a.toml")));
}

TEST(DeclarationError, TheSameContributionTwice) {
  const std::string again = kVotes.substr(kVotes.find("[[contributes]]"));
  EXPECT_THAT(errors_of_table(kVotes + again), ElementsAre(HasSubstr("counted doubly")));
}

// One slip is one error: what refers to a file that can't be read is not blamed for it.
TEST(DeclarationError, AFileThatCannotBeReadIsTheOnlyError) {
  EXPECT_THAT(errors_of_aggregate("aggregate = "), ElementsAre(StartsWith("voters.toml:1:")));
  EXPECT_THAT(errors_of_table("table = "), ElementsAre(StartsWith("votes.toml:1:")));
}

TEST(DeclarationError, AFolderThatIsNotThereIsNamed) {
  const auto result = load_declaration("/nowhere/schemas");
  const auto& errors = std::get<std::vector<DeclarationError>>(result);
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_THAT(errors[0].text(), StartsWith("/nowhere/schemas/aggregates: can't be read: "));
  EXPECT_THAT(errors[1].text(), StartsWith("/nowhere/schemas/tables: can't be read: "));
}

TEST(DeclarationError, NoBytesCrashTheReader) {
  for (std::size_t cut = 0; cut < kVotes.size(); ++cut) {
    std::string broken = kVotes;
    broken[cut] = static_cast<char>(cut * 7);
    errors_of_table(broken);
    errors_of_table(kVotes.substr(0, cut));
    errors_of_aggregate(kVoters.substr(0, cut % kVoters.size()));
  }
}

// --- The hash -----------------------------------------------------------------------------------

// Stored in each deployment's state: when this fails, the hash's function has changed, and every
// deployment would refuse to start after an upgrade.
TEST(DeclarationHash, OfAKnownDeclarationNeverChanges) {
  EXPECT_EQ(hash_of(kVotes, kVoters), "25537d8d69d4e36d4a0cdfb6e196a528");
}

TEST(DeclarationHash, IsTheSameForWhatDecidesNoCount) {
  const std::string hash = hash_of(kVotes, kVoters);
  EXPECT_EQ(hash_of("# a comment\n" + kVotes, kVoters), hash);
  EXPECT_EQ(hash_of(with(kVotes, "[columns]", "topic = \"t\"\n[columns]"), kVoters), hash);
  EXPECT_EQ(hash_of(with(kVotes, "weight = \"smallint\"\nsealed = \"boolean\"",
                         "sealed = \"boolean\"\nweight = \"smallint\""),
                    kVoters),
            hash);
  EXPECT_EQ(
      hash_of(with(kVotes, "[\"up\", \"down\"], weight", "[\"down\", \"up\"], weight"), kVoters),
      hash);
  EXPECT_EQ(hash_of(with(kVotes, "cast_at", "thrown_at"), kVoters), hash);  // no count reads it
  EXPECT_EQ(declaration_hash(parsed({{"a", kVoters}, {"t", kVotes}})), hash);
  EXPECT_EQ(declaration_hash(parsed({{"t", kVotes},
                                     {"a", kVoters},
                                     {"o", "table = \"a.b\"\n[columns]\nid = \"integer\"\n"}})),
            hash);
}

TEST(DeclarationHash, DiffersForWhatDecidesCounts) {
  std::vector<std::string> hashes = {hash_of(kVotes, kVoters)};
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"public.votes", "public.votes2"},
      {"sealed = true", "sealed = false"},
      {"weight = 2", "weight = 3"},
      {"weight = \"smallint\"", "weight = \"integer\""},
      {"kind = [\"up\", \"down\"]", "kind = \"up\""},
      {"[\"id\"]", "[\"id\", \"kind\"]"},
      {"[\"id\"]", "[\"kind\", \"id\"]"},
      {"[active]\nsealed = true\n", ""},
      {"[[contributes]]",
       "[[makes]]\naggregate = \"public.voters\"\nkey = \"voter\"\n[[contributes]]"},
  };
  for (const auto& [old_part, new_part] : changes) {
    const std::string aggregate = with(
        kVoters, "public.votes", old_part == "public.votes" ? "public.votes2" : "public.votes");
    hashes.push_back(hash_of(with(kVotes, old_part, new_part), aggregate));
  }
  for (const auto& [old_part, new_part] :
       std::vector<std::pair<std::string, std::string>>{{"voter_id", "id"},
                                                        {"\"integer\"", "\"bigint\""},
                                                        {"null = false", "null = true"},
                                                        {"[lookups.note]", "[lookups.remark]"}}) {
    hashes.push_back(hash_of(kVotes, with(kVoters, old_part, new_part)));
  }
  const std::size_t all = hashes.size();
  std::sort(hashes.begin(), hashes.end());
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
  EXPECT_EQ(hashes.size(), all);
  EXPECT_EQ(hashes[0].size(), 32u);
}

}  // namespace
}  // namespace tidemark
