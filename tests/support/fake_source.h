// A Source in memory: topics that a test writes, and a group that a test plays.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "consumer/core/ports.h"

namespace tidemark::testing {

// A record in a fake topic.
struct FakeRecord {
  Offset offset;
  KafkaTimestamp timestamp;
  std::optional<std::string> key;
  std::optional<std::string> value;
};

// Honest about the contract of Source: nothing flows between Assigned and assign(), nor after
// Revoked; paused partitions give nothing; views die with the next poll (their bytes are
// overwritten, so that a view that is kept too long is seen). Never waits: poll gives Idle at once.
// One thread, as the Source itself.
class FakeSource final : public Source {
 public:
  // --- the topics, written by the test ---
  // Appends; offsets count from 0. Timestamps are 1 + the offset unless given.
  Offset append(const TopicPartition& where, std::optional<std::string> key,
                std::optional<std::string> value);
  // Makes a gap of `count` offsets, as transaction markers do.
  void skip_offsets(const TopicPartition& where, std::int64_t count);
  // Everything below `low` is gone.
  void purge_below(const TopicPartition& where, Offset low);
  // One record is gone, as compaction does it.
  void compact_away(const TopicPartition& where, Offset offset);
  // The topic is deleted and made anew, empty.
  void recreate(const TopicPartition& where);
  Offset high(const TopicPartition& where) const;

  // --- the group, played by the test ---
  void give(std::vector<TopicPartition> partitions);
  void take_away(bool lost = false);

  // --- misbehaviour ---
  // After each assign(), the so many records before each start come first, as from a stale fetch.
  void redeliver_before_start(std::int64_t records) { stale_records_ = records; }
  // An OutOfRange comes next, whatever is there.
  void report_out_of_range(const TopicPartition& where) { events_.push_back(OutOfRange{where}); }
  // From now on pausing has no effect, as if all that comes was fetched before.
  void ignore_pauses() { ignore_pauses_ = true; }
  // The next call of assign or watermarks throws this.
  void fail_next_assign(WorldError error) { assign_error_ = std::move(error); }
  void fail_next_watermarks(WorldError error) { watermarks_error_ = std::move(error); }
  // Called once, when watermarks are asked for, before they are told.
  void before_next_watermarks(std::function<void()> hook) { on_watermarks_ = std::move(hook); }
  // Called once, when the group's next event is about to be told.
  void before_next_group_event(std::function<void()> hook) { on_group_event_ = std::move(hook); }
  // cached_high says this much more than there is (records that can't be read yet).
  void pretend_behind(std::int64_t records) { pretended_ = records; }

  // --- what the pipeline did ---
  bool reading() const { return flowing_; }
  // There are assigned partitions, and all of them are paused.
  bool all_paused() const;
  bool paused(const TopicPartition& where) const;
  bool closed() const { return closed_; }
  std::size_t polls() const { return polls_; }
  // Records given in all, repeated ones included.
  std::size_t delivered() const { return delivered_; }
  std::size_t assigns() const { return assigns_; }
  const std::vector<StartAt>& last_assign() const { return starts_; }
  const std::map<TopicPartition, Offset>& committed() const { return committed_; }

  SourceEvent poll(std::chrono::milliseconds timeout) override;
  void assign(std::span<const StartAt> starts) override;
  void unassign() override;
  void pause_all() override;
  void pause(const TopicPartition& where) override;
  void commit_advisory(std::span<const StartAt> next) override;
  Watermarks watermarks(const TopicPartition& where, std::chrono::milliseconds timeout) override;
  std::optional<Offset> cached_high(const TopicPartition& where) const override;
  void close() override;

 private:
  struct Topic {
    std::deque<FakeRecord> records;  // ascending offsets
    Offset low{0};
    Offset high{0};
  };
  struct Reading {
    TopicPartition where;
    Offset position;
    bool paused = false;
    bool out_of_range = false;  // said once
  };

  std::optional<SourceEvent> next_of(std::uint32_t slot);
  SourceEvent deliver(std::uint32_t slot, const FakeRecord& record);

  std::map<TopicPartition, Topic> topics_;
  std::deque<std::variant<Assigned, Revoked, OutOfRange>> events_;
  std::vector<StartAt> starts_;
  std::vector<Reading> readings_;
  std::size_t turn_ = 0;
  bool flowing_ = false;  // between assign() and the next change of the group
  bool closed_ = false;
  bool ignore_pauses_ = false;
  std::int64_t stale_records_ = 0;
  std::int64_t pretended_ = 0;
  std::optional<WorldError> assign_error_;
  std::optional<WorldError> watermarks_error_;
  std::function<void()> on_watermarks_;
  std::function<void()> on_group_event_;
  std::string topic_;  // what the last Record's views point into
  std::string key_;
  std::string value_;
  std::size_t polls_ = 0;
  std::size_t delivered_ = 0;
  std::size_t assigns_ = 0;
  std::map<TopicPartition, Offset> committed_;
};

}  // namespace tidemark::testing
