#include "consumer/kafka/kafka_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/kafka/kafka_conf.h"
#include "consumer/kafka/kafka_errors.h"
#include "consumer/kafka/kafka_handles.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Advisory commits under way. More would only queue up behind a slow coordinator.
constexpr std::size_t kCommitsInFlightMax = 4;
// After so long without an answer, an advisory commit is given up.
constexpr std::chrono::seconds kCommitGivenUpAfter{60};
// What a queue can hold at most when it is emptied: its limit in records, many times over.
constexpr int kDiscardedMax = 10'000'000;
// How long close() waits at a time for what the group still says.
constexpr int kCloseStepMs = 20;
constexpr std::string_view kStatsInterval = "statistics.interval.ms";
// As often as metrics are scraped, or oftener.
constexpr std::string_view kStatsEveryMs = "5000";

std::vector<TopicPartition> to_partitions(const rd_kafka_topic_partition_list_t* list) {
  std::vector<TopicPartition> partitions;
  for (int i = 0; list != nullptr && i < list->cnt; ++i) {
    partitions.push_back({list->elems[i].topic, Partition(list->elems[i].partition)});
  }
  return partitions;
}

}  // namespace

// All are called by librdkafka inside our own calls, on our thread; so nothing may be thrown here,
// and whatever poll() should tell is left in members. rd_kafka_yield lets poll() return at once.
struct KafkaSource::Callbacks {
  static KafkaSource& self(void* opaque) { return *static_cast<KafkaSource*>(opaque); }

  static void rebalance(rd_kafka_t* client, rd_kafka_resp_err_t code,
                        rd_kafka_topic_partition_list_t* partitions, void* opaque) {
    KafkaSource& source = self(opaque);
    ++source.counts_.rebalances;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      source.pending_.emplace_back(Assigned{to_partitions(partitions)});
    } else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
      source.pending_.emplace_back(Revoked{rd_kafka_assignment_lost(client) != 0});
    } else {
      // librdkafka asks to let go of everything, and joins anew.
      rd_kafka_assign(client, nullptr);
      source.pending_.emplace_back(Revoked{true});
    }
    rd_kafka_yield(client);
  }

  static void error(rd_kafka_t* client, int code, const char* text, void* opaque) {
    self(opaque).take_client_error(code, text == nullptr ? "" : text);
    rd_kafka_yield(client);
  }

  static void log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
    const std::string_view word(facility);
    if (is_told_as_error(word)) return;
    self(rd_kafka_opaque(client)).say(level_of_syslog(level), word, text);
  }

  static int stats(rd_kafka_t*, char* json, std::size_t size, void* opaque) {
    const KafkaSource& source = self(opaque);
    if (source.options_.on_stats) source.options_.on_stats({json, size});
    return 0;  // librdkafka frees the text
  }

  static void committed(rd_kafka_t*, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t*,
                        void* opaque) {
    KafkaSource& source = self(opaque);
    if (source.commits_in_flight_ > 0) --source.commits_in_flight_;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) ++source.counts_.commits_failed;
  }
};

KafkaSource::KafkaSource(KafkaOptions options)
    : options_(std::move(options)), watch_(options_.auth_patience) {
  std::vector<std::string> problems = validate_kafka_properties(options_.properties);
  if (options_.topics.empty()) problems.emplace_back("topics: none is named");
  throw_when_unusable(problems);
  open();
  subscribe();
}

KafkaSource::~KafkaSource() { close(); }

void KafkaSource::open() {
  KafkaProperties properties = options_.properties;
  if (options_.on_stats && kafka_property(properties, kStatsInterval).empty()) {
    properties.emplace_back(kStatsInterval, kStatsEveryMs);
  }
  KafkaConf conf = make_conf(properties);
  rd_kafka_conf_set_opaque(conf.get(), this);
  rd_kafka_conf_set_rebalance_cb(conf.get(), &Callbacks::rebalance);
  rd_kafka_conf_set_error_cb(conf.get(), &Callbacks::error);
  rd_kafka_conf_set_log_cb(conf.get(), &Callbacks::log);
  rd_kafka_conf_set_stats_cb(conf.get(), &Callbacks::stats);
  rd_kafka_conf_set_offset_commit_cb(conf.get(), &Callbacks::committed);
  waker_ = FetchWaker(conf_number(conf.get(), "queued.max.messages.kbytes"));
  client_ = make_client(std::move(conf), options_.properties);
}

void KafkaSource::subscribe() {
  const std::set<std::string> topics(options_.topics.begin(), options_.topics.end());
  const KafkaPartitions list = make_list(topics.size());
  for (const std::string& topic : topics) {
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  }
  const rd_kafka_resp_err_t error = rd_kafka_subscribe(client_.get(), list.get());
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
  throw WorldError(
      ErrorKind::kConfig,
      fmt::format("kafka: can't subscribe to {}: {}; names must not be empty, and what "
                  "begins with ^ must be a regular expression",
                  fmt::join(topics, ", "), rd_kafka_err2str(error)));
}

// --- poll
// -----------------------------------------------------------------------------------------

SourceEvent KafkaSource::poll(milliseconds timeout) {
  TIDEMARK_CHECK(!closed_);
  held_.reset();
  if (!pending_.empty()) [[unlikely]]
    return next_pending();
  if (rereads_.due()) [[unlikely]]
    reread();
  if (verify_at_ && Steady::now() >= *verify_at_) [[unlikely]] {
    if (std::optional<Assigned> again = verify()) return *std::move(again);
  }

  KafkaMessage message(rd_kafka_consumer_poll(client_.get(), to_timeout_ms(timeout)));
  if (!message) {
    if (failure_) throw *std::exchange(failure_, std::nullopt);
    if (!pending_.empty()) return next_pending();
    if (sign_of_life_wanted_) probe_when_due();
    return Idle{};
  }
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) [[unlikely]] {
    return take_trouble(trouble_of(*message));
  }
  const Slots::Found found = slots_.find(message->rkt, message->partition);
  // Nothing is fetched but what was assigned, and what was fetched before is discarded.
  TIDEMARK_CHECK(found.slot != Slots::kNone);
  return take_record(std::move(message), found);
}

SourceEvent KafkaSource::take_record(KafkaMessage message, Slots::Found found) {
  held_ = std::move(message);
  const rd_kafka_message_t& raw = *held_;
  slots_.delivered(static_cast<std::size_t>(found.slot), raw.offset);

  waker_.delivered(raw, client_.get(), options_.properties);
  if (sign_of_life_wanted_) [[unlikely]]
    heard();

  return to_record(raw, found);
}

SourceEvent KafkaSource::next_pending() {
  SourceEvent event = std::move(pending_.front());
  pending_.pop_front();
  if (std::holds_alternative<Assigned>(event)) heard();  // a coordinator has answered
  return event;
}

// --- where to read
// --------------------------------------------------------------------------------

bool KafkaSource::revoke_pending() const {
  return std::ranges::any_of(
      pending_, [](const SourceEvent& event) { return std::holds_alternative<Revoked>(event); });
}

void KafkaSource::assign(std::span<const StartAt> starts) {
  held_.reset();
  rereads_.cancel();
  verify_at_.reset();
  if (revoke_pending()) return;
  stop_reading();
  // The group may have spoken meanwhile; then these partitions are not ours any more.
  if (revoke_pending()) return slots_.clear();
  slots_.reset(starts);
  start_reading();
}

void KafkaSource::unassign() {
  held_.reset();
  rereads_.cancel();
  verify_at_.reset();
  stop_reading();
  slots_.clear();
  // The group waits for this call also when nothing was read.
  rd_kafka_assign(client_.get(), nullptr);
}

void KafkaSource::start_reading() {
  KafkaPartitions list = make_list(slots_.size());
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    const std::int64_t next = slots_.next(slot);
    add(list, slots_.where(slot)).offset =
        next == Slots::kNothing ? RD_KAFKA_OFFSET_BEGINNING : next;
  }
  const rd_kafka_resp_err_t error = rd_kafka_assign(client_.get(), list.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw_to_act({error, {}, -1, -1, "assign"});
  reading_ = true;
}

// Afterwards nothing is left of what was fetched, errors included: librdkafka outdates records by
// itself, but an error about an offset carries no version and would come after the next assign.
void KafkaSource::stop_reading() {
  if (!reading_) return;
  reading_ = false;
  rd_kafka_assign(client_.get(), nullptr);
  if (std::exchange(paused_, false)) {
    // A pause is the partition's, not the assignment's: it would outlive it.
    KafkaPartitions list = make_list(slots_.size());
    for (std::size_t slot = 0; slot < slots_.size(); ++slot) add(list, slots_.where(slot));
    rd_kafka_resume_partitions(client_.get(), list.get());
  }
  discard_queue();
}

void KafkaSource::discard_queue() {
  for (int i = 0; i < kDiscardedMax; ++i) {
    const std::size_t told = pending_.size();
    const KafkaMessage message(rd_kafka_consumer_poll(client_.get(), 0));
    // A callback ends the poll as well, with more behind it.
    if (!message && pending_.size() == told) return;
    if (!message || fate_of(message->err) != ErrorFate::kAct) continue;
    throw_to_act(trouble_of(*message));
  }
}

void KafkaSource::pause_all() {
  KafkaPartitions list = make_list(slots_.size());
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) add(list, slots_.where(slot));
  paused_ = true;
  rd_kafka_pause_partitions(client_.get(), list.get());
}

void KafkaSource::pause(const TopicPartition& where) {
  if (slots_.find(where.topic, where.partition.value) == Slots::kNone) return;
  KafkaPartitions list = make_list(1);
  add(list, where);
  paused_ = true;
  rd_kafka_pause_partitions(client_.get(), list.get());
}

// --- the rest
// -------------------------------------------------------------------------------------

void KafkaSource::commit_advisory(std::span<const StartAt> next) {
  const Steady::time_point now = Steady::now();
  if (now - last_commit_ >= kCommitGivenUpAfter) commits_in_flight_ = 0;
  if (commits_in_flight_ >= kCommitsInFlightMax) {
    ++counts_.commits_skipped;
    return;
  }
  KafkaPartitions list = make_list(next.size());
  for (const StartAt& at : next) {
    if (at.offset >= Offset(0)) add(list, at.where).offset = at.offset.value;
  }
  if (list->cnt == 0) return;
  if (rd_kafka_commit(client_.get(), list.get(), 1) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    ++counts_.commits_failed;
    return;
  }
  last_commit_ = now;
  ++commits_in_flight_;
  ++counts_.commits_sent;
}

Watermarks KafkaSource::watermarks(const TopicPartition& where, milliseconds timeout) {
  std::int64_t low = 0;
  std::int64_t high = 0;
  const rd_kafka_resp_err_t error =
      rd_kafka_query_watermark_offsets(client_.get(), where.topic.c_str(), where.partition.value,
                                       &low, &high, to_timeout_ms(timeout));
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return {Offset(low), Offset(high)};
  const KafkaTrouble trouble{error, where.topic, where.partition.value, -1,
                             "can't ask for the first and last offset"};
  if (fate_of(error) == ErrorFate::kAct) throw_to_act(trouble);
  throw WorldError(ErrorKind::kRetry, describe_trouble(trouble, options_.properties));
}

std::optional<Offset> KafkaSource::cached_high(const TopicPartition& where) const {
  std::int64_t low = RD_KAFKA_OFFSET_INVALID;
  std::int64_t high = RD_KAFKA_OFFSET_INVALID;
  const rd_kafka_resp_err_t error = rd_kafka_get_watermark_offsets(
      client_.get(), where.topic.c_str(), where.partition.value, &low, &high);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR || high < 0) return std::nullopt;
  return Offset(high);
}

// Answers one event of the group by letting go of everything. Each is answered once and no more: an
// answer that comes when the group has been left is never taken, and waits for ever (seen).
void KafkaSource::let_go(int code) {
  if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    rd_kafka_assign(client_.get(), nullptr);
    return;
  }
  const KafkaPartitions nothing = make_list(0);
  rd_kafka_assign(client_.get(), nothing.get());
}

// Takes what the group has said and poll() has not heard yet.
void KafkaSource::hear_the_group() {
  for (int i = 0; i < kDiscardedMax; ++i) {
    const std::size_t told = pending_.size();
    const KafkaMessage message(rd_kafka_consumer_poll(client_.get(), 0));
    if (!message && pending_.size() == told) return;
  }
}

void KafkaSource::close() {
  if (std::exchange(closed_, true) || !client_) return;
  held_.reset();
  // An Assigned that was not answered would keep the group waiting, and the client's threads
  // running, for ever. So would the Revoked of a lost assignment, but answered it makes the client
  // join again before it hears that it shall close, and leave only when all others have joined too.
  // After this call no assignment counts as lost, and closing itself ends the revocation.
  let_go(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
  // Closing would find what is queued, and answer it when the group has been left.
  hear_the_group();
  pending_.clear();
  let_go(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);  // it may have been heard just now
  {
    // While it closes, the group's events come to this queue: they are answered, and not told.
    const KafkaQueue queue(rd_kafka_queue_new(client_.get()));
    const KafkaError error(rd_kafka_consumer_close_queue(client_.get(), queue.get()));
    const Steady::time_point give_up = Steady::now() + options_.close_patience;
    while (!error && rd_kafka_consumer_closed(client_.get()) == 0 && Steady::now() < give_up) {
      const KafkaEvent event(rd_kafka_queue_poll(queue.get(), kCloseStepMs));
      if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_REBALANCE) {
        let_go(rd_kafka_event_error(event.get()));
      }
    }
  }
  if (rd_kafka_consumer_closed(client_.get()) != 0) return;
  say(KafkaLogLevel::kWarning, "close",
      "the group was not left in time; its other members wait for session.timeout.ms");
}

}  // namespace tidemark
