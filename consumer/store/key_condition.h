// A set of keys as a condition in SQL, and what else slices say about keys.
#pragma once

#include <string>
#include <string_view>

#include "consumer/core/declaration.h"
#include "consumer/core/fence.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/pg.h"

namespace tidemark {

// Parameters count from $1; `except` is the last.
class KeyCondition {
 public:
  KeyCondition(const Aggregate& aggregate, const KeySet& keys);

  // Whether `key`, an expression of the aggregate's key type, is in the set.
  std::string sql(const std::string& key) const;
  // The same of a column that stores keys as text, like those that were listed: an index on it
  // serves a list.
  std::string stored_sql(const std::string& column) const;
  const SqlParams& params() const { return params_; }
  RangeBounds bounds() const { return bounds_; }

 private:
  const Aggregate& aggregate_;
  bool listed_;
  bool except_;
  RangeBounds bounds_;
  SqlParams params_;
};

// A key that is stored as text, in the aggregate's type and order.
std::string stored_key_sql(const Aggregate& aggregate, std::string_view column);
// ", t.counter" for each counter.
std::string counter_list(const Aggregate& aggregate, std::string_view alias);
// The names of what can be suspect in a row as a literal of text[].
std::string cell_array(const Aggregate& aggregate);
// As rule P2 orders the rows of an aggregate: by keys in their text form.
bool key_less(const Aggregate& aggregate, const std::string& a, const std::string& b);

}  // namespace tidemark
