// One stream of batches: a fold that builds the next one while an applier carries out the last.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/fold.h"
#include "consumer/service/applier.h"

namespace tidemark {

// When a batch ends. At low rates none of these matters: a batch is applied as soon as the applier
// is free and nothing more has come.
struct BatchLimits {
  // Rows to write: what a transaction may hold locked, and the size of one statement's arrays.
  std::size_t rows_max = 200'000;
  std::size_t records_max = 1'000'000;
  // Bytes of records folded into one batch; they are not kept, but parked ones are.
  std::size_t bytes_max = std::size_t{1} << 30;
  // While records keep coming: bounds what the first of them waits. Near the head of the stream.
  std::chrono::milliseconds age_max{10};
  // Far behind it, where a larger batch coalesces more writes per row.
  std::chrono::milliseconds catchup_age_max{500};
  // Behind by so many records is far behind.
  std::int64_t catchup_records = 100'000;
};

// Used by the pipeline's thread only.
class Lane {
 public:
  Lane(const Declaration& declaration, NotNewPolicy policy, Store& store,
       PipelineObserver& observer, const BatchLimits& limits);

  // Forgets what is being built and goes on with these partitions.
  void reset(std::span<const FoldPartition> partitions);

  Fold& fold() { return fold_; }
  const Fold& fold() const { return fold_; }
  Applier& applier() { return applier_; }
  // To be called before a batch's first record is added, with the time now.
  void note_first(std::chrono::steady_clock::time_point now);
  // To be called for each change that is added, with its record's place in this lane.
  void note_change(std::uint32_t slot, const Change& change) {
    ++ops_[slot][static_cast<std::size_t>(change.op)];
    if (change.source_time_us <= 0 || change.op == Op::kRead)
      return;  // a snapshot's row is of any age
    if (oldest_commit_us_ == 0 || change.source_time_us < oldest_commit_us_) {
      oldest_commit_us_ = change.source_time_us;
    }
  }

  // The first batch since reset(): it proves that the claim works, and must not wait to grow.
  bool first() const { return first_; }
  // The batch may not grow any more.
  bool full() const;
  std::chrono::steady_clock::duration age(std::chrono::steady_clock::time_point now) const;
  // Hands the batch to the applier. Precondition: not empty, and the applier is free.
  void dispatch(std::chrono::steady_clock::time_point now);

  // After a batch of this many records failed because of its size or content: the next is half as
  // large. False when it can't get smaller.
  bool shrink(std::size_t records);
  // After a batch was applied: back towards the full size, doubling.
  void grow();
  std::size_t records_max() const { return records_max_; }

 private:
  BatchNotes take_notes(std::chrono::steady_clock::time_point now);

  const BatchLimits& limits_;
  std::vector<std::string> topics_;        // of each partition
  std::vector<BatchNotes::OpCounts> ops_;  // of each partition, of the batch so far
  std::int64_t oldest_commit_us_ = 0;      // of the batch so far
  Fold fold_;
  std::size_t records_max_;
  bool first_ = true;
  std::chrono::steady_clock::time_point first_at_{};
  Applier applier_;  // last: its thread ends before what it uses
};

}  // namespace tidemark
