#include "consumer/core/dirty.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "consumer/core/predicate.h"

namespace tidemark {
namespace {

bool is_unknown(const Value& value) { return std::holds_alternative<Unknown>(value); }

// An update that left all of these as they were. A new row and one that is gone say nothing of it.
bool unchanged(const std::vector<ColumnIndex>& columns, const RowImage& before,
               const RowImage& after) {
  if (columns.empty() || before.empty() || after.empty()) return false;
  return std::ranges::all_of(columns, [&](ColumnIndex i) {
    return before[i.value] == after[i.value] && !is_unknown(after[i.value]);
  });
}

// The change's block: the newer of its images'. A row without a block marks always, and so does
// one whose block is not known.
std::int64_t block_of(const DirtySource& source, const RowImage& before, const RowImage& after) {
  if (!source.block) return DirtyKeys::kNoBlock;
  std::int64_t newest = std::numeric_limits<std::int64_t>::min();
  for (const RowImage* row : {&before, &after}) {
    if (row->empty()) continue;
    const auto* number = std::get_if<std::int64_t>(&(*row)[source.block->value]);
    newest = std::max(newest, number != nullptr ? *number : DirtyKeys::kNoBlock);
  }
  return newest;
}

}  // namespace

DirtyTable::DirtyTable(const Declaration& declaration) : by_table_(declaration.tables.size()) {
  for (std::uint32_t r = 0; r < declaration.rules.size(); ++r) {
    const std::vector<DirtySource>& dirty = declaration.rules[r].dirty;
    for (std::uint32_t s = 0; s < dirty.size(); ++s) {
      by_table_[dirty[s].table.value].push_back(static_cast<std::uint32_t>(sources_.size()));
      sources_.push_back({RuleIndex(r), s, &dirty[s], {}});
    }
  }
}

void DirtyTable::note(TableIndex table, const RowImage& before, const RowImage& after) {
  for (const std::uint32_t at : by_table_[table.value]) note(sources_[at], before, after);
}

void DirtyTable::note(Source& source, const RowImage& before, const RowImage& after) {
  const DirtySource& declared = *source.declared;
  if (unchanged(declared.changed, before, after)) return;
  const bool old_one = !before.empty() && evaluate(declared.when, before) != Truth::kFalse;
  const bool new_one = !after.empty() && evaluate(declared.when, after) != Truth::kFalse;
  if (!old_one && !new_one) return;
  const std::int64_t block = block_of(declared, before, after);
  if (new_one) mark(source, after, block);
  if (!old_one) return;
  const bool same = new_one && before[declared.key.value] == after[declared.key.value];
  if (!same) mark(source, before, block);
}

void DirtyTable::mark(Source& source, const RowImage& row, std::int64_t block) {
  const Value& key = row[source.declared->key.value];
  if (const auto* number = std::get_if<std::int64_t>(&key)) {
    const auto [place, fresh] = source.blocks.try_emplace(*number, block);
    size_ += fresh ? 1 : 0;
    if (place->second < block) place.value() = block;
  } else if (is_unknown(key)) {  // the old row's, without REPLICA IDENTITY FULL
    sweeps_.insert(source.rule);
  }
}

void DirtyTable::sweep(TableIndex table) {
  for (const std::uint32_t at : by_table_[table.value]) sweeps_.insert(sources_[at].rule);
}

std::vector<DirtyKeys> DirtyTable::take() {
  std::vector<DirtyKeys> taken;
  for (Source& source : sources_) {
    if (source.blocks.empty()) continue;
    DirtyKeys keys{source.rule, source.index, {}, {}};
    std::vector<std::pair<std::int64_t, std::int64_t>> sorted(source.blocks.begin(),
                                                              source.blocks.end());
    std::ranges::sort(sorted);
    for (const auto& [key, block] : sorted) {
      keys.keys.push_back(key);
      keys.blocks.push_back(block);
    }
    empty_out(source.blocks, keys.keys.size());
    taken.push_back(std::move(keys));
  }
  size_ = 0;
  return taken;
}

std::vector<RuleIndex> DirtyTable::take_sweeps() {
  const std::set<RuleIndex> sweeps = std::exchange(sweeps_, {});
  return {sweeps.begin(), sweeps.end()};
}

void DirtyTable::clear() {
  for (Source& source : sources_) source.blocks.clear();
  sweeps_.clear();
  size_ = 0;
}

}  // namespace tidemark
