#include "consumer/kafka/connection_watch.h"

#include <algorithm>
#include <utility>

namespace tidemark {
namespace {

// Soon enough for readiness to follow an outage's end, seldom enough to be no load.
constexpr std::chrono::milliseconds kProbeEvery{1'000};

}  // namespace

void ConnectionWatch::refused(std::string why, TimePoint now) {
  why_ = std::move(why);
  if (refused_since_) return;
  refused_since_ = now;
  next_probe_ = std::min(now + patience_, now + kProbeEvery);
}

bool ConnectionWatch::all_down(TimePoint now) {
  if (down_) return false;
  if (!refused_since_) next_probe_ = now + kProbeEvery;
  down_ = true;
  return true;
}

bool ConnectionWatch::heard() {
  refused_since_.reset();
  return std::exchange(down_, false);
}

ConnectionWatch::Verdict ConnectionWatch::probed(bool answered, TimePoint now) {
  if (answered) return heard() ? Verdict::kUp : Verdict::kSame;
  next_probe_ = now + kProbeEvery;
  const bool long_enough = refused_since_ && now - *refused_since_ >= patience_;
  return long_enough ? Verdict::kRefused : Verdict::kSame;
}

}  // namespace tidemark
