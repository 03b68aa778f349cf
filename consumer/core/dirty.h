// Whom a batch's changes make dirty for which rules (DESIGN 5, C1): collected while it is folded.
#pragma once

#include <tsl/robin_map.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "consumer/core/change.h"
#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/core/hash_index.h"

namespace tidemark {

class DirtyTable {
 public:
  // `declaration` must outlive it.
  explicit DirtyTable(const Declaration& declaration);

  // True when some rule looks at the table.
  bool watches(TableIndex table) const { return !by_table_[table.value].empty(); }
  // A change of a row, whatever it proves of counts: the old row's users and the new one's are
  // dirty. An image is empty when there is none. Precondition: watches(table).
  void note(TableIndex table, const RowImage& before, const RowImage& after);
  // Changes of the table that name no row: its rules must be swept.
  void sweep(TableIndex table);

  std::size_t size() const { return size_; }  // keys so far
  // Each leaves nothing of what it gives.
  std::vector<DirtyKeys> take();
  std::vector<RuleIndex> take_sweeps();
  void clear();

 private:
  struct Source {
    RuleIndex rule;
    std::uint32_t index;
    const DirtySource* declared;
    tsl::robin_map<std::int64_t, std::int64_t, MixedHash> blocks;  // by key
  };

  void note(Source& source, const RowImage& before, const RowImage& after);
  void mark(Source& source, const RowImage& row, std::int64_t block);

  std::vector<Source> sources_;                       // by rule and index
  std::vector<std::vector<std::uint32_t>> by_table_;  // places in sources_
  std::set<RuleIndex> sweeps_;
  std::size_t size_ = 0;
};

}  // namespace tidemark
