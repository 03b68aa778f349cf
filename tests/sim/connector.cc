#include "tests/sim/connector.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace tidemark::sim {

Connector::Connector(Source& source, Random& random, const Trace& trace, std::size_t partitions,
                     ConnectorHabits habits)
    : source_(source),
      random_(random),
      trace_(trace),
      habits_(habits),
      waiting_(partitions),
      partitions_(partitions) {}

// Without a key Kafka takes any partition.
std::size_t Connector::partition_of(const Event& event) {
  return event.has_key ? event.row % partitions_.size() : random_.below(partitions_.size());
}

// The end of the transaction that the slot sent before.
std::optional<Lsn> Connector::last_commit(std::size_t commit) const {
  if (commit == 0 || without_last_.contains(commit)) return std::nullopt;
  return source_.commits()[commit - 1].end;
}

void Connector::emit() {
  if (emitted_all()) return;
  const Event& event = source_.events()[next_];
  const std::size_t partition = partition_of(event);
  trace_.say("connector event {} (tx {}, {}) to partition {} at {}", next_,
             source_.commits()[event.commit].id, op_letter(event.op), partition,
             partitions_[partition].size() + waiting_[partition].size());
  waiting_[partition].push_back(
      {.event = next_, .position = {last_commit(event.commit), event.lsn}});
  ++next_;
  if (random_.percent(habits_.prompt)) deliver_all();
}

void Connector::deliver() {
  const std::size_t partition = random_.below(partitions_.size());
  std::deque<Message>& waiting = waiting_[partition];
  for (std::size_t left = random_.below(waiting.size() + 1); left > 0; --left) {
    partitions_[partition].push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
}

void Connector::deliver_all() {
  for (std::size_t p = 0; p < waiting_.size(); ++p) {
    std::ranges::move(waiting_[p], std::back_inserter(partitions_[p]));
    waiting_[p].clear();
  }
}

bool Connector::silent(std::size_t partition) const {
  const bool sent_again =
      emitted_all() || source_.commits()[source_.events()[next_].commit].end > source_.confirmed();
  return waiting_[partition].empty() && sent_again;
}

// What waited in the producer is sent again: Connect stores the offset before the first that was
// not acknowledged.
void Connector::restart() {
  const std::size_t before = next_;
  for (std::deque<Message>& waiting : waiting_) {
    for (const Message& message : waiting) {
      if (message.event) next_ = std::min(next_, *message.event);
    }
    waiting.clear();
  }
  const auto resent = [&](const Event& event) {
    return source_.commits()[event.commit].end > source_.confirmed();
  };
  const auto first = std::ranges::find_if(source_.events(), resent);
  const auto from = static_cast<std::size_t>(first - source_.events().begin());
  if (from < next_) next_ = from + random_.below(next_ - from + 1);
  if (next_ < before) trace_.note(Happened::kRedelivered);
  trace_.say("connector restarts at event {}", next_);
  if (!habits_.null_stays) without_last_.clear();
  if (!emitted_all() && random_.percent(habits_.null_after_restart)) {
    without_last_.insert(source_.events()[next_].commit);
  }
}

void Connector::confirm() {
  Lsn sent = source_.end_of_log();  // with heartbeats also what has no events
  if (!emitted_all()) {
    const std::size_t commit = source_.events()[next_].commit;
    sent = commit == 0 ? Lsn(0) : source_.commits()[commit - 1].end;
  }
  if (sent <= source_.confirmed()) return;
  source_.confirm(sent);
  trace_.say("connector confirms {}, restart LSN {}", sent.value, source_.restart().value);
}

void Connector::snapshot_row() {
  const RowId row = random_.below(kRowIds);
  if (next_ == 0 || !source_.visible_row(row)) return;
  const Event& last = source_.events()[next_ - 1];
  waiting_[row % partitions_.size()].push_back({.event = std::nullopt,
                                                .row = row,
                                                .image = source_.visible_row(row),
                                                .position = {last_commit(last.commit), last.lsn}});
  trace_.say("connector row {} of a snapshot", row);
}

Change change_of(const Source& source, const Message& message) {
  Change change;
  change.table = TableIndex(0);
  change.position = message.position;
  if (!message.event) {
    change.op = Op::kRead;
    change.after = image_of(message.row, message.image);
    return change;
  }
  const Event& event = source.events()[*message.event];
  change.op = event.op;
  change.tx_id = source.commits()[event.commit].id & 0xFFFFFFFFU;
  change.has_key = event.has_key;
  if (event.has_before) change.before = image_of(event.row, event.before);
  change.after = image_of(event.row, event.after);
  return change;
}

Record record_at(std::uint32_t slot, std::size_t partition, std::int64_t offset) {
  Record record;
  record.slot = slot;
  record.topic = "things";
  record.partition = Partition(static_cast<std::int32_t>(partition));
  record.offset = Offset(offset);
  record.key = "k";
  record.value = "v";
  return record;
}

}  // namespace tidemark::sim
