// Carries out deltas in Postgres: offsets, counters, suspects and parked records in one
// transaction (DESIGN 4.1, rules P1 to P6).
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/fence.h"
#include "consumer/core/milestone.h"
#include "consumer/core/ports.h"
#include "consumer/store/fence_table.h"
#include "consumer/store/pg.h"
#include "consumer/store/source_database.h"
#include "consumer/store/state.h"

namespace tidemark {

struct PgStoreOptions {
  PgOptions pg;          // synchronous_commit is set off: offsets and cells go together (rule P6)
  std::string group_id;  // Kafka's consumer group; another than the state's is refused
  std::string owner;     // names this member to operators: host and process, say
  // Cells are recounted from source tables. Without, counting begins at zero and the earliest
  // record.
  bool recounted = true;
  std::optional<PgOptions> source = {};  // where the rows are, if elsewhere (F10)
  // Called after a commit that made users dirty, by the thread that applies; may be empty.
  std::function<void()> on_marked = {};
};

// See Store for the contract. Connects at the first call, and again after the connection was lost.
class PgStore final : public Store {
 public:
  // `declaration` must outlive the store.
  PgStore(const Declaration& declaration, PgStoreOptions options);

  std::vector<Claimed> claim(std::span<const TopicPartition> partitions) override;
  ApplyResult apply(const Delta& delta) override;
  WalPositions wal_positions() override;
  bool record_data_loss(const TopicPartition& where, Epoch epoch, std::string_view reason) override;

  // The server's process that serves this store; connects when there is no connection.
  int backend_pid() { return session_.get().backend_pid(); }

 private:
  void prepare(PgConnection& connection);
  void note_start(PgTransaction& transaction);
  void note_history(PgTransaction& transaction, const std::string& history);
  const FenceSet& fences_at(PgTransaction& transaction, std::int64_t version);
  struct Upserted {
    std::vector<SuspectCell> negative;  // cells that fell below zero
    std::vector<CellValue> values;      // of cells that may have crossed a milestone
  };
  Upserted upsert(PgTransaction& transaction, std::span<const AggregateDelta> aggregates);
  std::string history();
  void book_skipped(PgTransaction& transaction, const Delta& delta,
                    std::span<const SkippedDelta> skipped) const;
  void park(PgTransaction& transaction, std::span<const ParkedRecord> records) const;
  std::vector<SuspectRange> all_ranges(SuspectCause cause) const;

  const Declaration& declaration_;
  StateClaim claim_;
  std::string owner_;
  bool recounted_;
  std::function<void()> on_marked_;
  std::string history_;  // of the target that we are connected to
  // As of `fences_version_`; none: to be read again, as after each connect (rule F3).
  std::optional<FenceSet> fences_;
  std::int64_t fences_version_ = 0;
  PgSession session_;
  std::optional<SourceDatabase> source_;
};

}  // namespace tidemark
