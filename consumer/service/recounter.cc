#include "consumer/service/recounter.h"

#include <algorithm>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRetryFirst{100};
constexpr milliseconds kRetryLongest{10'000};
// Another member recounts: how soon we notice that it is gone.
constexpr milliseconds kFollow{1'000};
// Nothing to do: a suspect waits at most so long.
constexpr milliseconds kIdle{50};
constexpr milliseconds kLookForPass{1'000};
constexpr milliseconds kLookAtFences{500};
constexpr milliseconds kWiden{5'000};
constexpr milliseconds kLookAtTopics{5'000};
// Connect confirms each minute by default (offset.flush.interval.ms).
constexpr milliseconds kSlotBehind{180'000};
// Cells of one counter: beyond, a pass over all of them is cheaper.
constexpr std::size_t kSuspectsMax = 50'000;
// Suspects that are taken at once, before it is known how large a slice of them may be.
constexpr std::size_t kSuspectsAtOnce = 20'000;
// The stream keeps four fifths of the time (rule F5).
constexpr int kStreamShare = 4;

}  // namespace

Recounter::Recounter(PgRecount& store, TopicLook topics, RecountObserver& observer,
                     RecounterOptions options)
    : store_(store),
      topics_(std::move(topics)),
      observer_(observer),
      options_(options),
      backoff_(kRetryFirst, kRetryLongest),
      empty_tails_(topics_.empty_tails, options.silence),
      thread_([this] { run(); }) {}

Recounter::~Recounter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Recounter::check() {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

bool Recounter::sleep(milliseconds wait) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, wait, [this] { return stopping_; });
}

void Recounter::run() {
  milliseconds wait{0};
  while (sleep(wait)) {
    try {
      wait = step();
    } catch (const WorldError& error) {
      if (error.kind() == ErrorKind::kShrink) {
        for (auto& [of, pace] : paces_) pace.sizer.failed();
      } else if (error.kind() != ErrorKind::kRetry) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
        return;
      }
      wait = backoff_.next();
      draining_.reset();  // a crash takes ids back and gives them again
      settling_.reset();
      observer_.on_recount_retry(error, wait);
      continue;
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
      return;
    }
    backoff_.reset();
  }
}

milliseconds Recounter::step() {
  if (!store_.lead()) {
    draining_.reset();
    settling_.reset();
    observer_.on_fences(0);  // those of the one that leads count
    return kFollow;
  }
  const auto now = Steady::now();
  if (now >= look_at_fences_at_) {
    settle();
    drop_fences();
    look_at_fences_at_ = now + kLookAtFences;
  }
  if (now >= look_at_topics_at_) {
    look_at_topics();
    look_at_topics_at_ = now + kLookAtTopics;
  }
  if (now >= widen_at_) {
    store_.widen_suspects(kSuspectsMax);
    widen_at_ = now + kWiden;
  }
  // In turn: neither a stream of suspects nor an endless pass keeps the other waiting.
  pass_next_ = !pass_next_;
  auto wait = pass_next_ ? move_pass() : recount_suspects();
  if (!wait) wait = pass_next_ ? recount_suspects() : move_pass();
  return wait.value_or(kIdle);
}

std::optional<milliseconds> Recounter::recount_suspects() {
  std::size_t most = 0;  // no slice takes more, whatever its aggregate
  for (const auto& [of, pace] : paces_) most = std::max(most, of.second ? pace.sizer.rows() : 0);
  auto suspects = store_.suspect_keys(most > 0 ? most : kSuspectsAtOnce);
  if (!suspects) return std::nullopt;
  const std::size_t rows = pace(suspects->aggregate, true).sizer.rows();
  if (suspects->keys.size() > rows) suspects->keys.resize(rows);
  KeySet keys;
  keys.listed = std::move(suspects->keys);
  return slice(suspects->aggregate, std::move(keys), nullptr);
}

std::optional<milliseconds> Recounter::move_pass() {
  std::optional<Pass> pass = store_.current_pass();
  if (!pass) {
    const auto now = Steady::now();
    if (now < look_for_pass_at_) return std::nullopt;
    look_for_pass_at_ = now + kLookForPass;
    pass = store_.begin_due_pass(options_.every);
    if (!pass) return std::nullopt;
  }
  KeySet keys;
  keys.from = pass->next_key;
  const std::size_t rows = pace(pass->aggregate, false).sizer.rows();
  keys.to = store_.range_end(pass->aggregate, pass->next_key, rows);
  const bool last = !keys.to && pass->last_aggregate;
  const std::size_t slices = pass->slices;
  const milliseconds wait = slice(pass->aggregate, std::move(keys), &*pass);
  if (last && pass->slices > slices) {
    store_.end_pass(*pass);
    observer_.on_pass(*pass);
  }
  return wait;
}

milliseconds Recounter::slice(AggregateIndex aggregate, KeySet keys, Pass* pass) {
  Pace& pace = this->pace(aggregate, keys.listed.has_value());
  const bool open_ended = !keys.listed && !keys.to;
  const std::size_t asked = keys.listed ? keys.listed->size() : pace.sizer.rows();
  std::optional<std::chrono::microseconds> rehearsed;
  if (pace.rehearsal.wanted()) rehearsed = store_.rehearse(aggregate, keys);
  if (!sleep(std::chrono::ceil<milliseconds>(turn_at_ - Steady::now()))) return milliseconds(0);
  const SliceResult result = store_.recount(aggregate, std::move(keys), patience_.now(), pass);
  if (!result.taken) {
    patience_.was_too_short();
    turn_at_ = Steady::now() + patience_.now() * kStreamShare;
    return milliseconds(0);
  }
  patience_.came_after(result.wait);
  pace.sizer.took(open_ended ? result.rows : asked, result.hold, result.wait);
  if (rehearsed) {
    pace.rehearsal.was_held(*rehearsed, result.counting);
  } else {
    const std::chrono::microseconds goal = options_.hold_goal;
    pace.rehearsal.was_left_out(result.hold, std::max(goal, result.wait));
  }
  observer_.on_slice(result);
  if (pass != nullptr) {
    ++pass->slices;
    pass->cells += result.rows;
    pass->corrected += result.corrected;
  }
  turn_at_ = Steady::now() + (result.wait + result.hold) * kStreamShare;
  return milliseconds(0);
}

Recounter::Pace& Recounter::pace(AggregateIndex aggregate, bool listed) {
  return paces_.try_emplace({aggregate, listed}, Pace{SliceSizer(options_.hold_goal), {}})
      .first->second;
}

// Rule F8: once the slot streams from the new primary, what is in Kafka by then may be of the old.
void Recounter::settle() {
  if (!store_.unsettled() || !store_.slot_active()) return;
  std::vector<StoredOffset> ends;
  for (const TopicEnd& end : topics_.ends()) ends.push_back({end.where, end.high});
  store_.settle(ends);
}

// Rule N3.
void Recounter::look_at_topics() {
  for (const std::string& topic :
       store_.note_partitions(topics_.partitions(), options_.producers)) {
    observer_.on_repartitioned(topic);
  }
}

// Rule F9: the slot has confirmed past the fence, and what it saw is applied.
void Recounter::drop_fences() {
  const std::vector<OutstandingFence> fences = store_.fences();
  observer_.on_fences(fences.size());
  if (fences.empty()) draining_.reset();
  const std::vector<OutstandingFence> corrections = store_.corrections();
  if (corrections.empty()) settling_.reset();
  if (fences.empty() && corrections.empty()) return;
  const std::optional<Lsn> confirmed = store_.slot_confirmed();
  if (!fences.empty() && !draining_) watch_slot(fences.front().id, confirmed.has_value());
  if (!confirmed) return;  // fences stay: slower, never wrong
  for (const DriftRow& drift : store_.drop_fences(all_arrived(fences, *confirmed, draining_))) {
    observer_.on_drift(drift);
  }
  const std::vector<std::int64_t> settled = all_arrived(corrections, *confirmed, settling_);
  for (const DriftRow& drift : store_.drop_corrections(settled)) observer_.on_drift(drift);
}

std::vector<std::int64_t> Recounter::all_arrived(const std::vector<OutstandingFence>& fences,
                                                 Lsn confirmed, std::optional<Draining>& draining) {
  if (!draining) {
    std::vector<std::int64_t> passed;
    Lsn end;
    for (const OutstandingFence& fence : fences) {
      if (fence.inserted > confirmed) continue;
      passed.push_back(fence.id);
      end = std::max(end, fence.inserted);
    }
    if (passed.empty()) return {};
    draining.emplace(std::move(passed), Arrival(end, options_.silence));
  }
  if (!arrived(draining->arrival)) return {};
  return std::exchange(draining, std::nullopt)->fences;
}

bool Recounter::arrived(Arrival& arrival) {
  AppliedOffsets applied;
  for (StoredOffset& stored : store_.stored_offsets()) {
    applied[std::move(stored.where)] = {stored.next, stored.position};
  }
  Arrival::Look look{Steady::now(), topics_.ends(), {}};
  look.answered = Steady::now();
  empty_tails_.pass_over(look, applied);
  return arrival.complete(look, applied);
}

// Said once for each fence that waits.
void Recounter::watch_slot(std::int64_t oldest, bool visible) {
  const auto now = Steady::now();
  if (oldest != oldest_fence_) {
    oldest_fence_ = oldest;
    oldest_since_ = now;
  } else if (now - oldest_since_ > kSlotBehind) {
    observer_.on_slot_behind(visible);
    oldest_since_ = Steady::time_point::max();
  }
}

}  // namespace tidemark
