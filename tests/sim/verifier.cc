#include "tests/sim/verifier.h"

#include <algorithm>
#include <utility>

#include "consumer/core/came_past.h"
#include "consumer/core/fold.h"

namespace tidemark::sim {

Verifier::Verifier(const Source& source, const Connector& connector, const Target& target,
                   const Trace& trace, const Rules& rules)
    : source_(source), connector_(connector), target_(target), trace_(trace), rules_(rules) {}

void Verifier::step(Source& source) {
  if (look_ && look_->life != target_.life()) look_.reset();
  if (!look_) {
    look_ = Look{.stored = target_.stored(),
                 .counts = source_.count(),
                 .snapshot = source_.snapshot(),
                 .life = target_.life()};
    look_->snapshot.restart = rules_.has(Rule::kFloor) ? look_->stored.floor : Lsn(0);
    return;
  }
  switch (look_->stage) {
    case Stage::kLooked:
      look_->snapshot.inserted = source_.end_of_log();
      look_->stage = Stage::kHasLsn;
      return;
    case Stage::kHasLsn:
      look_->snapshot.next = source.take_id();
      look_->stage = Stage::kHasNext;
      return;
    case Stage::kHasNext:
      if (rules_.has(Rule::kVerifySlot) && source_.confirmed() < look_->snapshot.inserted) return;
      if (rules_.has(Rule::kVerifyArrival) && !arrived()) return;
      judge();
      look_.reset();
  }
}

// Nothing waits for a partition, or what is in it stands past L.
bool Verifier::arrived() const {
  for (std::size_t p = 0; p < connector_.partitions().size(); ++p) {
    if (connector_.silent(p)) continue;
    const auto& messages = connector_.partitions()[p];
    const auto past = [&](const Message& message) {
      return message.event && came_past(message.position, look_->snapshot.inserted);
    };
    if (std::ranges::none_of(messages, past)) return false;
  }
  return true;
}

Verification Verifier::verification() const {
  const Stored& stored = look_->stored;
  std::vector<Fence> fences;
  for (const auto& fence : stored.fences) fences.push_back(*fence);
  if (!rules_.has(Rule::kVerifyFences)) fences.clear();
  std::vector<SuspectCell> suspects;
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    if (!stored.is_suspect(cell)) continue;
    const CellName& name = cell_name(cell);
    suspects.push_back({name.aggregate, name.counter, name.key, SuspectCause::kNotNew});
  }
  Verification verification(things_declaration(), look_->snapshot, std::move(fences), suspects, {});
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    if (stored.cells[cell] == look_->counts[cell]) continue;
    const CellName& name = cell_name(cell);
    verification.add_difference(
        {name.aggregate, name.counter, name.key, look_->counts[cell], stored.cells[cell]});
  }
  return verification;
}

// All partitions from the stored offsets and marks on.
void Verifier::add_lag(Verification& verification) const {
  Fold fold(things_declaration(), NotNewPolicy::kSuspect);
  std::vector<FoldPartition> partitions;
  for (std::size_t p = 0; p < look_->stored.progress.size(); ++p) {
    const Progress& progress = look_->stored.progress[p];
    partitions.push_back({{"things", Partition(static_cast<std::int32_t>(p))},
                          progress.epoch,
                          progress.next,
                          progress.mark});
  }
  fold.reset(partitions);
  for (std::uint32_t p = 0; p < partitions.size(); ++p) {
    const auto& messages = connector_.partitions()[p];
    for (std::int64_t at = partitions[p].next.value;
         at < static_cast<std::int64_t>(messages.size()); ++at) {
      fold.add_change(record_at(p, p, at),
                      change_of(source_, messages[static_cast<std::size_t>(at)]));
    }
  }
  if (!fold.empty()) verification.add_lag(fold.take());
}

void Verifier::judge() const {
  Verification verification = this->verification();
  add_lag(verification);
  const Verdict verdict = verification.judge();
  Counts found{};
  for (const VerifiedDrift& drift : verdict.drift) {
    found[cell_at(drift.aggregate, drift.counter, drift.key)] = drift.difference;
  }
  if (verdict.lagging > 0) trace_.note(Happened::kVerifiedLag);
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    const std::int64_t by_hand = look_->stored.by_hand[cell];
    const CellName& name = cell_name(cell);
    if (!verification.judges(name.aggregate, name.counter, name.key)) continue;
    if (found[cell] != by_hand) {
      throw Broken(fmt::format("verify finds {} in {}, by hand it was {}", found[cell], name.text(),
                               by_hand));
    }
    if (by_hand != 0) trace_.note(Happened::kVerifiedDrift);
  }
}

}  // namespace tidemark::sim
