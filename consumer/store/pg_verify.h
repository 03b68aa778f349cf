// What `verify` reads of Postgres: cells, what the rows behind count to, and the state beside them,
// all in one snapshot (DESIGN 4.6). Nothing is written.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/fence.h"
#include "consumer/core/fold.h"
#include "consumer/core/verification.h"
#include "consumer/store/pg.h"

namespace tidemark {

struct PgVerifyOptions {
  PgOptions pg;
  std::string slot;                      // Debezium's replication slot
  std::optional<PgOptions> source = {};  // where the rows are, if elsewhere (F10)
};

// The state as one snapshot shows it.
struct VerifyLook {
  SourceSnapshot snapshot;
  std::vector<FoldPartition> partitions;  // of progress: where the stream stands, with its marks
  std::vector<Fence> fences;
  std::vector<SuspectCell> suspects;
  std::vector<SuspectRange> ranges;
  std::vector<CellDifference> differences;
  std::uint64_t rows = 0;   // of the aggregates
  std::uint64_t cells = 0;  // compared in them
};

// One connection and one thread. Throws WorldError.
class PgVerify {
 public:
  // `declaration` must outlive it.
  PgVerify(const Declaration& declaration, PgVerifyOptions options);

  // Compares every cell of these aggregates. The snapshot stays open meanwhile, as in pg_dump.
  // `going_on` is told the rows compared so far; when it says no, nothing comes back.
  std::optional<VerifyLook> look(std::span<const AggregateIndex> aggregates,
                                 const std::function<bool(std::uint64_t)>& going_on);
  // All that the last look can have seen is in Kafka (rule F9). Throws kRetry when the database
  // went down since: it may have lost what the look saw. Throws kConfig when the slot can't be
  // seen.
  bool all_sent();

 private:
  void prepare(PgConnection& connection);
  void read_state(PgTransaction& transaction, VerifyLook& look) const;
  // One snapshot of cells and rows; with two databases one of each, the source's the later one: it
  // saw all that the cells hold (rule F2).
  struct Snapshots {
    PgTransaction& target;
    PgTransaction& source;  // the same with one database
  };
  // False: stopped.
  bool compare(const Snapshots& snapshots, AggregateIndex index, VerifyLook& look,
               const std::function<bool(std::uint64_t)>& going_on) const;
  void compare_counters(const Snapshots& snapshots, AggregateIndex index, const KeySet& keys,
                        VerifyLook& look) const;
  void compare_across(const Snapshots& snapshots, AggregateIndex index, const KeySet& keys,
                      VerifyLook& look) const;
  void compare_recounted(const Snapshots& snapshots, AggregateIndex index, const KeySet& keys,
                         VerifyLook& look) const;

  const Declaration& declaration_;
  const std::string declaration_hash_;
  std::string slot_;
  PgSession session_;
  std::optional<PgSession> source_;
  int backend_ = 0;  // that looked
  Lsn inserted_;     // of the last look
};

}  // namespace tidemark
