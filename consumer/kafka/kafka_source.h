// Kafka as a Source: one group member on librdkafka 2.0.2's C API. The only user of librdkafka.
//
// What it adds to the contract in core/ports.h, and why:
// - One queue, one thread, single messages: librdkafka's batch calls can lose messages around
// seeks,
//   pauses and rebalances. All its callbacks run inside our calls.
// - Rebalances are told by poll() and answered by assign() and unassign() (the eager protocol). In
//   between librdkafka holds the partitions still, and the group waits.
// - assign() is also the way back: what was fetched before it is never delivered after it.
// - When a topic that is read vanishes, it may come back as another one, with records at our
// offsets.
//   Then Assigned is told again, with the same partitions: claim and verify them anew (DESIGN P4).
// - A batch that arrives damaged is read again, never skipped; after some tries it is fatal.
// - Passing trouble (brokers down, coordinators moving, topics missing) is logged once for each
//   change and mended by librdkafka with its own backoff. What a person must mend is thrown.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "consumer/core/ports.h"
#include "consumer/kafka/connection_watch.h"
#include "consumer/kafka/fetch_waker.h"
#include "consumer/kafka/kafka_client.h"
#include "consumer/kafka/kafka_options.h"
#include "consumer/kafka/rereads.h"
#include "consumer/kafka/say_once.h"
#include "consumer/kafka/slots.h"

namespace tidemark {

// Counts since the start, for metrics.
struct KafkaCounts {
  std::uint64_t commits_sent = 0;
  std::uint64_t commits_failed = 0;
  std::uint64_t commits_skipped = 0;  // too many were under way: a later one covers it
  std::uint64_t rereads = 0;          // times that the source positioned itself again
  std::uint64_t verifications = 0;    // times that partitions were told again, as a topic was gone
  std::uint64_t rebalances = 0;       // Assigned and Revoked events
  std::uint64_t errors = 0;           // errors from librdkafka, passing ones included
};

class KafkaSource final : public Source {
 public:
  // Joins the group. Throws WorldError(kConfig) when properties or topics can't be used; it does
  // not wait for a broker, and a broker that is down is no error.
  explicit KafkaSource(KafkaOptions options);
  // Closes, when close() was not called; then within another second.
  ~KafkaSource() override;
  KafkaSource(const KafkaSource&) = delete;
  KafkaSource& operator=(const KafkaSource&) = delete;

  // Idle may come before the timeout, when something was handled that is no event.
  // Throws WorldError: kDenied (no right to topic or group; log-in or TLS refused for longer than
  // auth_patience with no broker reachable), kConfig, or kFatal.
  SourceEvent poll(std::chrono::milliseconds timeout) override;
  // Does nothing when the group has taken the partitions: poll() says so next.
  void assign(std::span<const StartAt> starts) override;
  void unassign() override;
  void pause_all() override;
  void pause(const TopicPartition& where) override;
  // Offsets below 0 are left out.
  void commit_advisory(std::span<const StartAt> next) override;
  // Under read_committed `high` is the last stable offset: an open transaction hides what follows.
  Watermarks watermarks(const TopicPartition& where, std::chrono::milliseconds timeout) override;
  std::optional<Offset> cached_high(const TopicPartition& where) const override;
  // Within close_patience, whatever the brokers do. May be called again.
  void close() override;

  KafkaCounts counts() const { return counts_; }

 private:
  struct Callbacks;  // librdkafka's C callbacks, which lead back into this object

  void open();
  void subscribe();

  SourceEvent take_record(KafkaMessage message, Slots::Found found);
  SourceEvent next_pending();
  void start_reading();
  void stop_reading();
  void discard_queue();
  bool revoke_pending() const;
  void let_go(int code);
  void hear_the_group();

  // Trouble (kafka_trouble.cc).
  SourceEvent take_trouble(const KafkaTrouble& trouble);
  SourceEvent take_out_of_range(const KafkaTrouble& trouble);
  void take_broken_batch(const KafkaTrouble& trouble);
  void take_client_error(int code, std::string_view text);
  [[noreturn]] void throw_to_act(const KafkaTrouble& trouble);
  void reread();
  std::optional<Assigned> verify();
  void heard();
  void probe_when_due();
  void say(KafkaLogLevel level, std::string_view facility, std::string message) const;
  void say_once(KafkaLogLevel level, std::string_view facility, const KafkaTrouble& trouble);

  KafkaOptions options_;
  KafkaClient client_;
  KafkaMessage held_;  // the last record's bytes: its views live until the next poll

  bool reading_ = false;  // librdkafka has an assignment from us
  bool paused_ = false;   // some of it may be paused
  Slots slots_;           // what is read; empty while nothing is

  std::deque<SourceEvent> pending_;    // rebalances that poll() has yet to tell
  std::optional<WorldError> failure_;  // from a callback, through which nothing can be thrown

  ConnectionWatch watch_;
  bool sign_of_life_wanted_ = false;  // the watch waits for one
  SayOnce say_once_;

  Rereads rereads_;  // positioning again by ourselves
  // A topic that we read was gone for a moment: when to have it verified.
  std::optional<std::chrono::steady_clock::time_point> verify_at_;

  FetchWaker waker_;
  std::size_t commits_in_flight_ = 0;
  std::chrono::steady_clock::time_point last_commit_{};
  KafkaCounts counts_;
  bool closed_ = false;
};

}  // namespace tidemark
