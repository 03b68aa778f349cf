// Fences: which changes a recount has counted already (DESIGN 4.4, rules F1 to F3).
//
// A recount reads rows whose events are still on their way. It leaves a fence over the keys that it
// counted, and the changes that its snapshot saw are then skipped for these keys.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/delta.h"
#include "consumer/core/types.h"

namespace tidemark {

// What a snapshot of the source primary saw (rule F1). To be read in this order: xmax and running
// in the counting statement; then `inserted`; then `next`, of a transaction that had no id before.
// `restart` keeps ids of old transactions, whose 32 bits came again, from being taken for running
// ones: it is an earlier `inserted` whose `next` is at or below every id that was running. Ids are
// PostgreSQL's xid8, with their epoch.
struct SourceSnapshot {
  std::uint64_t xmax = 0;              // newest completed id + 1
  std::vector<std::uint64_t> running;  // ids below xmax that were not completed
  std::uint64_t next = 0;              // an id that was given out after the snapshot
  Lsn inserted;                        // end of the write-ahead log, after the snapshot
  Lsn restart;                         // every change below was seen; 0: not known of any

  friend bool operator==(const SourceSnapshot&, const SourceSnapshot&) = default;
};

// A snapshot as it is asked about changes: by the 32-bit `source.txId` that they carry.
class SeenTest {
 public:
  explicit SeenTest(const SourceSnapshot& snapshot);

  // The transaction may not have been visible to the snapshot: in its list, or not completed then.
  bool unfinished(std::uint32_t tx_id) const {
    if (tx_id - xmax_ < window_) return true;
    return !running_.empty() && running_contains(tx_id);
  }
  // The snapshot saw the change (rule F1).
  bool saw(std::uint32_t tx_id, Lsn lsn) const {
    return lsn < restart_ || (lsn < inserted_ && !unfinished(tx_id));
  }

 private:
  bool running_contains(std::uint32_t tx_id) const;

  std::uint32_t xmax_;
  std::uint32_t window_;                // ids from xmax on that were given out
  std::vector<std::uint32_t> running_;  // ascending
  Lsn inserted_;
  Lsn restart_;
};

// Keys of one aggregate, in their text form; ordered as numbers for integer keys, else bytewise.
struct KeySet {
  // Without `listed`: all keys from `from` up to and without `to`; none: open on that side.
  std::optional<std::string> from = {};
  std::optional<std::string> to = {};
  // Just these keys.
  std::optional<std::vector<std::string>> listed = {};
  // Of a range, those that it leaves out.
  std::vector<std::string> except = {};

  friend bool operator==(const KeySet&, const KeySet&) = default;
};

struct Fence {
  std::int64_t id = 0;  // a later recount of the same key has a higher one
  AggregateIndex aggregate;
  KeySet keys;
  SourceSnapshot snapshot;
  // Per counter: its cells were suspect as a whole, so what differs is a repair and not drift
  // (DESIGN 4.5), and is in no ledger. Nor is what its snapshot saw, as long as it stands.
  std::vector<bool> repairs;
};

// What was skipped for one cell: a change of `delta` that its fence saw.
struct SkippedDelta {
  AggregateIndex aggregate;
  CounterIndex counter;
  std::size_t row;  // in the aggregate's delta
  std::int64_t delta;
  std::int64_t fence;
};

// A delta as the fences let it through.
struct FencedDelta {
  std::vector<AggregateDelta> aggregates;  // empty: the delta's own, nothing was skipped
  std::vector<SkippedDelta> skipped;       // by aggregate, counter and key; repairs are left out
  std::size_t skipped_changes = 0;         // contributions that were skipped, repairs as well
  std::vector<bool> skips;                 // by place in the delta's log; empty: none was skipped
};

// The fences in force at one version. The newest over a key decides: it saw what older ones saw.
class FenceSet {
 public:
  FenceSet(const Declaration& declaration, std::vector<Fence> fences);
  ~FenceSet();
  FenceSet(FenceSet&&) noexcept;
  FenceSet& operator=(FenceSet&&) noexcept;

  bool empty() const;
  std::size_t size() const;
  // Skips, for each fenced cell, the changes that its fence saw. The delta itself stays, so that it
  // can be asked again under other fences (rule F3).
  FencedDelta let_through(const Delta& delta) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Rule F2: the snapshot saw each transaction of the batch.
bool saw_all(const SourceSnapshot& snapshot, const Delta& delta);

}  // namespace tidemark
