// Debezium and Kafka: the log in commit order, at least once, in partitions by key. What is sent
// waits in the producer for its partition: another one's acknowledgement may come first, and then
// the slot is confirmed past what waits.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "consumer/core/change.h"
#include "consumer/core/position.h"
#include "tests/sim/source.h"

namespace tidemark::sim {

struct Message {
  std::optional<std::size_t> event =
      {};         // of Source::events(); none: a row of an incremental snapshot
  RowId row = 0;  // of that row
  std::optional<Row> image = {};
  Position position;
};

struct ConnectorHabits {
  std::size_t prompt = 100;            // percent: nothing waits in the producer
  std::size_t null_after_restart = 0;  // percent: the first transaction has no last commit then
  bool null_stays = true;              // and has none either when it is sent again
};

class Connector {
 public:
  Connector(Source& source, Random& random, const Trace& trace, std::size_t partitions,
            ConnectorHabits habits);

  void emit();
  void deliver();  // of one partition some of what waits
  void deliver_all();
  void restart();       // goes on from what it has confirmed, or a little later
  void confirm();       // tells the slot how far it has sent
  void snapshot_row();  // an incremental snapshot between the changes
  bool emitted_all() const { return next_ == source_.events().size(); }
  // Nothing that the slot was told of is yet to come into the partition. Stands for "nothing came
  // into it for a while": that what waits comes within that while is assumed (service/arrival.h).
  bool silent(std::size_t partition) const;

  const std::vector<std::vector<Message>>& partitions() const { return partitions_; }

 private:
  std::size_t partition_of(const Event& event);
  std::optional<Lsn> last_commit(std::size_t commit) const;

  Source& source_;
  Random& random_;
  const Trace& trace_;
  ConnectorHabits habits_;
  std::vector<std::deque<Message>> waiting_;
  std::vector<std::vector<Message>> partitions_;
  std::size_t next_ = 0;                // of Source::events()
  std::set<std::size_t> without_last_;  // the transactions that are sent with none
};

// A message as the decoder would give it.
Change change_of(const Source& source, const Message& message);
Record record_at(std::uint32_t slot, std::size_t partition, std::int64_t offset);

}  // namespace tidemark::sim
