// Looks at the stored state again and again on a thread and a connection of its own, for who asks
// /status and /metrics: however often they ask, Postgres is asked once a second.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "consumer/core/types.h"
#include "consumer/store/overview.h"
#include "consumer/store/slot_look.h"

namespace tidemark {

// What a look found. It stays as it is.
struct StateView {
  std::chrono::steady_clock::time_point at;  // when; long ago: looking fails
  Overview overview;
  std::map<TopicPartition, Offset> ends;  // of all partitions, as Kafka says; may be empty
  std::optional<SourceView> source;       // none: there is one database, or nobody looked
};

struct StateWatchOptions {
  PgOptions pg;
  // Where topics end. Called from the watch's thread while somebody looks; throws WorldError.
  std::function<std::map<TopicPartition, Offset>()> ends;
  // The source, where it is a second database; empty: it is not. Called as `ends`.
  std::function<SourceView()> source;
  // Told of each look.
  std::function<void(const StateView&)> on_look;
};

// Thread-safe.
class StateWatch {
 public:
  explicit StateWatch(StateWatchOptions options);
  ~StateWatch();
  StateWatch(const StateWatch&) = delete;
  StateWatch& operator=(const StateWatch&) = delete;

  // The last look, nullptr before the first; somebody looks, so the next ones come soon. Doesn't
  // wait.
  std::shared_ptr<const StateView> view();
  // Why the last look failed; empty: it did not.
  std::string trouble() const;

 private:
  using Steady = std::chrono::steady_clock;

  void run();
  void look(bool watched);

  const StateWatchOptions options_;
  OverviewReader reader_;  // the thread's
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  Steady::time_point asked_at_{};
  std::shared_ptr<const StateView> view_;
  std::string trouble_;
  std::thread thread_;  // last: it uses all of these
};

}  // namespace tidemark
