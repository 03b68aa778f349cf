#include "consumer/service/advisory_commit.h"

#include <utility>

namespace tidemark {

void AdvisoryCommit::note_applied(const Delta& delta) {
  for (const Advance& advance : delta.advances) applied_[advance.where] = advance.to;
}

std::vector<StartAt> AdvisoryCommit::on_probe(const WalPositions& positions) {
  std::vector<StartAt> safe;
  if (waiting_ && positions.flushed >= waiting_->inserted) {
    for (const auto& [where, offset] : waiting_->offsets) safe.push_back({where, offset});
    waiting_.reset();
  }
  if (!waiting_ && !applied_.empty()) {
    waiting_ = Waiting{positions.inserted, std::exchange(applied_, {})};
  }
  return safe;
}

void AdvisoryCommit::clear() {
  applied_.clear();
  waiting_.reset();
}

}  // namespace tidemark
