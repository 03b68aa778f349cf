#include "tests/support/fake_source.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark::testing {

Offset FakeSource::append(const TopicPartition& where, std::optional<std::string> key,
                          std::optional<std::string> value) {
  Topic& topic = topics_[where];
  const Offset offset = topic.high;
  topic.records.push_back(
      {offset, KafkaTimestamp(offset.value + 1), std::move(key), std::move(value)});
  ++topic.high.value;
  return offset;
}

void FakeSource::skip_offsets(const TopicPartition& where, std::int64_t count) {
  topics_[where].high.value += count;
}

void FakeSource::purge_below(const TopicPartition& where, Offset low) {
  Topic& topic = topics_[where];
  TIDEMARK_CHECK(low <= topic.high);
  std::erase_if(topic.records, [&](const FakeRecord& record) { return record.offset < low; });
  topic.low = low;
}

void FakeSource::compact_away(const TopicPartition& where, Offset offset) {
  const auto gone = std::erase_if(
      topics_[where].records, [&](const FakeRecord& record) { return record.offset == offset; });
  TIDEMARK_CHECK(gone == 1);
}

void FakeSource::recreate(const TopicPartition& where) { topics_[where] = {}; }

Offset FakeSource::high(const TopicPartition& where) const { return topics_.at(where).high; }

void FakeSource::give(std::vector<TopicPartition> partitions) {
  events_.push_back(Assigned{std::move(partitions)});
}

void FakeSource::take_away(bool lost) { events_.push_back(Revoked{lost}); }

bool FakeSource::all_paused() const {
  return !readings_.empty() && std::ranges::all_of(readings_, &Reading::paused);
}

bool FakeSource::paused(const TopicPartition& where) const {
  return std::ranges::any_of(
      readings_, [&](const Reading& reading) { return reading.where == where && reading.paused; });
}

SourceEvent FakeSource::poll(std::chrono::milliseconds /*timeout*/) {
  TIDEMARK_CHECK(!closed_);
  ++polls_;
  std::ranges::fill(key_, '#');
  std::ranges::fill(value_, '#');
  if (!events_.empty()) {
    const auto event = events_.front();
    events_.pop_front();
    if (!std::holds_alternative<OutOfRange>(event)) {
      flowing_ = false;
      if (on_group_event_) std::exchange(on_group_event_, nullptr)();
    }
    return std::visit([](const auto& e) { return SourceEvent(e); }, event);
  }
  for (std::size_t tried = 0; flowing_ && tried < readings_.size(); ++tried) {
    const std::size_t slot = turn_++ % readings_.size();
    if (auto event = next_of(static_cast<std::uint32_t>(slot))) return std::move(*event);
  }
  std::this_thread::yield();  // an applier may wait for this core
  return Idle{};
}

std::optional<SourceEvent> FakeSource::next_of(std::uint32_t slot) {
  Reading& reading = readings_[slot];
  const Topic& topic = topics_[reading.where];
  if ((reading.paused && !ignore_pauses_) || reading.out_of_range) return std::nullopt;
  if (reading.position < topic.low || reading.position > topic.high) {
    reading.out_of_range = true;
    return OutOfRange{reading.where};
  }
  const auto record =
      std::ranges::lower_bound(topic.records, reading.position, {}, &FakeRecord::offset);
  if (record == topic.records.end()) return std::nullopt;
  reading.position = Offset(record->offset.value + 1);
  return deliver(slot, *record);
}

SourceEvent FakeSource::deliver(std::uint32_t slot, const FakeRecord& record) {
  ++delivered_;
  topic_ = readings_[slot].where.topic;
  key_ = record.key.value_or("");
  value_ = record.value.value_or("");
  Record out{.slot = slot,
             .topic = topic_,
             .partition = readings_[slot].where.partition,
             .offset = record.offset,
             .timestamp = record.timestamp,
             .key = std::nullopt,
             .value = std::nullopt};
  if (record.key) out.key = key_;
  if (record.value) out.value = value_;
  return out;
}

void FakeSource::assign(std::span<const StartAt> starts) {
  TIDEMARK_CHECK(!closed_);
  if (assign_error_) throw *std::exchange(assign_error_, std::nullopt);
  ++assigns_;
  starts_.assign(starts.begin(), starts.end());
  readings_.clear();
  for (const StartAt& start : starts) {
    const Topic& topic = topics_[start.where];
    Offset position = start.offset == kNotStarted ? topic.low : start.offset;
    if (position >= topic.low && position <= topic.high) {
      position = std::max(topic.low, Offset(position.value - stale_records_));
    }
    readings_.push_back({.where = start.where, .position = position});
  }
  flowing_ = true;
}

void FakeSource::unassign() {
  readings_.clear();
  flowing_ = false;
}

void FakeSource::pause_all() {
  for (Reading& reading : readings_) reading.paused = true;
}

void FakeSource::pause(const TopicPartition& where) {
  for (Reading& reading : readings_) {
    if (reading.where == where) reading.paused = true;
  }
}

void FakeSource::commit_advisory(std::span<const StartAt> next) {
  for (const StartAt& at : next) committed_[at.where] = at.offset;
}

Watermarks FakeSource::watermarks(const TopicPartition& where,
                                  std::chrono::milliseconds /*timeout*/) {
  if (watermarks_error_) throw *std::exchange(watermarks_error_, std::nullopt);
  if (on_watermarks_) std::exchange(on_watermarks_, nullptr)();
  const Topic& topic = topics_[where];
  return {topic.low, topic.high};
}

std::optional<Offset> FakeSource::cached_high(const TopicPartition& where) const {
  const auto topic = topics_.find(where);
  if (topic == topics_.end()) return std::nullopt;
  return Offset(topic->second.high.value + pretended_);
}

void FakeSource::close() {
  TIDEMARK_CHECK(!closed_);
  closed_ = true;
  flowing_ = false;
  readings_.clear();
}

}  // namespace tidemark::testing
