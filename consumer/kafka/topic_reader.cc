#include "consumer/kafka/topic_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/kafka/kafka_errors.h"
#include "consumer/kafka/kafka_handles.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

// What librdkafka's queue can hold at most when it is emptied: its limit in records, many times
// over.
constexpr int kDiscardedMax = 10'000'000;

}  // namespace

TopicReader::TopicReader(KafkaOptions options, std::vector<ReadRange> ranges)
    : ranges_(std::move(ranges)),
      progress_(ranges_.size()),
      left_(ranges_.size()),
      client_(std::move(options), LoneUse::kRead) {
  std::vector<StartAt> starts;
  for (const ReadRange& range : ranges_) starts.push_back({range.where, range.from});
  slots_.reset(starts);
  for (std::size_t slot = 0; slot < ranges_.size(); ++slot) {
    if (ranges_[slot].to > std::max(ranges_[slot].from, Offset(0))) continue;
    progress_[slot].done = true;
    --left_;
  }
  start();
}

Offset TopicReader::next_offset(std::size_t range) const {
  const Offset next(slots_.next(range));
  return progress_[range].done ? std::max(next, ranges_[range].to) : next;
}

std::optional<Record> TopicReader::next(milliseconds timeout) {
  held_.reset();
  if (lost_) throw *lost_;
  const Steady::time_point deadline = Steady::now() + timeout;
  while (!done()) {
    if (rereads_.due()) reread();
    const auto left = std::chrono::ceil<milliseconds>(deadline - Steady::now());
    KafkaMessage message(rd_kafka_consumer_poll(client_.get(), to_timeout_ms(left)));
    if (!message) {
      take_silence();
      return std::nullopt;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      take_trouble(trouble_of(*message));
    } else if (std::optional<Record> record = take_record(std::move(message))) {
      return record;
    }
  }
  return std::nullopt;
}

// None: it is of no range, or of one that was read.
std::optional<Record> TopicReader::take_record(KafkaMessage message) {
  client_.delivered(*message);
  const Slots::Found found = slots_.find(message->rkt, message->partition);
  TIDEMARK_CHECK(found.slot != Slots::kNone);
  const auto slot = static_cast<std::size_t>(found.slot);
  // What was fetched before a partition was paused may still come, and what is below the offset
  // that was asked for comes with its batch.
  if (progress_[slot].done || message->offset < slots_.next(slot)) return std::nullopt;
  progress_[slot].at_end = false;
  rereads_.heard();
  const std::int64_t end = ranges_[slot].to.value;
  const bool wanted = message->offset < end;
  if (wanted) slots_.delivered(slot, message->offset);
  if (message->offset + 1 >= end) finish(slot);
  if (!wanted) return std::nullopt;
  held_ = std::move(message);
  return to_record(*held_, found);
}

void TopicReader::take_trouble(const KafkaTrouble& trouble) {
  const std::int32_t found = slots_.find(trouble.topic, trouble.partition);
  const auto slot = static_cast<std::size_t>(found);
  if (found != Slots::kNone && progress_[slot].done) return;
  switch (fate_of(static_cast<rd_kafka_resp_err_t>(trouble.code))) {
    case ErrorFate::kQuiet:
      if (found != Slots::kNone) take_end(slot, trouble.offset);
      return;
    case ErrorFate::kOutOfRange:
      if (found != Slots::kNone) take_out_of_range(slot, trouble);
      return;
    case ErrorFate::kBrokenBatch:
      if (found != Slots::kNone) take_damaged(slot, trouble);
      return;
    case ErrorFate::kAct:
      client_.fail(trouble);
    case ErrorFate::kMissing:  // a new topic, not known everywhere yet; what is gone, silence tells
    case ErrorFate::kUnreachable:
    case ErrorFate::kRefused:
    case ErrorFate::kPassing:
      return client_.say_once("passing", trouble);
  }
}

// The partition ends at this offset, once the markers and gaps behind the last record were passed.
void TopicReader::take_end(std::size_t slot, std::int64_t offset) {
  rereads_.heard();
  if (offset >= ranges_[slot].to.value) return finish(slot);
  if (offset > slots_.next(slot)) slots_.delivered(slot, offset - 1);
  progress_[slot].at_end = true;
}

void TopicReader::take_out_of_range(std::size_t slot, const KafkaTrouble& trouble) {
  // Two cases are no loss: the earliest offset could not be asked for, or was purged between the
  // answer and the fetch.
  if (trouble.offset < 0 || slots_.next(slot) == Slots::kNothing) {
    client_.say_once("position", trouble);
    rereads_.later(Steady::now());
    return;
  }
  give_up({ErrorKind::kFatal,
           fmt::format("{}; the records from there on are purged, or the topic was made anew: "
                       "start at an offset that the partition still holds (or at the earliest), "
                       "and have what lies between recounted",
                       describe_trouble(trouble, client_.options().properties))});
}

// librdkafka goes on behind a batch that it could not read: we go back to where we were.
void TopicReader::take_damaged(std::size_t slot, const KafkaTrouble& trouble) {
  if (!rereads_.damaged(static_cast<std::int32_t>(slot), slots_.next(slot))) {
    give_up(error_of_damage(trouble, client_.options().properties));
  }
  client_.say_once("broken_batch", trouble);
  reread();
}

void TopicReader::take_silence() {
  client_.check();
  if (const std::string missing = client_.take_missing(); !missing.empty()) {
    client_.fail({RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, {}, -1, -1, missing});
  }
  for (std::size_t slot = 0; slot < ranges_.size(); ++slot) {
    if (!progress_[slot].done && !progress_[slot].at_end) return;
  }
  for (std::size_t slot = 0; slot < ranges_.size(); ++slot) {
    if (progress_[slot].done) continue;
    const TopicPartition& where = ranges_[slot].where;
    const std::string text =
        fmt::format("the partition ends here, before {}, up to which it should be read",
                    ranges_[slot].to.value);
    client_.fail({RD_KAFKA_RESP_ERR__PARTITION_EOF, where.topic, where.partition.value,
                  slots_.next(slot), text});
  }
}

void TopicReader::give_up(WorldError error) {
  lost_ = std::move(error);
  throw *lost_;
}

void TopicReader::start() {
  if (done()) return;
  KafkaPartitions list = make_list(left_);
  for (std::size_t slot = 0; slot < ranges_.size(); ++slot) {
    if (progress_[slot].done) continue;
    progress_[slot].at_end = false;
    const std::int64_t next = slots_.next(slot);
    add(list, ranges_[slot].where).offset =
        next == Slots::kNothing ? RD_KAFKA_OFFSET_BEGINNING : next;
  }
  const rd_kafka_resp_err_t error = rd_kafka_assign(client_.get(), list.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) client_.fail({error, {}, -1, -1, "assign"});
}

// What was fetched before is outdated by itself, but not the errors: they are emptied out.
void TopicReader::reread() {
  rereads_.cancel();
  rd_kafka_assign(client_.get(), nullptr);
  for (int i = 0; i < kDiscardedMax; ++i) {
    if (!KafkaMessage(rd_kafka_consumer_poll(client_.get(), 0))) break;
  }
  start();
}

// A partition that is read goes on growing; it is not fetched any more.
void TopicReader::finish(std::size_t slot) {
  progress_[slot].done = true;
  --left_;
  KafkaPartitions list = make_list(1);
  add(list, ranges_[slot].where);
  rd_kafka_pause_partitions(client_.get(), list.get());
}

}  // namespace tidemark
