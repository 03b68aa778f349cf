#include "consumer/core/recount_sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "consumer/core/declaration_toml.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Declaration load(const std::string& folder) {
  auto result = load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/" + folder);
  if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&result)) {
    for (const DeclarationError& error : *errors) ADD_FAILURE() << error.text();
    return {};
  }
  return std::get<Declaration>(std::move(result));
}

// A table with one column of each kind that a predicate can ask about.
Table table_of_all_kinds() {
  Table table;
  for (const auto& [name, type] :
       std::vector<std::pair<std::string, ColumnType>>{{"flag", ColumnType::kBoolean},
                                                       {"n", ColumnType::kInteger},
                                                       {"te\"xt", ColumnType::kText},
                                                       {"kind", ColumnType::kEnum}}) {
    Column column;
    column.name = name;
    column.type = type;
    table.columns.push_back(column);
  }
  return table;
}

std::string sql_of(ColumnIndex column, std::vector<Constant> constants) {
  const Condition condition{column, Condition::OneOf{std::move(constants)}};
  return predicate_sql(table_of_all_kinds(), Predicate{{condition}}, "r");
}

TEST(Quote, DoublesWhatWouldEndIt) {
  EXPECT_EQ(quote_identifier("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(quote_identifier("Weird name;"), "\"Weird name;\"");
  EXPECT_EQ(quote_literal("it's"), "'it''s'");
  EXPECT_EQ(quote_literal("back\\slash"), "'back\\slash'");
  EXPECT_EQ(quote_literal(""), "''");
  EXPECT_EQ(quote_name({"s.x", "t\"y"}), "\"s.x\".\"t\"\"y\"");
}

TEST(PredicateSql, EmptyIsTrue) {
  EXPECT_EQ(predicate_sql(table_of_all_kinds(), Predicate{}, "r"), "true");
}

// The forms in which partial indexes are declared, so that the planner recognises them.
TEST(PredicateSql, BooleansStandAsTheyDoInIndexes) {
  EXPECT_EQ(sql_of(ColumnIndex(0), {true}), "r.\"flag\"");
  EXPECT_EQ(sql_of(ColumnIndex(0), {false}), "not r.\"flag\"");
  EXPECT_EQ(sql_of(ColumnIndex(0), {true, false}), "r.\"flag\" in (true, false)");
}

TEST(PredicateSql, ConstantsOfEachType) {
  EXPECT_EQ(sql_of(ColumnIndex(1), {std::int64_t{-5}}), "r.\"n\" = -5");
  EXPECT_EQ(sql_of(ColumnIndex(1), {std::int64_t{1}, std::int64_t{2}}), "r.\"n\" in (1, 2)");
  EXPECT_EQ(sql_of(ColumnIndex(2), {std::string("it's")}), "r.\"te\"\"xt\"::text = 'it''s'");
  EXPECT_EQ(sql_of(ColumnIndex(3), {std::string("a")}), "r.\"kind\" = 'a'");
}

TEST(PredicateSql, TermsAreJoined) {
  const Predicate predicate{{{ColumnIndex(0), Condition::OneOf{{true}}},
                             {ColumnIndex(2), Condition::IsNull{true}},
                             {ColumnIndex(2), Condition::IsNull{false}}}};
  EXPECT_EQ(predicate_sql(table_of_all_kinds(), predicate, "x"),
            "x.\"flag\" and x.\"te\"\"xt\" is null and x.\"te\"\"xt\" is not null");
}

TEST(RecountSql, KeysComeAsAnArrayOfTheirType) {
  const Declaration music = load("schemas");
  const auto user = music.find_aggregate({"public", "aggregate_user"});
  ASSERT_TRUE(user.has_value());
  EXPECT_EQ(key_array_type(music.aggregate(*user)), "integer[]");
  const Declaration likes = load("tests/schemas_likes");
  const auto posts = likes.find_aggregate({"forum", "post_stats"});
  const auto readers = likes.find_aggregate({"forum", "reader_stats"});
  ASSERT_TRUE(posts && readers);
  EXPECT_EQ(key_array_type(likes.aggregate(*posts)), "uuid[]");
  EXPECT_EQ(key_array_type(likes.aggregate(*readers)), "text[]");
}

// A cast on the column would leave its index unused.
TEST(RecountSql, IntegerKeysAreComparedUncast) {
  const Declaration music = load("schemas");
  const auto user = music.find_aggregate({"public", "aggregate_user"});
  ASSERT_TRUE(user.has_value());
  const std::string sql = recount_keys_sql(music, *user);
  EXPECT_THAT(sql, HasSubstr("r.\"owner_id\" in (select unnest($1::integer[]))"));
  EXPECT_THAT(sql, Not(HasSubstr("\"::integer")));
  EXPECT_THAT(sql, Not(HasSubstr("score")));
}

TEST(RecountSql, AllKeysTakeNoParameter) {
  const Declaration music = load("schemas");
  for (std::uint32_t a = 0; a < music.aggregates.size(); ++a) {
    EXPECT_THAT(recount_all_sql(music, AggregateIndex(a)), Not(HasSubstr("$1")));
  }
}

}  // namespace
}  // namespace tidemark
