// A declaration's predicates over decoded rows, with SQL's meaning.
#pragma once

#include <cstdint>

#include "consumer/core/change.h"
#include "consumer/core/declaration.h"

namespace tidemark {

// SQL's null never makes a predicate true; an Unknown value makes it undecided, unless another term
// is false already.
enum class Truth : std::uint8_t { kFalse, kUndecided, kTrue };

constexpr Truth both(Truth a, Truth b) { return a < b ? a : b; }

// Precondition: the row holds a value for each column of its table.
Truth evaluate(const Condition& condition, const RowImage& row);
Truth evaluate(const Predicate& predicate, const RowImage& row);

}  // namespace tidemark
