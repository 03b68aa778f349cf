// What one batch does to the stored state: the fold's effect, a plain value that the store carries
// out in one transaction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/change.h"
#include "consumer/core/declaration.h"
#include "consumer/core/detail_log.h"
#include "consumer/core/position.h"
#include "consumer/core/types.h"

namespace tidemark {

// The change of one aggregate's rows. Row i is key(i) with deltas[i * counters + c].
struct AggregateDelta {
  std::size_t counters = 0;                // how many counters the aggregate declares
  std::vector<std::int64_t> integer_keys;  // ascending, one row a key; empty for text keys
  std::vector<std::string> text_keys;      // ascending bytewise; empty for integer keys
  std::vector<std::int32_t> deltas;        // may be 0: the row must exist, or be looked up again
  // Where the rows that LoggedDelta counts, in the order in which they were made, stand here.
  std::vector<std::uint32_t> places;

  // Whether any row's delta of it is not 0.
  bool changes(CounterIndex counter) const;
  std::size_t rows() const { return integer_keys.empty() ? text_keys.size() : integer_keys.size(); }
  std::string key_text(std::size_t row) const {
    return integer_keys.empty() ? text_keys[row] : std::to_string(integer_keys[row]);
  }
};

// One contribution to a cell, as it was folded: what a fence decides about (rule F1).
struct LoggedDelta {
  Lsn lsn;              // of the change
  std::uint32_t tx_id;  // source.txId
  std::uint32_t row;    // see AggregateDelta::places
  std::uint16_t aggregate;
  std::uint16_t counter;
  std::int16_t delta;
};

// Why cells became suspect. Stored as text: never rename.
enum class SuspectCause : std::uint8_t {
  kSnapshotRow,    // op=r
  kPartialImage,   // before is missing or partial, or a needed value is unavailable
  kNotNew,         // below the mark or seen at it
  kNoPosition,     // no usable position, or no transaction id
  kNoKey,          // a null key: no home partition (N3)
  kTruncate,       // op=t
  kParked,         // a record that could not be taken
  kNegative,       // the stored value fell below zero
  kDataLoss,       // records were purged before they were read, or the topic was made anew
  kNewCounter,     // declared after the state was made
  kStart,          // the state is new: nothing was counted before
  kNewHistory,     // the database went back, or is another one: failover, restore (F8)
  kRepartitioned,  // partitions were added to a topic (N3)
  kReplay,         // an operator had the stream read again
  kRequested,      // an operator asked for a recount
  kLocked,         // another writer held the row when it was recounted (F5)
  kChanged,        // a row behind recounted columns is another now
};
std::string_view cause_name(SuspectCause cause);

// One suspect cell: a counter's, or a group of recounted columns. `key` in text form, whatever the
// aggregate's type.
struct SuspectCell {
  AggregateIndex aggregate;
  CounterIndex counter;
  std::string key;
  SuspectCause cause;

  friend auto operator<=>(const SuspectCell&, const SuspectCell&) = default;
};

// All cells of one counter.
struct SuspectRange {
  AggregateIndex aggregate;
  CounterIndex counter;
  SuspectCause cause;

  friend auto operator<=>(const SuspectRange&, const SuspectRange&) = default;
};

// Keys that changed in rows of one of a rule's sources (rule C1): users, or what users depend on.
struct DirtyKeys {
  // A block that is above each checkpoint: the change's is null or not known.
  static constexpr std::int64_t kNoBlock = std::numeric_limits<std::int64_t>::max();

  RuleIndex rule;
  std::uint32_t source = 0;          // index into Rule::dirty
  std::vector<std::int64_t> keys;    // ascending, each once
  std::vector<std::int64_t> blocks;  // of each key, the highest block of its changes
};

// A record that was put aside.
struct ParkedRecord {
  // How much of a payload is kept: enough to see what it is, bounded so that 10,000 fit.
  static constexpr std::size_t kPayloadBytesMax = 64 * 1024;

  TopicPartition where;
  Offset offset;
  KafkaTimestamp timestamp;
  BadRecord bad;
  std::optional<std::string> key;      // at most kPayloadBytesMax
  std::optional<std::string> payload;  // at most kPayloadBytesMax
  std::size_t payload_bytes = 0;       // before the cut
};

// What recognises a record: read again at assignment to notice a topic that was made anew (P4).
struct Fingerprint {
  Offset offset;
  KafkaTimestamp timestamp;
  Hash64 key;    // of the key's bytes; of none for a null key
  Hash64 value;  // of the value's last kValueTailBytes: Debezium's timestamps stand there
  static constexpr std::size_t kValueTailBytes = 256;  // stored; never change

  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

Fingerprint fingerprint_of(const Record& record);

// How far one partition goes in this batch: compared and set in one step (P1).
struct Advance {
  TopicPartition where;
  Epoch epoch;
  Offset from;                             // must be stored now
  Offset to;                               // next offset after the batch
  Mark mark;                               // after the batch
  std::optional<Fingerprint> fingerprint;  // of the batch's last record
};

// Figures of a batch, for metrics.
struct BatchFigures {
  std::size_t records = 0;
  std::size_t bytes = 0;
  std::size_t changes = 0;            // decoded changes
  std::size_t duplicates = 0;         // not new
  std::size_t skipped[5] = {};        // by SkipReason
  std::int64_t oldest_append_ms = 0;  // smallest Kafka timestamp; 0 when there is none
  std::int64_t newest_append_ms = 0;
};

struct Delta {
  std::vector<AggregateDelta> aggregates;  // as Declaration::aggregates
  std::vector<SuspectCell> suspect_cells;  // sorted, each cell once
  std::vector<SuspectRange> suspect_ranges;
  std::vector<DirtyKeys> dirty;   // by rule and source, those with keys
  std::vector<RuleIndex> sweeps;  // rules whose dirty users can't be told: each once, ascending
  std::vector<ParkedRecord> parked;
  std::vector<Advance> advances;  // sorted by topic and partition
  // What the deltas are the sum of, so that fences can take out what they saw.
  std::vector<LoggedDelta> log;
  DetailLog details;  // of what was added to counters with milestones
  // The transactions behind deltas, suspects and touched rows (rule F2); neighbours differ.
  std::vector<std::uint32_t> transactions;
  BatchFigures figures;

  std::size_t rows() const;
};

}  // namespace tidemark
