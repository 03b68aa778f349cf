// Challenge rules in a declaration: what is read, what is refused, what the hash covers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "consumer/core/declaration_toml.h"
#include "tests/support/declaration_text.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using testing::with;

using Texts = std::vector<std::string>;

const std::string kVotes = R"(table = "public.votes"
primary_key = ["id"]
[columns]
id = "bigint"
voter = { type = "integer", nullable = true }
kind = "text"
blocknumber = { type = "integer", nullable = true }
at_block = "bigint"
)";
const std::string kRule = R"(rule = "voted"
order = 3
sql = "../sql/voted.sql"
write = "../sql/write.sql"
checkpoint = "voted:last"
finished_when_complete = true
writes = ["public.ballots"]
[[dirty]]
table = "public.votes"
user = "voter"
when = { kind = "final" }
changed = ["kind"]
)";

auto parse(const std::vector<std::string>& rules) {
  std::vector<DeclarationFile> files = {{"d/tables/votes.toml", kVotes}};
  for (std::size_t i = 0; i < rules.size(); ++i) {
    files.push_back({"d/rules/" + std::to_string(i) + ".toml", rules[i]});
  }
  return parse_declaration(files,
                           [&](const std::filesystem::path& path) -> std::optional<std::string> {
                             const std::string name = path.lexically_normal().string();
                             if (name == "d/sql/voted.sql") return "select voters($1)";
                             if (name == "d/sql/write.sql") return "insert ({rule}) by $2";
                             if (name == "d/sql/via.sql") return "select friends($1)";
                             if (name == "d/sql/empty.sql") return "select 1";
                             return std::nullopt;
                           });
}

Texts errors_of(const std::vector<std::string>& rules) {
  return testing::error_texts(parse(rules));
}

Texts errors_when(const std::string& old_part, const std::string& new_part) {
  return errors_of({with(kRule, old_part, new_part)});
}

std::string hash_of(const std::string& rule) {
  return declaration_hash(std::get<Declaration>(parse({rule})));
}

TEST(DeclarationRule, NameStatementsAndSourcesAreRead) {
  const auto parsed = parse({kRule});
  const Declaration& declaration = std::get<Declaration>(parsed);
  ASSERT_EQ(declaration.rules.size(), 1U);
  const Rule& rule = declaration.rules[0];
  EXPECT_EQ(rule.name, "voted");
  EXPECT_EQ(rule.sql, "insert (select voters($1)) by $2");
  EXPECT_EQ(rule.first, "");
  EXPECT_EQ(rule.checkpoint, "voted:last");
  EXPECT_TRUE(rule.finished_when_complete);
  EXPECT_EQ(rule.writes.at(0).text(), "public.ballots");
  ASSERT_EQ(rule.dirty.size(), 1U);
  const Table& table = declaration.tables[0];
  const auto name_of = [&](ColumnIndex i) { return table.columns[i.value].name; };
  EXPECT_EQ(name_of(rule.dirty[0].key), "voter");
  EXPECT_EQ(name_of(rule.dirty[0].block.value()), "blocknumber") << "unless another is named";
  EXPECT_EQ(name_of(rule.dirty[0].changed.at(0)), "kind");
  EXPECT_EQ(rule.dirty[0].when.all.size(), 1U);
}

TEST(DeclarationRule, UsersMayBeFoundByAQuery) {
  const auto parsed = parse({with(
      kRule, "user = \"voter\"", "keys = \"id\"\nvia = \"../sql/via.sql\"\nblock = \"at_block\"")});
  const DirtySource& source = std::get<Declaration>(parsed).rules.at(0).dirty.at(0);
  EXPECT_EQ(source.via, "select friends($1)");
}

TEST(DeclarationRule, ErrorsSayWhereAndWhatWasExpected) {
  EXPECT_THAT(
      errors_when("\"voter\"", "\"vorter\""),
      ElementsAre(AllOf(HasSubstr("d/rules/0.toml:10:8"), HasSubstr("unknown column 'vorter'"),
                        HasSubstr("did you mean 'voter'"))));
  EXPECT_THAT(errors_when("user = ", "usr = "),
              ElementsAre(HasSubstr("expected 'user'"), HasSubstr("unknown key 'usr'")));
  EXPECT_THAT(errors_when("user = \"voter\"", "user = \"kind\""),
              ElementsAre(HasSubstr("declared text; expected an integer type")));
  EXPECT_THAT(errors_when("user = \"voter\"", "user = \"voter\"\nkeys = \"id\""),
              ElementsAre(HasSubstr("expected 'user', the column")));
  EXPECT_THAT(errors_when("public.votes", "public.vote"),
              ElementsAre(HasSubstr("unknown table 'public.vote'")));
  EXPECT_THAT(errors_when("[\"kind\"]", "[\"kid\"]"),
              ElementsAre(HasSubstr("unknown column 'kid'")));
  EXPECT_THAT(errors_when("voted.sql", "none.sql"), ElementsAre(HasSubstr("can't be read")));
  EXPECT_THAT(errors_when("voted.sql", "empty.sql"), ElementsAre(HasSubstr("doesn't name $1")));
  EXPECT_THAT(errors_when("write.sql", "empty.sql"), ElementsAre(HasSubstr("doesn't name {rule}")));
  EXPECT_THAT(errors_when("\"voted\"", "\"Voted,\""), ElementsAre(HasSubstr("lower-case letters")));
  EXPECT_THAT(errors_when("order = 3", ""), ElementsAre(HasSubstr("missing key 'order'")));
  EXPECT_THAT(errors_of({kRule.substr(0, kRule.find("[[dirty]]"))}),
              ElementsAre(HasSubstr("missing [[dirty]]")));
}

TEST(DeclarationRule, TwoRulesShareNeitherNameNorPlace) {
  EXPECT_THAT(errors_of({kRule, with(kRule, "order = 3", "order = 4")}),
              ElementsAre(HasSubstr("rule voted is declared twice")));
  EXPECT_THAT(errors_of({kRule, with(kRule, "\"voted\"", "\"other\"")}),
              ElementsAre(HasSubstr("have the same order")));
}

TEST(DeclarationRule, RulesStandInTheirOrder) {
  const auto parsed = parse({kRule, with(with(kRule, "\"voted\"", "\"earlier\""), "3", "1")});
  EXPECT_EQ(std::get<Declaration>(parsed).rules.at(0).name, "earlier");
}

// A member that doesn't know whom to mark would miss events; what a rule derives is no such thing.
TEST(DeclarationRule, TheHashCoversWhoIsMarkedAndNotWhatIsDerived) {
  const std::string hash = hash_of(kRule);
  EXPECT_NE(hash, declaration_hash(std::get<Declaration>(parse({}))));
  EXPECT_NE(hash, hash_of(with(kRule, "\"final\"", "\"first\"")));
  EXPECT_NE(hash, hash_of(with(kRule, "changed = [\"kind\"]", "")));
  EXPECT_NE(hash, hash_of(with(kRule, "finished_when_complete = true", "")));
  EXPECT_EQ(hash, hash_of(with(kRule, "voted.sql", "via.sql")));
  EXPECT_EQ(hash, hash_of(with(kRule, "order = 3", "order = 7")));
}

}  // namespace
}  // namespace tidemark
