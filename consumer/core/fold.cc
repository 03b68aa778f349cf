#include "consumer/core/fold.h"

#include <xxhash.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "consumer/core/cell_table.h"
#include "consumer/core/check.h"
#include "consumer/core/dirty.h"
#include "consumer/core/predicate.h"

namespace tidemark {
namespace {

// What recognises a change at a mark: table, primary key (the whole row without one) and op.
// Stored: the bytes that are hashed never change.
class Identity {
 public:
  explicit Identity(const Declaration& declaration) {
    for (const Table& table : declaration.tables) {
      const std::string name = table.name.text();
      seeds_.push_back(XXH3_64bits(name.data(), name.size()));
    }
  }

  Hash64 of(const Table& table, const Change& change) {
    bytes_.assign(1, op_letter(change.op));
    const RowImage& row = change.after.empty() ? change.before : change.after;
    if (!row.empty()) {
      if (table.primary_key.empty()) {
        for (const Value& value : row) append(value);
      }
      for (const ColumnIndex column : table.primary_key) append(row[column.value]);
    }
    return Hash64(XXH3_64bits_withSeed(bytes_.data(), bytes_.size(), seeds_[change.table.value]));
  }

 private:
  template <class T>
  void append_raw(char tag, const T& value) {
    bytes_.push_back(tag);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  void append(const Value& value) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      append_raw('i', *number);
    } else if (const auto* text = std::get_if<std::string_view>(&value)) {
      append_raw('t', static_cast<std::uint64_t>(text->size()));
      bytes_.append(*text);
    } else if (const auto* flag = std::get_if<bool>(&value)) {
      append_raw('b', static_cast<char>(*flag));
    } else {
      bytes_.push_back(std::holds_alternative<Null>(value) ? 'n' : '?');
    }
  }

  std::vector<std::uint64_t> seeds_;
  std::string bytes_;
};

std::string key_text(const Value& key) {
  if (const auto* number = std::get_if<std::int64_t>(&key)) return std::to_string(*number);
  return std::string(std::get<std::string_view>(key));
}

bool is_unknown(const Value& value) { return std::holds_alternative<Unknown>(value); }
bool is_null(const Value& value) { return std::holds_alternative<Null>(value); }

bool only_touches(const TouchOnly& touch, const Change& change, Offset offset) {
  return offset < touch.below || (change.position && change.position->lsn < touch.until);
}

// An update that says for certain that nothing read here changed.
bool changes_nothing(const Change& change) {
  return change.op == Op::kUpdate && change.before == change.after &&
         std::ranges::none_of(change.after, is_unknown);
}

// Recounted columns that read a table.
struct Recounted {
  AggregateIndex aggregate;
  CounterIndex cell;
  ColumnIndex key;
};

struct PartitionState {
  FoldPartition at;    // as after the batch so far
  Offset from;         // where the batch started
  bool moved = false;  // the batch has a record of it
  std::optional<Fingerprint> last;
};

}  // namespace

struct Fold::Impl {
  const Declaration& declaration;
  NotNewPolicy policy;
  Identity identity;
  std::vector<PartitionState> partitions;
  std::vector<CellTable> cells;
  DirtyTable dirty;
  std::vector<SuspectCell> suspect_cells;
  std::vector<SuspectRange> suspect_ranges;
  std::vector<ParkedRecord> parked;
  std::vector<LoggedDelta> log;
  DetailLog details;
  std::vector<std::uint32_t> transactions;
  LoggedDelta folding{};  // of the change in hand: its position and transaction
  BatchFigures figures;
  RowImage assumed_before;                        // for an update whose before is missing
  std::vector<std::vector<RowMaker>> looked_up;   // by table: the aggregates that look it up
  std::vector<std::vector<Recounted>> recounted;  // by table: the columns that read it

  Impl(const Declaration& d, NotNewPolicy p) : declaration(d), policy(p), identity(d), dirty(d) {
    looked_up.resize(d.tables.size());
    recounted.resize(d.tables.size());
    for (std::uint32_t a = 0; a < d.aggregates.size(); ++a) {
      cells.emplace_back(d.aggregates[a]);
      for (const Lookup& lookup : d.aggregates[a].lookups) {
        looked_up[lookup.table.value].push_back({AggregateIndex(a), lookup.key});
      }
      note_recounted(AggregateIndex(a));
    }
  }

  void note_recounted(AggregateIndex aggregate);
  void count_record(const Record& record);
  void drop_batch();
  void note_transaction(const Change& change);
  void fold_change(const Change& change, PartitionState& partition, Offset offset);
  void apply_transition(const Table& table, const RowImage& before, const RowImage& after);
  void suspect_row(const Table& table, const Contribution& contribution, const RowImage& row,
                   SuspectCause cause);
  void suspect_change(const Table& table, const Change& change, SuspectCause cause);
  void suspect_recounted(const Change& change);
  void suspect_table(TableIndex table, SuspectCause cause);
  void suspect_range(AggregateIndex aggregate, CounterIndex cell, SuspectCause cause);
  void touch_rows(const Table& table, const Change& change);
  void touch(AggregateIndex aggregate, const Value& key);
  void add(const Contribution& contribution, const RowImage& row, std::int32_t delta);
  const RowImage& before_of(const Table& table, const Change& change);
  std::size_t row_of(AggregateIndex aggregate, const Value& key);
};

void Fold::Impl::note_recounted(AggregateIndex index) {
  const Aggregate& aggregate = declaration.aggregate(index);
  for (std::size_t group = 0; group < aggregate.recounted.size(); ++group) {
    for (const auto& [table, key] : aggregate.recounted[group].from) {
      recounted[table.value].push_back({index, aggregate.recounted_cell(group), key});
    }
  }
}

void Fold::Impl::count_record(const Record& record) {
  TIDEMARK_CHECK(record.slot < partitions.size());
  PartitionState& partition = partitions[record.slot];
  TIDEMARK_CHECK(record.offset >= partition.at.next);
  partition.at.next = Offset(record.offset.value + 1);
  partition.moved = true;
  partition.last = fingerprint_of(record);
  ++figures.records;
  figures.bytes += record.value.value_or("").size() + record.key.value_or("").size();
  if (record.timestamp.value <= 0) return;
  const std::int64_t appended = record.timestamp.value;
  if (figures.oldest_append_ms == 0 || appended < figures.oldest_append_ms) {
    figures.oldest_append_ms = appended;
  }
  figures.newest_append_ms = std::max(figures.newest_append_ms, appended);
}

std::size_t Fold::Impl::row_of(AggregateIndex aggregate, const Value& key) {
  CellTable& table = cells[aggregate.value];
  if (const auto* number = std::get_if<std::int64_t>(&key)) return table.row(*number);
  return table.row(std::get<std::string_view>(key));
}

void Fold::Impl::add(const Contribution& contribution, const RowImage& row, std::int32_t delta) {
  const Value& key = row[contribution.key.value];
  if (is_null(key)) return;  // as in SQL: a null groups with no aggregate row
  const std::size_t cell_row = row_of(contribution.aggregate, key);
  cells[contribution.aggregate.value].add(cell_row, contribution.counter, delta);
  folding.row = static_cast<std::uint32_t>(cell_row);
  folding.aggregate = static_cast<std::uint16_t>(contribution.aggregate.value);
  folding.counter = static_cast<std::uint16_t>(contribution.counter.value);
  folding.delta = static_cast<std::int16_t>(delta);
  // Only what adds can cross a threshold upwards.
  if (delta > 0) details.note(log.size(), contribution.details, row);
  log.push_back(folding);
}

void Fold::Impl::touch(AggregateIndex aggregate, const Value& key) {
  if (is_null(key) || is_unknown(key)) return;
  row_of(aggregate, key);
}

// An update without a before (REPLICA IDENTITY not FULL): nothing is known of it but the primary
// key, which is the after's, as a changed key comes as a delete and a create.
const RowImage& Fold::Impl::before_of(const Table& table, const Change& change) {
  const bool missing =
      change.before.empty() && (change.op == Op::kUpdate || change.op == Op::kDelete);
  if (!missing) return change.before;
  assumed_before.assign(table.columns.size(), Unknown{});
  if (!change.after.empty()) {
    for (const ColumnIndex column : table.primary_key) {
      assumed_before[column.value] = change.after[column.value];
    }
  }
  return assumed_before;
}

void Fold::Impl::suspect_row(const Table& table, const Contribution& contribution,
                             const RowImage& row, SuspectCause cause) {
  if (row.empty()) return;
  const Truth counts = both(evaluate(table.active, row), evaluate(contribution.when, row));
  // A snapshot's row that counts nowhere may be the repair of one that was counted.
  if (counts == Truth::kFalse && cause != SuspectCause::kSnapshotRow) return;
  const Value& key = row[contribution.key.value];
  if (is_null(key)) return;
  if (is_unknown(key)) {
    suspect_range(contribution.aggregate, contribution.counter, cause);
  } else {
    suspect_cells.push_back({contribution.aggregate, contribution.counter, key_text(key), cause});
  }
}

void Fold::Impl::suspect_change(const Table& table, const Change& change, SuspectCause cause) {
  const RowImage& before = before_of(table, change);
  for (const Contribution& contribution : table.contributions) {
    suspect_row(table, contribution, before, cause);
    suspect_row(table, contribution, change.after, cause);
  }
}

// Whatever a change proves of counts: it says that what is computed from the row may be another
// now, for the old key and for the new one.
void Fold::Impl::suspect_recounted(const Change& change) {
  const auto& groups = recounted[change.table.value];
  if (groups.empty() || changes_nothing(change)) return;
  const RowImage& before = before_of(declaration.table(change.table), change);
  for (const auto& [aggregate, cell, key_column] : groups) {
    for (const RowImage* row : {&before, &change.after}) {
      if (row->empty()) continue;
      const Value& key = (*row)[key_column.value];
      if (is_null(key)) continue;
      if (is_unknown(key)) {
        suspect_range(aggregate, cell, SuspectCause::kPartialImage);
      } else {
        suspect_cells.push_back({aggregate, cell, key_text(key), SuspectCause::kChanged});
      }
    }
  }
}

void Fold::Impl::suspect_table(TableIndex table, SuspectCause cause) {
  for (const Contribution& contribution : declaration.table(table).contributions) {
    suspect_range(contribution.aggregate, contribution.counter, cause);
  }
  for (const auto& [aggregate, cell, key] : recounted[table.value]) {
    suspect_range(aggregate, cell, cause);
  }
  dirty.sweep(table);
}

// Noted once: a batch of a million bad records names the same few counters.
void Fold::Impl::suspect_range(AggregateIndex aggregate, CounterIndex cell, SuspectCause cause) {
  const SuspectRange range{aggregate, cell, cause};
  if (std::ranges::find(suspect_ranges, range) == suspect_ranges.end()) {
    suspect_ranges.push_back(range);
  }
}

void Fold::Impl::apply_transition(const Table& table, const RowImage& before,
                                  const RowImage& after) {
  const auto active = [&](const RowImage& row) {
    return row.empty() ? Truth::kFalse : evaluate(table.active, row);
  };
  const Truth was_active = active(before);
  const Truth is_active = active(after);
  if (was_active == Truth::kFalse && is_active == Truth::kFalse) return;
  static const Value no_key = Null{};
  for (const Contribution& contribution : table.contributions) {
    const Truth was = was_active == Truth::kFalse
                          ? Truth::kFalse
                          : both(was_active, evaluate(contribution.when, before));
    const Truth is = is_active == Truth::kFalse
                         ? Truth::kFalse
                         : both(is_active, evaluate(contribution.when, after));
    const Value& old_key = was == Truth::kFalse ? no_key : before[contribution.key.value];
    const Value& new_key = is == Truth::kFalse ? no_key : after[contribution.key.value];
    if (was == Truth::kUndecided || is == Truth::kUndecided || is_unknown(old_key) ||
        is_unknown(new_key)) {
      suspect_row(table, contribution, before, SuspectCause::kPartialImage);
      suspect_row(table, contribution, after, SuspectCause::kPartialImage);
      continue;
    }
    if (was == is && old_key == new_key) continue;
    if (was == Truth::kTrue) add(contribution, before, -1);
    if (is == Truth::kTrue) add(contribution, after, +1);
  }
}

// Rows that must exist, and rows whose looked-up column may be another now.
void Fold::Impl::touch_rows(const Table& table, const Change& change) {
  const RowImage& row = change.after.empty() ? change.before : change.after;
  if (row.empty()) return;
  if (!change.after.empty()) {
    for (const RowMaker& maker : table.makes) {
      const Value& key = change.after[maker.key.value];
      const bool known = !change.before.empty() && change.before[maker.key.value] == key;
      if (!known) touch(maker.aggregate, key);
    }
  }
  const auto& lookups = looked_up[change.table.value];
  if (lookups.empty() || (change.op == Op::kUpdate && change.before == change.after)) return;
  for (const RowMaker& lookup : lookups) {
    touch(lookup.aggregate, row[lookup.key.value]);
    if (!change.before.empty()) touch(lookup.aggregate, change.before[lookup.key.value]);
  }
}

// Rule F2: what the batch says of a transaction must be visible to every later recount. A
// snapshot's row names the snapshot's own transaction, which says nothing.
void Fold::Impl::note_transaction(const Change& change) {
  if (!change.tx_id || change.op == Op::kRead) return;
  folding.tx_id = static_cast<std::uint32_t>(*change.tx_id);
  if (change.position) folding.lsn = change.position->lsn;
  if (transactions.empty() || transactions.back() != folding.tx_id) {
    transactions.push_back(folding.tx_id);
  }
}

void Fold::Impl::fold_change(const Change& change, PartitionState& partition, Offset offset) {
  const Table& table = declaration.table(change.table);
  Mark& mark = partition.at.mark;
  note_transaction(change);
  if (change.op == Op::kTruncate) {
    observe(mark, change.position, identity.of(table, change));
    suspect_table(change.table, SuspectCause::kTruncate);
    return;
  }
  suspect_recounted(change);
  if (dirty.watches(change.table) && !changes_nothing(change)) {
    dirty.note(change.table, before_of(table, change), change.after);
  }
  if (change.op == Op::kRead) {
    touch_rows(table, change);
    suspect_change(table, change, SuspectCause::kSnapshotRow);
    return;
  }
  if (!change.has_key) {
    touch_rows(table, change);
    suspect_change(table, change, SuspectCause::kNoKey);
    return;
  }
  switch (observe(mark, change.position, identity.of(table, change))) {
    case Novelty::kNew:
      touch_rows(table, change);
      if (!change.tx_id) {  // no fence could tell whether it was counted
        suspect_change(table, change, SuspectCause::kNoPosition);
        return;
      }
      if (only_touches(partition.at.touch_only, change, offset)) {
        suspect_change(table, change, SuspectCause::kNotNew);
        return;
      }
      apply_transition(table, before_of(table, change), change.after);
      return;
    case Novelty::kUnknown:
      touch_rows(table, change);
      suspect_change(table, change, SuspectCause::kNoPosition);
      return;
    case Novelty::kBelowMark:
    case Novelty::kSeenAtMark:
      ++figures.duplicates;
      // Without a primary key two equal rows of one COPY page can't be told apart.
      if (policy == NotNewPolicy::kSuspect || table.primary_key.empty()) {
        suspect_change(table, change, SuspectCause::kNotNew);
      }
      return;
  }
}

void Fold::Impl::drop_batch() {
  for (CellTable& table : cells) table.take();
  suspect_cells.clear();
  suspect_ranges.clear();
  dirty.clear();
  parked.clear();
  log.clear();
  details = {};
  transactions.clear();
  figures = {};
}

Fold::Fold(const Declaration& declaration, NotNewPolicy policy)
    : impl_(std::make_unique<Impl>(declaration, policy)) {}
Fold::~Fold() = default;
Fold::Fold(Fold&&) noexcept = default;
Fold& Fold::operator=(Fold&&) noexcept = default;

void Fold::reset(std::span<const FoldPartition> partitions) {
  impl_->drop_batch();
  impl_->partitions.clear();
  for (const FoldPartition& partition : partitions) {
    impl_->partitions.push_back(
        {.at = partition, .from = partition.next, .moved = false, .last = {}});
  }
}

void Fold::add_change(const Record& record, const Change& change) {
  impl_->count_record(record);
  ++impl_->figures.changes;
  impl_->fold_change(change, impl_->partitions[record.slot], record.offset);
}

void Fold::add_skip(const Record& record, SkipReason reason) {
  impl_->count_record(record);
  ++impl_->figures.skipped[static_cast<std::size_t>(reason)];
}

void Fold::add_bad(const Record& record, BadRecord bad, std::span<const TableIndex> tables) {
  impl_->count_record(record);
  const auto cut = [](const std::optional<std::string_view>& bytes) -> std::optional<std::string> {
    if (!bytes) return std::nullopt;
    return std::string(bytes->substr(0, ParkedRecord::kPayloadBytesMax));
  };
  impl_->parked.push_back({.where = impl_->partitions[record.slot].at.where,
                           .offset = record.offset,
                           .timestamp = record.timestamp,
                           .bad = std::move(bad),
                           .key = cut(record.key),
                           .payload = cut(record.value),
                           .payload_bytes = record.value.value_or("").size()});
  for (const TableIndex table : tables) {
    impl_->suspect_table(table, SuspectCause::kParked);
  }
}

std::size_t Fold::rows() const {
  std::size_t rows = impl_->suspect_cells.size() + impl_->parked.size() + impl_->dirty.size();
  for (const CellTable& table : impl_->cells) rows += table.rows();
  return rows;
}
std::size_t Fold::records() const { return impl_->figures.records; }
std::size_t Fold::parked() const { return impl_->parked.size(); }
std::size_t Fold::bytes() const { return impl_->figures.bytes; }
Offset Fold::next(std::uint32_t slot) const { return impl_->partitions[slot].at.next; }

namespace {

// A cell that several events touched is suspect once; the first cause in order is kept.
template <class T, class SameThing>
std::vector<T> sorted_once(std::vector<T> things, SameThing same) {
  std::ranges::sort(things);
  // Not ranges::unique: clang 14 can't compile libstdc++ 12's subrange, and the fuzzers need clang.
  things.erase(std::unique(things.begin(), things.end(), same), things.end());
  return things;
}

}  // namespace

Delta Fold::take() {
  Delta delta;
  for (CellTable& table : impl_->cells) delta.aggregates.push_back(table.take());
  delta.suspect_cells = sorted_once(
      std::exchange(impl_->suspect_cells, {}), [](const SuspectCell& a, const SuspectCell& b) {
        return std::tie(a.aggregate, a.counter, a.key) == std::tie(b.aggregate, b.counter, b.key);
      });
  delta.suspect_ranges = sorted_once(
      std::exchange(impl_->suspect_ranges, {}), [](const SuspectRange& a, const SuspectRange& b) {
        return std::tie(a.aggregate, a.counter) == std::tie(b.aggregate, b.counter);
      });
  delta.dirty = impl_->dirty.take();
  delta.sweeps = impl_->dirty.take_sweeps();
  delta.parked = std::exchange(impl_->parked, {});
  delta.log = std::exchange(impl_->log, {});
  delta.details = std::exchange(impl_->details, {});
  delta.transactions = std::exchange(impl_->transactions, {});
  for (PartitionState& partition : impl_->partitions) {
    if (!partition.moved) continue;
    delta.advances.push_back({.where = partition.at.where,
                              .epoch = partition.at.epoch,
                              .from = partition.from,
                              .to = partition.at.next,
                              .mark = partition.at.mark,
                              .fingerprint = partition.last});
    partition.from = partition.at.next;
    partition.moved = false;
  }
  std::ranges::sort(delta.advances, {}, &Advance::where);
  delta.figures = std::exchange(impl_->figures, {});
  return delta;
}

}  // namespace tidemark
