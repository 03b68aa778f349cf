// The recount in SQL, from the same declaration as the fold.
#pragma once

#include <string>

#include "consumer/core/declaration.h"

namespace tidemark {

// `"name"`, with quotes inside doubled.
std::string quote_identifier(std::string_view name);
// `'text'`, with quotes inside doubled; safe with standard_conforming_strings on.
std::string quote_literal(std::string_view text);
// "schema"."name".
std::string quote_name(const QualifiedName& name);
// The array type of an aggregate's key as a cast: "integer[]", "text[]", ...
std::string key_array_type(const Aggregate& aggregate);
// The predicate over a row that is named `alias`; "true" when it is empty.
std::string predicate_sql(const Table& table, const Predicate& predicate, std::string_view alias);

// A query with one parameter, $1: an array of keys. Gives one row a key, in no order:
//   key, then each counter of the aggregate as bigint, in declaration order.
// Keys without any contributing row give zeros.
std::string recount_keys_sql(const Declaration& declaration, AggregateIndex aggregate);

// A query without parameters over all keys that have a contributing row: the same columns.
std::string recount_all_sql(const Declaration& declaration, AggregateIndex aggregate);

// The bounds that a range of keys has; an open side needs no parameter.
struct RangeBounds {
  bool from = false;
  bool to = false;
};

// The aggregate's key column of a row that is named `alias`, as keys are compared and ordered:
// bytewise for text.
std::string ordered_key_sql(const Aggregate& aggregate, std::string_view alias);
// Whether that key is in the range: `from` is $1, `to` the next parameter; "true" without bounds.
std::string in_range_sql(const Aggregate& aggregate, std::string_view key, RangeBounds bounds);

// A query over the keys in a range, parameters as in in_range_sql: the columns of
// recount_keys_sql, for each key that has a contributing row, or a row that makes the aggregate's.
std::string recount_range_sql(const Declaration& declaration, AggregateIndex aggregate,
                              RangeBounds bounds);

// Where a range that begins at $1 (when `from`) should end so that it takes about $2 rows ($1
// without `from`) of the aggregate or of any table behind it: one row, the key as text; null: at
// the end of all keys. Always above $1.
// `of`: rows of which tables; where they are in two databases, each is asked for its own (F10).
// Empty: there are none.
enum class RangeOf : std::uint8_t { kAll, kAggregate, kSources };
std::string range_end_sql(const Declaration& declaration, AggregateIndex aggregate, bool from,
                          RangeOf of = RangeOf::kAll);

}  // namespace tidemark
