// Deltas of one aggregate while a batch is being built: one row a key, found by hash.
#pragma once

#include <tsl/robin_map.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/core/hash_index.h"

namespace tidemark {

// Integer keys are used as they are. Text keys are interned: the batch's n-th text is n.
class CellTable {
 public:
  explicit CellTable(const Aggregate& aggregate);

  // The row of a key; made with zeros when it is new. Stays valid until take().
  std::size_t row(std::int64_t key);
  std::size_t row(std::string_view key);
  void add(std::size_t row, CounterIndex counter, std::int32_t delta);

  std::size_t rows() const { return keys_.size(); }
  // The rows in key order; the table is empty afterwards, its memory kept.
  AggregateDelta take();

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  void gather(const std::vector<std::uint32_t>& order, AggregateDelta& out);

  bool text_keys_;
  std::size_t counters_;
  tsl::robin_map<std::int64_t, std::uint32_t, MixedHash> index_;
  tsl::robin_map<std::string, std::int64_t, TextHash, std::equal_to<>> interned_;
  std::vector<std::string> texts_;
  std::vector<std::int64_t> keys_;
  std::vector<std::int32_t> deltas_;
  std::int64_t last_key_ = 0;  // one row often takes two deltas in a row
  std::size_t last_row_ = 0;
};

}  // namespace tidemark
