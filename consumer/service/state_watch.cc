#include "consumer/service/state_watch.h"

#include <utility>

#include "consumer/core/ports.h"

namespace tidemark {
namespace {

// While somebody looks, and for some time after; else only for the metrics.
constexpr std::chrono::milliseconds kEveryWatched{1'000};
constexpr std::chrono::milliseconds kEvery{5'000};
constexpr std::chrono::seconds kWatchedFor{10};

}  // namespace

StateWatch::StateWatch(StateWatchOptions options)
    : options_(std::move(options)), reader_(options_.pg), thread_([this] { run(); }) {}

StateWatch::~StateWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

std::shared_ptr<const StateView> StateWatch::view() {
  const std::lock_guard lock(mutex_);
  const auto now = Steady::now();
  // The first to come for long need not wait for the slow pace.
  if (now - asked_at_ > kWatchedFor) changed_.notify_all();
  asked_at_ = now;
  return view_;
}

std::string StateWatch::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void StateWatch::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto begin = Steady::now();
    const bool watched = begin - asked_at_ < kWatchedFor;
    lock.unlock();
    look(watched);
    lock.lock();
    changed_.wait_until(lock, begin + (watched ? kEveryWatched : kEvery), [&] {
      return stopping_ || (!watched && Steady::now() - asked_at_ < kWatchedFor);
    });
  }
}

// The last view stays when this look fails: its age tells.
void StateWatch::look(bool watched) {
  auto view = std::make_shared<StateView>();
  std::string trouble;
  try {
    view->overview = reader_.read();
    view->at = Steady::now();
  } catch (const WorldError& error) {
    trouble = error.what();
  }
  if (watched && options_.ends) {
    try {
      view->ends = options_.ends();
    } catch (const WorldError&) {  // the lag of other members' partitions is not known then
    }
  }
  if (watched && options_.source) view->source = options_.source();
  const bool found = view->at != Steady::time_point{};
  if (found && options_.on_look) options_.on_look(*view);
  const std::lock_guard lock(mutex_);
  if (found) view_ = std::move(view);
  trouble_ = std::move(trouble);
}

}  // namespace tidemark
