// The newest row behind a counter in SQL, from the same declaration as the fold.
#pragma once

#include <string>

#include "consumer/core/declaration.h"

namespace tidemark {

// A query with one parameter, $1: an array of keys. For each key with a row that adds to the
// milestone's counter it gives the key as text and the details of the newest such row as text; the
// newest is the one with the highest details, compared in their order, null last.
std::string newest_row_sql(const Declaration& declaration, AggregateIndex aggregate,
                           const Milestone& milestone);

}  // namespace tidemark
