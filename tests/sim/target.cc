#include "tests/sim/target.h"

#include <utility>

namespace tidemark::sim {

Target::Target(Random& random, const Trace& trace, std::size_t partitions)
    : row_locked(partitions, false), random_(random), trace_(trace) {
  now_.progress.resize(partitions);
  const auto nothing = std::make_shared<const std::vector<bool>>();
  for (Recounted& recounted : now_.recounted) recounted.saw = nothing;
}

void Target::crash() {
  std::size_t lost = random_.below(unflushed_.size() + 1);
  trace_.say("target    crashes, {} commits are lost", lost);
  if (lost > 0) trace_.note(Happened::kCommitsLost);
  for (; lost > 0; --lost) {
    now_ = std::move(unflushed_.back());
    unflushed_.pop_back();
  }
  unflushed_.clear();
  row_locked.assign(row_locked.size(), false);
  ledger_locked = {};
  sharing = 0;
  alone = false;
  ++life_;
  changed_ = true;
}

bool Target::take_changed() { return std::exchange(changed_, false); }

}  // namespace tidemark::sim
