// The one loop's step: poll, decode, fold, apply, commit.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "consumer/core/decode.h"
#include "consumer/core/ports.h"
#include "consumer/service/advisory_commit.h"
#include "consumer/service/backoff.h"
#include "consumer/service/lane.h"
#include "consumer/service/observer.h"

namespace tidemark {

struct PipelineOptions {
  BatchLimits batch;
  DecodeLimits decode;
  NotNewPolicy not_new = NotNewPolicy::kSuspect;
  // A partition with so many parked records stands still until somebody looks (DESIGN 7).
  std::uint64_t parked_max = 10'000;
};

// What an operator sees of one partition.
struct PartitionStatus {
  TopicPartition where;
  Epoch epoch;
  Offset next;                 // applied up to here; kNotStarted
  std::optional<Offset> high;  // end of the partition as last heard
  std::uint64_t parked = 0;
  bool blocked = false;  // at the bound of parked records
};

struct PipelineStatus {
  bool positioned = false;  // claimed, and reading (or the group gave us nothing)
  std::string waiting_for;  // why not, in plain words
  std::vector<PartitionStatus> partitions;
  std::chrono::milliseconds applying{0};  // age of the oldest transaction in hand
};

// Which watched tables a topic carries; asked once for each topic that is assigned.
using TopicResolver = std::function<TopicTables(const std::string& topic)>;

// Runs on one thread, but for status(). Throws WorldError when a person must act; everything else
// is handled: a batch that was not applied is read again from the offsets in Postgres (P3).
//
// With several stores there are as many lanes, each with its own partitions and transactions.
class Pipeline {
 public:
  Pipeline(const Declaration& declaration, Source& source, std::vector<Store*> stores,
           TopicResolver topic_tables, PipelineObserver& observer, PipelineOptions options);
  ~Pipeline();

  // Does what is due, then takes what Kafka has: at most a few dozen records, or one wait of at
  // most a second.
  void step();
  // Ends: applies what is being applied, drops what is being built (the next owner reads it again),
  // leaves the group. Returns within `patience` and what closing the source takes.
  void drain(std::chrono::milliseconds patience);
  // A copy; from any thread.
  PipelineStatus status() const;

 private:
  // One assigned partition while it is being read.
  struct Reading {
    Claimed claimed;
    TopicTables tables;
    std::size_t lane = 0;
    std::uint32_t lane_slot = 0;
    std::optional<Fingerprint> verify;  // the stored last record, to be met again first (P4)
    bool blocked = false;
  };

  void collect();
  void handle(Lane& lane, ApplyOutcomeReport report);
  void handle_failure(Lane& lane, const Delta& delta, const WorldError& error);
  void dispatch();
  bool due(Lane& lane) const;
  bool far_behind(const Lane& lane) const;
  template <class Action>
  void attempt(Action&& action);
  void position();
  void claim_all();
  void start_reading();
  void read_again(std::chrono::milliseconds after, std::string why);
  void wait_for_room(Lane& full);
  std::chrono::milliseconds patience() const;
  bool take(SourceEvent event);
  void take_record(const Record& record);
  bool verified(Reading& reading, const Record& record);
  void decode_into(Lane& lane, const Reading& reading, Record record);
  void take_out_of_range(const TopicPartition& where);
  void start_again();
  void lose_data(const Reading& reading, std::string_view reason);
  void assigned(Assigned event);
  void revoked(bool lost);
  bool settle(std::chrono::milliseconds patience);
  void commit_advisory();
  void publish(bool force = false);
  Reading* find(const TopicPartition& where);

  const Declaration& declaration_;
  Source& source_;
  std::vector<Store*> stores_;
  TopicResolver topic_tables_;
  PipelineObserver& observer_;
  PipelineOptions options_;
  Decoder decoder_;
  Change change_;

  std::vector<std::unique_ptr<Lane>> lanes_;
  bool member_ = false;                   // between an assignment and its revocation
  std::vector<TopicPartition> assigned_;  // what the group gave us
  std::vector<Reading> readings_;         // what we claimed; Record::slot is the index
  bool stale_ = false;                    // readings_ must be claimed again before going on
  std::chrono::steady_clock::time_point position_at_{};
  std::string waiting_for_ = "an assignment from the group";
  Backoff position_backoff_;
  bool paused_ = false;      // fetching is held, as a batch has no room
  bool drained_dry_ = true;  // the last poll found nothing
  std::optional<std::chrono::steady_clock::time_point> recheck_blocked_at_;
  std::optional<std::pair<TopicPartition, Offset>> refused_;  // the record that Postgres refuses
  std::string refused_reason_;
  AdvisoryCommit advisory_;
  std::chrono::steady_clock::time_point next_probe_{};

  mutable std::mutex status_mutex_;
  PipelineStatus status_;
  std::chrono::steady_clock::time_point published_at_{};
};

}  // namespace tidemark
