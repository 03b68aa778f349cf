// The loop that recounts: suspects at once, whole aggregates when their pass is due, and fences
// that have done their work are dropped (DESIGN 4.4 to 4.6). One member at a time does it, whoever
// lives.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "consumer/core/ports.h"
#include "consumer/service/arrival.h"
#include "consumer/service/backoff.h"
#include "consumer/service/empty_tails.h"
#include "consumer/service/rehearsal.h"
#include "consumer/service/slice_sizer.h"
#include "consumer/service/turn_patience.h"
#include "consumer/store/pg_recount.h"

namespace tidemark {

// What Kafka says of the topics that are read; all throw WorldError.
struct TopicLook {
  std::function<std::vector<TopicEnd>()> ends;                      // of all partitions
  std::function<std::map<std::string, std::int32_t>()> partitions;  // of those that exist
  EmptyTails::Ask empty_tails;
};

// What the recounter tells of itself. Called from its thread; must not block.
class RecountObserver {
 public:
  virtual ~RecountObserver() = default;

  virtual void on_slice(const SliceResult& slice) = 0;
  virtual void on_pass(const Pass& pass) = 0;  // at its end
  virtual void on_drift(const DriftRow& drift) = 0;
  virtual void on_repartitioned(const std::string& topic) = 0;
  // The slot has not confirmed past the oldest fence for long; it may not be there at all.
  virtual void on_slot_behind(bool visible) = 0;
  virtual void on_fences(std::size_t outstanding) = 0;
  virtual void on_recount_retry(const WorldError& error, std::chrono::milliseconds wait) = 0;
};

struct RecounterOptions {
  std::chrono::milliseconds every{600'000};  // from the beginning of one periodic pass to the next
  // What a slice should hold the turn for: batches stand still meanwhile. Less costs more, as each
  // slice takes some milliseconds by itself; more is seen in the stream's freshness.
  std::chrono::milliseconds hold_goal{15};
  // How long producers may not know partitions that were added (their metadata.max.age.ms).
  std::chrono::milliseconds producers{360'000};
  // See Arrival.
  std::chrono::milliseconds silence{5'000};
};

// One thread of its own, from construction to destruction. Failures that pass are tried again with
// backoff; any other ends the thread, and check() rethrows it.
class Recounter {
 public:
  Recounter(PgRecount& store, TopicLook topics, RecountObserver& observer,
            RecounterOptions options);
  ~Recounter();
  Recounter(const Recounter&) = delete;
  Recounter& operator=(const Recounter&) = delete;

  // Rethrows what ended the thread.
  void check();

 private:
  using Steady = std::chrono::steady_clock;
  // Fences that the slot has confirmed past: they go when what they saw is applied (F9).
  struct Draining {
    std::vector<std::int64_t> fences;
    Arrival arrival;
  };

  void run();
  // One piece of work; how long to wait until the next. Slices wait for their time themselves.
  std::chrono::milliseconds step();
  std::optional<std::chrono::milliseconds> recount_suspects();
  std::optional<std::chrono::milliseconds> move_pass();
  std::chrono::milliseconds slice(AggregateIndex aggregate, KeySet keys, Pass* pass);
  void settle();
  void look_at_topics();
  void drop_fences();
  void watch_slot(std::int64_t oldest, bool visible);
  bool arrived(Arrival& arrival);
  // Ids of those whose changes are all applied; empty while some are on their way.
  std::vector<std::int64_t> all_arrived(const std::vector<OutstandingFence>& fences, Lsn confirmed,
                                        std::optional<Draining>& draining);
  // Single keys and ranges cost differently, and so do aggregates.
  struct Pace {
    SliceSizer sizer;
    Rehearsal rehearsal;
  };
  Pace& pace(AggregateIndex aggregate, bool listed);
  bool sleep(std::chrono::milliseconds wait);

  PgRecount& store_;
  TopicLook topics_;
  RecountObserver& observer_;
  RecounterOptions options_;
  Backoff backoff_;
  std::map<std::pair<AggregateIndex, bool>, Pace> paces_;
  TurnPatience patience_;
  Steady::time_point turn_at_{};  // the stream's until then
  bool pass_next_ = false;
  Steady::time_point look_for_pass_at_{};
  Steady::time_point look_at_fences_at_{};
  Steady::time_point widen_at_{};
  Steady::time_point look_at_topics_at_{};
  std::optional<Draining> draining_;
  std::optional<Draining> settling_;  // corrections of sweeps, in the same way
  EmptyTails empty_tails_;
  std::int64_t oldest_fence_ = 0;     // and since when it has been
  Steady::time_point oldest_since_{};

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace tidemark
