#include "consumer/service/pipeline.h"

#include <algorithm>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/core/kill_point.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

// So many records between looks at clocks and appliers: 50 us or so, nothing to freshness.
constexpr int kRecordsPerStep = 64;
// Long enough that an idle member sleeps, short enough that a signal is noticed at once.
constexpr milliseconds kIdlePatience{50};
// While a batch waits for the applier: librdkafka's finest timeout. Bounds what it adds to
// freshness.
constexpr milliseconds kBusyPatience{1};
// How long we don't poll while a batch has no room: far below any max.poll.interval.ms.
constexpr milliseconds kRoomPatience{1000};
// How long a rebalance waits for the transaction in hand: it is fenced anyway if it comes later.
constexpr milliseconds kSettlePatience{5000};
// After a claim failed or a batch was fenced.
constexpr milliseconds kPositionFirst{50};
constexpr milliseconds kPositionLongest{5000};
// After a batch was fenced: a zombie hears from the group meanwhile that it owns nothing.
constexpr milliseconds kFencedWait{500};
// A blocked partition looks again whether its parked records were dealt with.
constexpr milliseconds kBlockedRecheck{30'000};
// Lag tools read the Kafka commit every few seconds at most.
constexpr milliseconds kProbeEvery{1000};
constexpr milliseconds kPublishEvery{250};
constexpr milliseconds kWatermarkTimeout{5000};

}  // namespace

Pipeline::Pipeline(const Declaration& declaration, Source& source, std::vector<Store*> stores,
                   TopicResolver topic_tables, PipelineObserver& observer, PipelineOptions options)
    : declaration_(declaration),
      source_(source),
      stores_(std::move(stores)),
      topic_tables_(std::move(topic_tables)),
      observer_(observer),
      options_(options),
      decoder_(declaration, options.decode),
      position_backoff_(kPositionFirst, kPositionLongest) {
  TIDEMARK_CHECK(!stores_.empty());
  for (Store* store : stores_) {
    lanes_.push_back(
        std::make_unique<Lane>(declaration_, options_.not_new, *store, observer_, options_.batch));
  }
}

Pipeline::~Pipeline() = default;

void Pipeline::step() {
  collect();
  position();
  commit_advisory();
  dispatch();
  publish();
  for (int taken = 0; taken < kRecordsPerStep; ++taken) {
    for (const auto& lane : lanes_) {
      if (!lane->full() || stale_) continue;
      if (lane->applier().busy()) wait_for_room(*lane);
      return;  // the next step applies it
    }
    if (!take(source_.poll(taken == 0 ? patience() : milliseconds(0)))) return;
  }
}

// --- what was applied --------------------------------------------------------------------------

void Pipeline::collect() {
  for (const auto& lane : lanes_) {
    if (!lane->applier().busy()) continue;
    std::optional<AppliedReport> report = lane->applier().collect();
    if (!report) continue;
    if (auto* applied = std::get_if<ApplyOutcomeReport>(&*report)) {
      handle(*lane, std::move(*applied));
    } else if (const auto& wal = std::get<WalReport>(*report); wal.positions) {
      const std::vector<StartAt> safe = advisory_.on_probe(*wal.positions);
      TIDEMARK_KILL_POINT("X7");
      if (!safe.empty()) source_.commit_advisory(safe);
    }
  }
}

void Pipeline::handle(Lane& lane, ApplyOutcomeReport report) {
  if (report.error) return handle_failure(lane, report.delta, *report.error);
  if (report.result.outcome == ApplyOutcome::kFenced) {
    observer_.on_fenced();
    return read_again(kFencedWait, "another owner moved these partitions on");
  }
  lane.grow();
  position_backoff_.reset();
  advisory_.note_applied(report.delta);
  for (const Advance& advance : report.delta.advances) {
    Reading* reading = find(advance.where);
    if (reading == nullptr) continue;
    reading->claimed.next = advance.to;
    for (const ParkedRecord& parked : report.delta.parked) {
      if (parked.where == advance.where) ++reading->claimed.parked;
    }
  }
}

void Pipeline::handle_failure(Lane& lane, const Delta& delta, const WorldError& error) {
  const std::size_t records = delta.figures.records;
  switch (error.kind()) {
    case ErrorKind::kRetry:  // stopped while it was being tried again
      return read_again(position_backoff_.next(), error.what());
    case ErrorKind::kShrink:
      lane.shrink(records);
      observer_.on_shrunk(error, lane.records_max());
      return read_again(position_backoff_.next(), error.what());
    case ErrorKind::kBadData:
      if (!delta.parked.empty() && records == 1) {  // or it would be parked again and again
        throw WorldError(ErrorKind::kFatal, error.what(), error.sqlstate());
      }
      if (!lane.shrink(records)) {
        refused_ = {delta.advances.front().where, Offset(delta.advances.front().to.value - 1)};
        refused_reason_ = error.what();
      }
      observer_.on_shrunk(error, lane.records_max());
      return read_again(milliseconds(0), error.what());
    case ErrorKind::kFatal:
    case ErrorKind::kDenied:
    case ErrorKind::kConfig:
      throw error;
  }
}

// --- what is applied next ----------------------------------------------------------------------

bool Pipeline::far_behind(const Lane& lane) const {
  for (const Reading& reading : readings_) {
    if (lanes_[reading.lane].get() != &lane || reading.blocked) continue;
    const std::optional<Offset> high = source_.cached_high(reading.claimed.where);
    const Offset next = lane.fold().next(reading.lane_slot);
    if (high && high->value - next.value > options_.batch.catchup_records) return true;
  }
  return false;
}

bool Pipeline::due(Lane& lane) const {
  if (lane.fold().empty() || lane.applier().busy()) return false;
  if (lane.full()) return true;
  const auto age = lane.age(Steady::now());
  if (!lane.first() && far_behind(lane)) return age >= options_.batch.catchup_age_max;
  return drained_dry_ || age >= options_.batch.age_max;
}

void Pipeline::dispatch() {
  if (stale_) return;
  for (const auto& lane : lanes_) {
    if (due(*lane)) lane->dispatch(Steady::now());
  }
  const bool room = std::ranges::none_of(lanes_, [](const auto& lane) { return lane->full(); });
  if (!paused_ || !room) return;
  // Not resume: an assignment at offsets of our own can neither repeat nor lose a record.
  attempt([this] { start_reading(); });
}

milliseconds Pipeline::patience() const {
  bool waiting = false;
  for (const auto& lane : lanes_) {
    if (stale_ ? !lane->applier().busy() : lane->fold().empty()) continue;
    if (!lane->applier().busy() && !far_behind(*lane)) return milliseconds(0);
    waiting = true;
  }
  return waiting ? kBusyPatience : kIdlePatience;
}

void Pipeline::wait_for_room(Lane& full) {
  if (!paused_ && full.applier().wait(kRoomPatience)) return;
  if (!paused_) source_.pause_all();
  paused_ = true;
  if (!full.applier().wait(milliseconds(0))) take(source_.poll(kIdlePatience));
}

// --- where to read -----------------------------------------------------------------------------

void Pipeline::read_again(milliseconds after, std::string why) {
  if (!member_) return;  // the transaction in hand outlived the assignment
  // What comes until then would be fetched only to be dropped.
  if (!paused_ && !readings_.empty()) source_.pause_all();
  paused_ = true;
  stale_ = true;
  position_at_ = Steady::now() + after;
  waiting_for_ = std::move(why);
  publish(true);
}

// What passes by itself is tried again with the next claim, which finds the same things again.
template <class Action>
void Pipeline::attempt(Action&& action) {
  try {
    action();
  } catch (const WorldError& error) {
    if (error.kind() != ErrorKind::kRetry) throw;
    const milliseconds wait = position_backoff_.next();
    observer_.on_retry(error, wait);
    read_again(wait, error.what());
  }
}

void Pipeline::position() {
  if (recheck_blocked_at_ && Steady::now() >= *recheck_blocked_at_) {
    recheck_blocked_at_.reset();
    read_again(milliseconds(0), "looking again at parked records");
  }
  if (!stale_ || Steady::now() < position_at_) return;
  // A transaction in hand decides what the offsets are: it ends first.
  for (const auto& lane : lanes_) {
    if (lane->applier().busy()) return;
  }
  attempt([this] {
    claim_all();
    start_reading();
    publish(true);
  });
}

void Pipeline::claim_all() {
  TIDEMARK_KILL_POINT("X9");
  const std::vector<Claimed> claims =
      assigned_.empty() ? std::vector<Claimed>{} : stores_.front()->claim(assigned_);
  TIDEMARK_CHECK(claims.size() == assigned_.size());
  readings_.clear();
  std::vector<std::vector<FoldPartition>> of_lane(lanes_.size());
  for (const Claimed& claim : claims) {
    Reading reading;
    reading.claimed = claim;
    reading.tables = topic_tables_(claim.where.topic);
    reading.lane = readings_.size() % lanes_.size();
    reading.lane_slot = static_cast<std::uint32_t>(of_lane[reading.lane].size());
    reading.verify = claim.fingerprint;
    of_lane[reading.lane].push_back(
        {claim.where, claim.epoch, claim.next, claim.mark, claim.touch_only});
    readings_.push_back(std::move(reading));
  }
  for (std::size_t i = 0; i < lanes_.size(); ++i) lanes_[i]->reset(of_lane[i]);
  stale_ = false;
  recheck_blocked_at_.reset();
  waiting_for_.clear();
  observer_.on_assigned(claims);
}

// From what each fold expects next; the stored last record first, where it is still to be met.
void Pipeline::start_reading() {
  std::vector<StartAt> starts;
  for (const Reading& reading : readings_) {
    const Offset next = lanes_[reading.lane]->fold().next(reading.lane_slot);
    starts.push_back({reading.claimed.where, reading.verify ? reading.verify->offset : next});
  }
  source_.assign(starts);
  paused_ = false;
  for (const Reading& reading : readings_) {
    if (reading.blocked) source_.pause(reading.claimed.where);
  }
}

void Pipeline::assigned(Assigned event) {
  member_ = true;
  assigned_ = std::move(event.partitions);
  std::ranges::sort(assigned_);
  read_again(milliseconds(0), "claiming partitions");
}

void Pipeline::revoked(bool lost) {
  TIDEMARK_KILL_POINT("X8");
  settle(kSettlePatience);
  member_ = false;
  for (const auto& lane : lanes_) lane->reset({});
  readings_.clear();
  assigned_.clear();
  advisory_.clear();
  stale_ = false;
  paused_ = false;
  waiting_for_ = "an assignment from the group";
  source_.unassign();
  observer_.on_revoked(lost);
  publish(true);
}

// Lets the transactions in hand end. What they report is handled as ever.
bool Pipeline::settle(milliseconds patience) {
  const auto deadline = Steady::now() + patience;
  bool all = true;
  for (const auto& lane : lanes_) {
    if (!lane->applier().busy()) continue;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Steady::now());
    all = lane->applier().wait(std::max(left, milliseconds(0))) && all;
  }
  collect();
  return all;
}

// --- what comes from Kafka ---------------------------------------------------------------------

// True for a record: more may be waiting behind it.
bool Pipeline::take(SourceEvent event) {
  drained_dry_ = std::holds_alternative<Idle>(event);
  if (const auto* record = std::get_if<Record>(&event)) {
    TIDEMARK_KILL_POINT("X1");
    take_record(*record);
    return true;
  }
  if (auto* assignment = std::get_if<Assigned>(&event)) {
    assigned(std::move(*assignment));
  } else if (const auto* revocation = std::get_if<Revoked>(&event)) {
    revoked(revocation->lost);
  } else if (const auto* range = std::get_if<OutOfRange>(&event)) {
    attempt([&] { take_out_of_range(range->where); });
  }
  return false;
}

void Pipeline::take_record(const Record& record) {
  if (stale_ || record.slot >= readings_.size()) return;  // will be read again
  Reading& reading = readings_[record.slot];
  if (reading.blocked || (reading.verify && !verified(reading, record))) return;
  Lane& lane = *lanes_[reading.lane];
  if (record.offset < lane.fold().next(reading.lane_slot)) return;
  if (lane.fold().empty()) lane.note_first(Steady::now());
  decode_into(lane, reading, record);
}

// True when the record is one to fold. The stored last record is met again after each claim: a
// topic that was made anew has another one at its offset (P4).
bool Pipeline::verified(Reading& reading, const Record& record) {
  if (record.offset < reading.verify->offset) return false;  // older than what was asked for
  const Fingerprint stored = *std::exchange(reading.verify, std::nullopt);
  if (record.offset > stored.offset) return true;  // compacted away meanwhile
  if (fingerprint_of(record) != stored) {
    attempt([&] {
      lose_data(reading, "another record stands before the stored offset: the topic was made anew");
    });
  }
  return false;
}

void Pipeline::decode_into(Lane& lane, const Reading& reading, Record record) {
  const std::uint32_t slot = std::exchange(record.slot, reading.lane_slot);
  if (refused_ && refused_->second == record.offset && refused_->first == reading.claimed.where) {
    refused_.reset();
    lane.fold().add_bad(record, {BadCode::kRefusedByDatabase, refused_reason_},
                        reading.tables.tables);
    return;
  }
  DecodeResult result = decoder_.decode(record, reading.tables, change_);
  if (std::holds_alternative<Decoded>(result)) {
    lane.note_change(reading.lane_slot, change_);
    lane.fold().add_change(record, change_);
  } else if (const auto* reason = std::get_if<SkipReason>(&result)) {
    lane.fold().add_skip(record, *reason);
  } else if (reading.claimed.parked + lane.fold().parked() >= options_.parked_max) {
    readings_[slot].blocked = true;
    source_.pause(reading.claimed.where);
    observer_.on_parked_bound(reading.claimed.where);
    recheck_blocked_at_ = Steady::now() + kBlockedRecheck;
  } else {
    lane.fold().add_bad(record, std::move(std::get<BadRecord>(result)), reading.tables.tables);
  }
}

void Pipeline::take_out_of_range(const TopicPartition& where) {
  Reading* reading = find(where);
  if (stale_ || reading == nullptr) return;
  const Offset next = lanes_[reading->lane]->fold().next(reading->lane_slot);
  const Watermarks held = source_.watermarks(where, kWatermarkTimeout);
  if (next == kNotStarted || (held.low <= next && next <= held.high)) {
    // Nothing that we need is gone. Unless the stored last record is, it can still be met, and
    // must: a topic that was made anew and has grown meanwhile is in range, too.
    if (!reading->verify || reading->verify->offset >= held.low) return start_again();
    reading->verify.reset();
    return start_reading();
  }
  if (next > held.high) return lose_data(*reading, "the stored offset is past the partition's end");
  lose_data(*reading, "records were purged before they were read");
}

// Not at once: an offset that is out of range again and again must not keep a core busy.
void Pipeline::start_again() {
  read_again(position_backoff_.next(), "an offset was out of range, and is in range again");
}

void Pipeline::lose_data(const Reading& reading, std::string_view reason) {
  const TopicPartition where = reading.claimed.where;
  if (!settle(kSettlePatience)) return read_again(kFencedWait, "a transaction in hand");
  if (stores_.front()->record_data_loss(where, reading.claimed.epoch, reason)) {
    observer_.on_data_loss(where, reason);
  }
  read_again(milliseconds(0), "starting again after data loss");
}

Pipeline::Reading* Pipeline::find(const TopicPartition& where) {
  const auto it = std::ranges::find(readings_, where,
                                    [](const Reading& reading) { return reading.claimed.where; });
  return it == readings_.end() ? nullptr : &*it;
}

// --- the rest ----------------------------------------------------------------------------------

void Pipeline::commit_advisory() {
  const auto now = Steady::now();
  if (now < next_probe_ || !advisory_.pending()) return;
  Applier& applier = lanes_.front()->applier();
  if (applier.busy()) return;
  applier.submit_wal_probe();
  next_probe_ = now + kProbeEvery;
}

void Pipeline::drain(milliseconds patience) {
  TIDEMARK_KILL_POINT("X12");
  for (const auto& lane : lanes_) lane->applier().stop();
  settle(patience);
  source_.close();
}

void Pipeline::publish(bool force) {
  const auto now = Steady::now();
  if (!force && now < published_at_ + kPublishEvery) return;
  published_at_ = now;
  PipelineStatus status{
      .positioned = !stale_ && waiting_for_.empty(), .waiting_for = waiting_for_, .partitions = {}};
  for (const auto& lane : lanes_) {
    if (!lane->applier().busy()) continue;
    const auto age = std::chrono::duration_cast<milliseconds>(now - lane->applier().busy_since());
    status.applying = std::max(status.applying, age);
  }
  for (const Reading& reading : readings_) {
    status.partitions.push_back({.where = reading.claimed.where,
                                 .epoch = reading.claimed.epoch,
                                 .next = reading.claimed.next,
                                 .high = source_.cached_high(reading.claimed.where),
                                 .parked = reading.claimed.parked,
                                 .blocked = reading.blocked});
  }
  const std::lock_guard lock(status_mutex_);
  status_ = std::move(status);
}

PipelineStatus Pipeline::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

}  // namespace tidemark
