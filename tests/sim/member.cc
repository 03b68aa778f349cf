#include "tests/sim/member.h"

#include <algorithm>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark::sim {
namespace {

constexpr std::size_t kBatchesAhead = 2;
constexpr std::size_t kRecordsMax = 6;
constexpr std::size_t kReplyLost = 6;    // percent of commits
constexpr std::size_t kTriesAgain = 50;  // percent: the same batch, rather than reading again

TopicPartition where(std::size_t partition) {
  return {"things", Partition(static_cast<std::int32_t>(partition))};
}

std::vector<Fence> copies(const std::vector<std::shared_ptr<const Fence>>& fences,
                          const Rules& rules) {
  std::vector<Fence> all;
  for (const auto& fence : fences) {
    all.push_back(*fence);
    SourceSnapshot& snapshot = all.back().snapshot;
    if (!rules.has(Rule::kList)) snapshot.running.clear();
    if (!rules.has(Rule::kWindow)) snapshot.next = snapshot.xmax;
    if (!rules.has(Rule::kInserted)) snapshot.inserted = Lsn(~0ULL);
    if (!rules.has(Rule::kRepairSaw)) all.back().repairs.assign(fence->repairs.size(), false);
  }
  return all;
}

}  // namespace

Member::Member(std::size_t number, Source& source, const Connector& connector, Target& target,
               Random& random, const Trace& trace, const Rules& rules)
    : number_(number),
      source_(source),
      connector_(connector),
      target_(target),
      random_(random),
      trace_(trace),
      rules_(rules),
      fold_(things_declaration(),
            rules.has(Rule::kNotNew) ? NotNewPolicy::kSuspect : NotNewPolicy::kDrop) {}

// --- ownership ----------------------------------------------------------------------------------

void Member::assign(std::vector<std::size_t> partitions) {
  assigned_ = std::move(partitions);
  forget();
}

void Member::restart() {
  trace_.say("member {}  restarts", number_);
  fences_.reset();
  forget();
}

void Member::forget() {
  release();
  batches_.clear();
  slots_.clear();
  needs_claim_ = true;
}

void Member::release() {
  if (!applying_) return;
  const bool same_life = life_ == target_.life();
  if (same_life) {
    for (const Advance& advance : batches_.front().advances) {
      target_.row_locked[static_cast<std::size_t>(advance.where.partition.value)] = false;
    }
    if (applying_->stage != Stage::kWaitsForTurn) --target_.sharing;
    for (std::size_t cell = 0; cell < kCells; ++cell) {
      if (applying_->ledger_locked[cell]) --target_.ledger_locked[cell];
    }
  }
  applying_.reset();
}

// A lost connection ends the transaction in hand; everything is read again.
bool Member::connected() {
  if (life_ == target_.life()) return true;
  forget();
  fences_.reset();
  life_ = target_.life();
  return false;
}

void Member::claim() {
  if (!connected() || !needs_claim_) return;
  for (const std::size_t partition : assigned_) {
    if (target_.row_locked[partition]) return;
  }
  std::vector<FoldPartition> partitions;
  target_.commit(false, [&](Stored& stored) {
    for (const std::size_t partition : assigned_) {
      Progress& progress = stored.progress[partition];
      ++progress.epoch.value;
      partitions.push_back({where(partition), progress.epoch, progress.next, progress.mark});
      slots_.push_back({partition, progress.next.value, progress.mark.position});
      trace_.say("member {}  claims partition {} at {}, epoch {}", number_, partition,
                 progress.next.value, progress.epoch.value);
    }
  });
  fold_.reset(partitions);
  needs_claim_ = false;
}

// --- fold ---------------------------------------------------------------------------------------

void Member::poll() {
  if (!connected() || needs_claim_ || batches_.size() == kBatchesAhead) return;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    const auto& messages = connector_.partitions()[slot.partition];
    for (std::size_t n = random_.below(kRecordsMax); n > 0; --n) {
      if (slot.next == static_cast<std::int64_t>(messages.size())) break;
      feed(slot, i, messages[static_cast<std::size_t>(slot.next)]);
    }
  }
  if (fold_.empty()) return;
  batches_.push_back(fold_.take());
  for (const Advance& advance : batches_.back().advances) {
    trace_.say("member {}  folds partition {} from {} to {}", number_,
               advance.where.partition.value, advance.from.value, advance.to.value);
  }
}

void Member::feed(Slot& slot, std::uint32_t index, const Message& message) {
  const Record record = record_at(index, slot.partition, slot.next++);
  Change change = change_of(source_, message);
  const bool tie = message.event && change.has_key && slot.last == change.position;
  if (message.event && change.has_key && change.position > slot.last) slot.last = change.position;
  if (tie && !rules_.has(Rule::kTie)) {
    fold_.add_skip(record, SkipReason::kOtherTable);
    return;
  }
  if (!rules_.has(Rule::kMark)) change.position->last_commit = Lsn(made_up_++);
  fold_.add_change(record, change);
}

// --- apply --------------------------------------------------------------------------------------

bool Member::locks_free() const {
  return std::ranges::none_of(batches_.front().advances, [&](const Advance& advance) {
    return target_.row_locked[static_cast<std::size_t>(advance.where.partition.value)];
  });
}

// Rule P1.
bool Member::may_advance(const Delta& delta) const {
  return std::ranges::all_of(delta.advances, [&](const Advance& advance) {
    const Progress& stored =
        target_.stored().progress[static_cast<std::size_t>(advance.where.partition.value)];
    return (stored.next == advance.from || !rules_.has(Rule::kOffset)) &&
           (stored.epoch == advance.epoch || !rules_.has(Rule::kEpoch));
  });
}

void Member::begin() {
  if (!connected() || batches_.empty()) return;
  if (!applying_) {
    if (!locks_free()) return;
    if (!may_advance(batches_.front())) {
      trace_.say("member {}  finds another's progress, drops its batch", number_);
      trace_.note(Happened::kZombieFenced);
      return forget();
    }
    for (const Advance& advance : batches_.front().advances) {
      target_.row_locked[static_cast<std::size_t>(advance.where.partition.value)] = true;
    }
    applying_.emplace();
    source_.take_id();
  }
  if (applying_->stage != Stage::kWaitsForTurn) return;
  if (target_.alone && rules_.has(Rule::kTurns)) return;
  ++target_.sharing;
  applying_->stage = Stage::kHasTurn;
  trace_.say("member {}  has its rows of progress and the turn", number_);
}

SourceSnapshot Member::snapshot_for_waiting() {
  SourceSnapshot snapshot = source_.snapshot();
  snapshot.next = rules_.has(Rule::kNext) ? source_.take_id() : snapshot.xmax;
  if (!rules_.has(Rule::kList)) snapshot.running.clear();
  if (!rules_.has(Rule::kWindow)) snapshot.next = snapshot.xmax;
  return snapshot;
}

// Rule F3: read again when a slice has come between.
const FenceSet& Member::fences_in_force() {
  const Stored& stored = target_.stored();
  if (!fences_ || (version_ != stored.version && rules_.has(Rule::kVersion))) {
    fences_.emplace(things_declaration(), copies(stored.fences, rules_));
    version_ = stored.version;
  }
  return *fences_;
}

void Member::look() {
  if (!connected() || !applying_ || applying_->stage != Stage::kHasTurn) return;
  const Delta& batch = batches_.front();
  if (rules_.has(Rule::kVisible) && !saw_all(snapshot_for_waiting(), batch)) {
    trace_.say("member {}  waits for a commit to be visible", number_);
    trace_.note(Happened::kWaited);
    return;
  }
  applying_->effects = effects_of(batch, fences_in_force());
  lock_ledger();
  applying_->stage = Stage::kLooked;
}

// The rows that it updates: a drop of their fence would wait.
void Member::lock_ledger() {
  applying_->ledger_locked = applying_->effects.flags;
  for (const Effects::Skip& skip : applying_->effects.skips) {
    applying_->ledger_locked[skip.cell] = target_.stored().ledger[skip.cell].has_value();
  }
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    if (applying_->ledger_locked[cell]) ++target_.ledger_locked[cell];
  }
}

Member::Effects Member::effects_of(const Delta& delta, const FenceSet& fences) const {
  const Stored& seen = target_.stored();
  Effects effects;
  for (const SuspectRange& range : delta.suspect_ranges) {
    for (std::size_t cell = 0; cell < kCells; ++cell) {
      const CellName& name = cell_name(cell);
      if (name.aggregate != range.aggregate || name.counter != range.counter) continue;
      effects.ranges[name.of_all] = true;
      effects.flags[cell] = seen.ledger[cell].has_value();
    }
  }
  for (const SuspectCell& suspect : delta.suspect_cells) {
    const std::size_t cell = cell_at(suspect.aggregate, suspect.counter, suspect.key);
    effects.suspects[cell] = !seen.waits_for_pass(cell);
    effects.flags[cell] = seen.ledger[cell].has_value();
  }
  const FencedDelta fenced = fences.let_through(delta);
  const auto& aggregates = fenced.aggregates.empty() ? delta.aggregates : fenced.aggregates;
  for (std::uint32_t a = 0; a < aggregates.size(); ++a) {
    const AggregateDelta& rows = aggregates[a];
    const bool takes_away = std::ranges::any_of(rows.deltas, [](auto d) { return d < 0; });
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      for (std::uint32_t c = 0; c < rows.counters; ++c) {
        const std::size_t cell = cell_at(
            AggregateIndex(a), CounterIndex(c),
            rows.text_keys.empty() ? std::to_string(rows.integer_keys[row]) : rows.text_keys[row]);
        effects.deltas[cell] += rows.deltas[row * rows.counters + c];
        effects.takes_away[cell] = takes_away;
      }
    }
  }
  if (fenced.skipped_changes > 0) trace_.note(Happened::kSkipped);
  for (const SkippedDelta& skip : fenced.skipped) {
    const AggregateDelta& rows = delta.aggregates[skip.aggregate.value];
    const std::size_t cell =
        cell_at(skip.aggregate, skip.counter,
                rows.text_keys.empty() ? std::to_string(rows.integer_keys[skip.row])
                                       : rows.text_keys[skip.row]);
    const bool suspect =
        seen.is_suspect(cell) || effects.suspects[cell] || effects.ranges[cell_name(cell).of_all];
    const bool flagged = suspect && rules_.has(Rule::kFlagAtApply);
    effects.skips.push_back({cell, skip.delta, flagged, skip.fence});
  }
  return effects;
}

void Member::carry_out(Stored& stored, const Delta& delta, const Effects& effects) const {
  for (const Advance& advance : delta.advances) {
    Progress& progress = stored.progress[static_cast<std::size_t>(advance.where.partition.value)];
    progress.next = advance.to;
    progress.mark = advance.mark;
  }
  for (std::size_t counter = 0; counter < kCounters; ++counter) {
    if (effects.ranges[counter]) make_range_suspect(stored, counter);
  }
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    stored.cells[cell] += effects.deltas[cell];
    const bool negative = effects.takes_away[cell] && stored.cells[cell] < 0;
    if (effects.suspects[cell] || negative) make_suspect(stored, cell);
    if (!stored.ledger[cell] || !rules_.has(Rule::kFlagAtApply)) continue;
    if (effects.flags[cell] || negative) stored.ledger[cell]->suspect = true;
  }
  for (const Effects::Skip& skip : effects.skips) {
    book(stored, skip.cell, -skip.delta, skip.flagged, skip.fence);
  }
}

void Member::commit() {
  if (!connected() || !applying_ || applying_->stage != Stage::kLooked) return;
  const Delta& delta = batches_.front();
  trace_.say("member {}  applies", number_);
  target_.commit(false, [&](Stored& stored) { carry_out(stored, delta, applying_->effects); });
  release();
  if (!random_.percent(kReplyLost)) {
    batches_.pop_front();
    return;
  }
  trace_.note(Happened::kReplyLost);
  if (!random_.percent(kTriesAgain)) {
    trace_.say("member {}  doesn't learn of its commit", number_);
    forget();
  }
}

void Member::roll_back() {
  if (!connected() || !applying_) return;
  trace_.say("member {}  rolls back", number_);
  release();
  if (!random_.percent(kTriesAgain)) forget();
}

}  // namespace tidemark::sim
