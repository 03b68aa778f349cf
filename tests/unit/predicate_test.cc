#include "consumer/core/predicate.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

constexpr Truth kNo = Truth::kFalse;
constexpr Truth kMaybe = Truth::kUndecided;
constexpr Truth kYes = Truth::kTrue;

Condition is(std::uint32_t column, std::vector<Constant> constants) {
  return {ColumnIndex(column), Condition::OneOf{std::move(constants)}};
}
Condition is_null(std::uint32_t column, bool null = true) {
  return {ColumnIndex(column), Condition::IsNull{null}};
}
Value text(const char* t) { return std::string_view(t); }
Value number(std::int64_t n) { return n; }

TEST(Predicate, EqualityIsOfTheSameTypeAndValue) {
  EXPECT_EQ(evaluate(is(0, {true}), {Value(true)}), kYes);
  EXPECT_EQ(evaluate(is(0, {true}), {Value(false)}), kNo);
  EXPECT_EQ(evaluate(is(0, {false}), {Value(false)}), kYes);
  EXPECT_EQ(evaluate(is(0, {std::int64_t{5}}), {number(5)}), kYes);
  EXPECT_EQ(evaluate(is(0, {std::int64_t{5}}), {number(6)}), kNo);
  EXPECT_EQ(evaluate(is(0, {std::string("a")}), {text("a")}), kYes);
  EXPECT_EQ(evaluate(is(0, {std::string("a")}), {text("A")}), kNo);
  EXPECT_EQ(evaluate(is(0, {std::string("a")}), {text("a ")}), kNo);
}

TEST(Predicate, OneOfSeveralIsEnough) {
  const Condition either = is(0, {std::string("playlist"), std::string("album")});
  EXPECT_EQ(evaluate(either, {text("album")}), kYes);
  EXPECT_EQ(evaluate(either, {text("playlist")}), kYes);
  EXPECT_EQ(evaluate(either, {text("track")}), kNo);
}

TEST(Predicate, NullIsNeverEqual) {
  EXPECT_EQ(evaluate(is(0, {true}), {Null{}}), kNo);
  EXPECT_EQ(evaluate(is(0, {false}), {Null{}}), kNo);
  EXPECT_EQ(evaluate(is(0, {std::string()}), {Null{}}), kNo);
}

TEST(Predicate, IsNullAndIsNotNull) {
  EXPECT_EQ(evaluate(is_null(0), {Null{}}), kYes);
  EXPECT_EQ(evaluate(is_null(0), {number(0)}), kNo);
  EXPECT_EQ(evaluate(is_null(0), {text("")}), kNo);
  EXPECT_EQ(evaluate(is_null(0, false), {Null{}}), kNo);
  EXPECT_EQ(evaluate(is_null(0, false), {Value(false)}), kYes);
}

TEST(Predicate, AnUnknownValueDecidesNothing) {
  EXPECT_EQ(evaluate(is(0, {true}), {Unknown{}}), kMaybe);
  EXPECT_EQ(evaluate(is_null(0), {Unknown{}}), kMaybe);
  EXPECT_EQ(evaluate(is_null(0, false), {Unknown{}}), kMaybe);
}

TEST(Predicate, AConjunctionIsFalseAsSoonAsOneTermIs) {
  const Predicate live{{is(0, {true}), is(1, {false})}};
  const auto of = [&](Value a, Value b) { return evaluate(live, RowImage{a, b}); };
  EXPECT_EQ(of(true, false), kYes);
  EXPECT_EQ(of(true, true), kNo);
  EXPECT_EQ(of(false, false), kNo);
  EXPECT_EQ(of(Unknown{}, false), kMaybe);
  EXPECT_EQ(of(true, Unknown{}), kMaybe);
  EXPECT_EQ(of(Unknown{}, true), kNo);
  EXPECT_EQ(of(false, Unknown{}), kNo);
  EXPECT_EQ(of(Null{}, Unknown{}), kNo);
  EXPECT_EQ(of(Unknown{}, Unknown{}), kMaybe);
}

TEST(Predicate, AnEmptyConjunctionIsTrue) { EXPECT_EQ(evaluate(Predicate{}, RowImage{}), kYes); }

TEST(Predicate, BothIsTheLesserTruth) {
  for (const Truth a : {kNo, kMaybe, kYes}) {
    EXPECT_EQ(both(a, kNo), kNo);
    EXPECT_EQ(both(kYes, a), a);
    EXPECT_EQ(both(a, kYes), a);
  }
  EXPECT_EQ(both(kMaybe, kMaybe), kMaybe);
}

}  // namespace
}  // namespace tidemark
