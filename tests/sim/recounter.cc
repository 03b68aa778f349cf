#include "tests/sim/recounter.h"

#include <algorithm>
#include <utility>

#include "consumer/core/came_past.h"

namespace tidemark::sim {
namespace {

// The end of a partition for which the producer may still have records.
constexpr std::size_t kNotKnown = static_cast<std::size_t>(-1);

}  // namespace

Recounter::Recounter(Source& source, const Connector& connector, Target& target, Random& random,
                     const Trace& trace, const Rules& rules)
    : source_(source),
      connector_(connector),
      target_(target),
      random_(random),
      trace_(trace),
      rules_(rules) {}

void Recounter::restart() {
  if (slice_ && life_ == target_.life()) target_.alone = false;
  slice_.reset();
  ends_.clear();
}

bool Recounter::connected() {
  if (life_ == target_.life()) return true;
  restart();
  life_ = target_.life();
  return false;
}

bool Recounter::has_work() const {
  const Stored& stored = target_.stored();
  return slice_ || stored.pass || std::ranges::count(stored.suspects, true) > 0 ||
         std::ranges::any_of(stored.ranges, [](const auto& range) { return range.has_value(); });
}

void Recounter::begin_pass() {
  if (!connected() || target_.stored().pass || slice_) return;
  target_.commit(true, [&](Stored& stored) {
    stored.pass = Pass{.id = ++stored.newest_pass};
    for (auto& range : stored.ranges) {
      if (range && !range->pass) range->pass = stored.pass->id;
    }
  });
  trace_.say("recounter begins a pass");
}

void Recounter::next_step() {
  if (!connected()) return;
  if (!slice_) return begin_slice();
  SourceSnapshot& snapshot = slice_->slice.snapshot;
  switch (slice_->stage) {
    case Stage::kCounted:
      snapshot.inserted = source_.end_of_log();
      slice_->stage = Stage::kHasLsn;
      return;
    case Stage::kHasLsn:
      snapshot.next = rules_.has(Rule::kNext) ? source_.take_id() : source_.snapshot().xmax;
      slice_->stage = Stage::kHasNext;
      return;
    case Stage::kHasNext:
      commit_slice();
  }
}

void Recounter::begin_slice() {
  if (target_.sharing > 0 && rules_.has(Rule::kTurns)) return;
  const Stored& stored = target_.stored();
  const bool suspects = std::ranges::count(stored.suspects, true) > 0;
  if (!suspects && !stored.pass) return;
  Work work;
  work.of_pass = stored.pass && (!suspects || random_.percent(pass_first));
  if (work.of_pass) {
    choose_range(work);
  } else {
    choose_listed(work);
  }
  target_.alone = true;
  count(work);
  slice_ = std::move(work);
}

void Recounter::choose_listed(Work& work) {
  std::vector<std::size_t> cells;
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    if (target_.stored().suspects[cell]) cells.push_back(cell);
  }
  work.slice.aggregate = cell_name(random_.one_of(cells)).aggregate;
  work.slice.keys.listed.emplace();
  for (const std::size_t cell : cells) {
    const CellName& name = cell_name(cell);
    if (name.aggregate != work.slice.aggregate ||
        contains(work.slice.keys, name.aggregate, name.key)) {
      continue;
    }
    if (work.slice.keys.listed->empty() || random_.percent(50)) {
      work.slice.keys.listed->push_back(name.key);
    }
  }
}

// The last range is open-ended.
void Recounter::choose_range(Work& work) {
  const Pass& pass = *target_.stored().pass;
  const std::vector<std::string>& keys = keys_of(pass.aggregate);
  work.slice.aggregate = pass.aggregate;
  work.slice.keys.from = pass.next_key;
  std::size_t at = 0;
  if (pass.next_key) {
    at = static_cast<std::size_t>(std::ranges::find(keys, *pass.next_key) - keys.begin());
  }
  const std::size_t to = at + 1 + random_.below(keys.size() - at);
  if (to < keys.size()) work.slice.keys.to = work.pass_to = keys[to];
}

// Rule F4: counts and snapshot of one statement.
void Recounter::count(Work& work) {
  Slice& slice = work.slice;
  for (const std::string& key : keys_of(slice.aggregate)) {
    if (!contains(slice.keys, slice.aggregate, key)) continue;
    if (random_.percent(keys_held)) slice.locked.push_back(key);
    if (!slice.locked.empty()) trace_.note(Happened::kKeysHeld);
  }
  slice.snapshot = source_.snapshot();
  slice.snapshot.restart = source_.restart();
  slice.counts = source_.count();
  slice.saw = std::make_shared<const std::vector<bool>>(source_.visible());
  trace_.say(
      "recounter counts {} keys {} to {}{}", slice.aggregate.value == 0 ? "items" : "users",
      slice.keys.from.value_or("-"), slice.keys.to.value_or("-"),
      slice.keys.listed ? fmt::format(" listed {}", fmt::join(*slice.keys.listed, " ")) : "");
}

void Recounter::commit_slice() {
  if (!rules_.has(Rule::kFloorFirst)) slice_->slice.snapshot.restart = source_.restart();
  target_.commit(false, [&](Stored& stored) {
    if (rules_.has(Rule::kFloorEnded)) raise_floor(stored);
    if (!rules_.has(Rule::kFloor)) slice_->slice.snapshot.restart = Lsn(0);
    carry_out(stored, slice_->slice, rules_);
    stored.version = random_.next();
    if (slice_->of_pass) advance_pass(stored);
  });
  trace_.say("recounter fence {}: xmax {}, running [{}], next {}, L {}, restart {}",
             target_.stored().newest_fence, slice_->slice.snapshot.xmax,
             fmt::join(slice_->slice.snapshot.running, " "), slice_->slice.snapshot.next,
             slice_->slice.snapshot.inserted.value, slice_->slice.snapshot.restart.value);
  target_.alone = false;
  slice_.reset();
}

void Recounter::raise_floor(Stored& stored) {
  SourceSnapshot& snapshot = slice_->slice.snapshot;
  std::uint64_t oldest = snapshot.xmax;
  for (const std::uint64_t id : snapshot.running) oldest = std::min(oldest, id);
  if (oldest >= stored.next_floor_id) {
    stored.floor = std::max(stored.floor, stored.next_floor);
    stored.next_floor = snapshot.inserted;
    stored.next_floor_id = snapshot.next;
  }
  snapshot.restart = stored.floor;
}

void Recounter::advance_pass(Stored& stored) const {
  Pass& pass = *stored.pass;
  pass.next_key = slice_->pass_to;
  if (pass.next_key) return;
  if (++pass.aggregate.value < things_declaration().aggregates.size()) return;
  for (auto& range : stored.ranges) {
    if (!range || range->pass != pass.id) continue;
    trace_.note(Happened::kRangePass);
    range.reset();
  }
  stored.pass.reset();
}

void Recounter::drop_fences() {
  if (!connected()) return;
  if (random_.percent(50)) return read_ends();
  std::vector<std::int64_t> done;
  for (const auto& fence : target_.stored().fences) {
    if (all_seen_consumed(*fence) && !rows_locked(fence->id)) done.push_back(fence->id);
  }
  if (done.empty()) return;
  const std::int64_t fence = random_.one_of(done);
  trace_.say("recounter drops fence {}", fence);
  trace_.note(Happened::kFenceDropped);
  ends_.erase(fence);
  target_.commit(false, [&](Stored& stored) { drop_fence(stored, fence, rules_, trace_); });
}

void Recounter::read_ends() {
  for (const auto& fence : target_.stored().fences) {
    if (rules_.has(Rule::kSlot) && source_.confirmed() < fence->snapshot.inserted) continue;
    const std::size_t partitions = connector_.partitions().size();
    std::vector<std::size_t>& ends =
        ends_.try_emplace(fence->id, partitions, kNotKnown).first->second;
    for (std::size_t p = 0; p < partitions; ++p) {
      if (ends[p] != kNotKnown) continue;
      if (!connector_.silent(p) && rules_.has(Rule::kArrival)) continue;
      ends[p] = connector_.partitions()[p].size();
    }
    trace_.say("recounter reads the end offsets for fence {}: {}", fence->id, fmt::join(ends, " "));
  }
}

bool Recounter::all_seen_consumed(const Fence& fence) const {
  const auto ends = ends_.find(fence.id);
  if (ends == ends_.end()) return false;
  for (std::size_t p = 0; p < ends->second.size() && rules_.has(Rule::kEnd); ++p) {
    const Progress& progress = target_.stored().progress[p];
    if (rules_.has(Rule::kArrival) && came_past(progress.mark.position, fence.snapshot.inserted)) {
      if (ends->second[p] == kNotKnown) trace_.note(Happened::kCamePast);
      continue;
    }
    if (static_cast<std::size_t>(progress.next.value) < ends->second[p]) return false;
  }
  return true;
}

// By a batch in hand: the drop would wait for it.
bool Recounter::rows_locked(std::int64_t fence) const {
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    const auto& row = target_.stored().ledger[cell];
    if (row && row->fence == fence && target_.ledger_locked[cell] > 0) return true;
  }
  return false;
}

}  // namespace tidemark::sim
