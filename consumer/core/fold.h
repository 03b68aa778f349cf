// Changes to a Delta: contributions(after) - contributions(before), summed per cell over a batch.
// Pure: no clock, no socket, no SQL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "consumer/core/change.h"
#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/core/position.h"

namespace tidemark {

// What happens to a change that is not proven new (N1).
enum class NotNewPolicy : std::uint8_t {
  kDrop,     // it came before: nothing
  kSuspect,  // its cells are recounted
};

// A partition as the fold knows it: where its batch starts, and what it has seen.
struct FoldPartition {
  TopicPartition where;
  Epoch epoch;
  Offset next;  // the next expected offset; gaps are Kafka's own
  Mark mark;
  TouchOnly touch_only = {};
};

// Builds one batch at a time; partitions and their marks go on from batch to batch.
class Fold {
 public:
  Fold(const Declaration& declaration, NotNewPolicy policy);
  ~Fold();
  Fold(Fold&&) noexcept;
  Fold& operator=(Fold&&) noexcept;

  // Forgets everything, batch and marks, and starts with these partitions, which Record::slot
  // then indexes. The only way back after a batch was not applied (P3).
  void reset(std::span<const FoldPartition> partitions);

  // Each takes one record of the batch, in offset order per partition. An offset below the next
  // expected one is the caller's to drop. The change's texts are not kept.
  void add_change(const Record& record, const Change& change);
  void add_skip(const Record& record, SkipReason reason);
  void add_bad(const Record& record, BadRecord bad, std::span<const TableIndex> tables);

  // Rows with a delta, suspects, dirty keys and parked records so far: what bounds a batch.
  std::size_t rows() const;
  std::size_t records() const;
  std::size_t parked() const;
  std::size_t bytes() const;
  bool empty() const { return records() == 0; }
  Offset next(std::uint32_t slot) const;

  // The batch's effect, sorted; the fold goes on with an empty batch from the marks after it.
  Delta take();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
