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

}  // namespace tidemark
