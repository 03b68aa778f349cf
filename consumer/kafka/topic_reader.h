// Reads stretches of partitions beside the group, from an offset up to an end: for replay, and for
// looking at records again.
//
// Nothing is committed, and nobody's partitions are taken. Records come in order within a range;
// the ranges come mixed. Offsets without a record (transaction markers, aborted records, what was
// compacted away) are passed over. Bad batches are read again as KafkaSource does.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "consumer/core/ports.h"
#include "consumer/kafka/kafka_client.h"
#include "consumer/kafka/kafka_options.h"
#include "consumer/kafka/rereads.h"
#include "consumer/kafka/slots.h"

namespace tidemark {

// What to read of a partition. The end should be there already (EndOffsets::read): nothing else
// says that the range can be read to its end.
struct ReadRange {
  TopicPartition where;
  Offset from;  // kNotStarted: the earliest retained
  Offset to;    // the first one that is not read
};

// One thread.
class TopicReader {
 public:
  // At most one range for a partition. An empty range is done at once. The options' topics are not
  // looked at. Throws WorldError(kConfig) when properties can't be used; waits for no broker.
  TopicReader(KafkaOptions options, std::vector<ReadRange> ranges);

  // The next record of any range, its slot being the range's index; its views live until the next
  // call. None: nothing came within the timeout, or all is done. Trouble that passes is logged.
  // Throws WorldError, and may then be called again:
  // - kRetry: a topic is missing; or nothing came, as all that is left lies past the partitions'
  //   ends (a topic made anew is shorter; a new leader may be behind for a moment);
  // - kFatal, again at each call: a record that should be read is purged or past the end, or a
  //   batch stays damaged;
  // - kDenied, kConfig, kFatal as KafkaSource.
  std::optional<Record> next(std::chrono::milliseconds timeout);

  // Every range was read to its end. No record is still to come.
  bool done() const { return left_ == 0; }
  // Where the range goes on: all of it below was read or holds no record. Its end when it is done;
  // kNotStarted when nothing is known of it yet and it starts there.
  Offset next_offset(std::size_t range) const;

 private:
  struct Progress {
    bool done = false;
    bool at_end = false;  // the partition ends here, before the range does
  };

  void start();
  void reread();
  void finish(std::size_t slot);
  std::optional<Record> take_record(KafkaMessage message);
  void take_trouble(const KafkaTrouble& trouble);
  void take_end(std::size_t slot, std::int64_t offset);
  void take_out_of_range(std::size_t slot, const KafkaTrouble& trouble);
  void take_damaged(std::size_t slot, const KafkaTrouble& trouble);
  void take_silence();
  [[noreturn]] void give_up(WorldError error);

  std::vector<ReadRange> ranges_;
  std::vector<Progress> progress_;  // of the range with the same index
  std::size_t left_ = 0;            // ranges that are not done
  Slots slots_;                     // slot i is ranges_[i], and how far it was read
  Rereads rereads_;
  std::optional<WorldError> lost_;  // it can't be read to its end
  LoneKafkaClient client_;
  KafkaMessage held_;  // the last record's bytes; ends before the client does
};

}  // namespace tidemark
