// The recounter's hand in Postgres: slices, fences, passes and the ledger (DESIGN 4.4, 4.5).
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/fence.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/admin.h"
#include "consumer/store/milestones.h"
#include "consumer/store/pg.h"
#include "consumer/store/recounted_columns.h"

namespace tidemark {

struct PgRecountOptions {
  PgOptions pg;      // where the cells are
  std::string slot;  // Debezium's replication slot; its LSNs tell when a fence has done its work
  std::optional<PgOptions> source = {};  // where the rows are, if elsewhere (F10)
};

// A walk over whole aggregates that has not ended.
struct Pass {
  std::int64_t id = 0;
  std::string cause;
  AggregateIndex aggregate;             // where it is
  std::optional<std::string> next_key;  // where it goes on there; none: at the beginning
  bool last_aggregate = false;
  std::uint64_t slices = 0;
  std::uint64_t cells = 0;
  std::uint64_t corrected = 0;
};

struct PassState {
  std::uint64_t slices = 0;
  std::uint64_t cells = 0;  // rows compared
  std::uint64_t corrected = 0;
  bool ended = false;
};

// Suspect cells of one aggregate that can be recounted now.
struct SuspectKeys {
  AggregateIndex aggregate;
  std::vector<std::string> keys;  // each once
};

struct SliceResult {
  bool taken = false;  // false: the turn didn't come within the patience; nothing was changed
  std::size_t rows = 0;
  std::size_t corrected = 0;  // cells that were written
  std::size_t held = 0;       // rows that another writer held: they stay suspect
  std::chrono::microseconds wait{0};
  std::chrono::microseconds hold{0};
  std::chrono::microseconds counting{0};  // of the hold: the statement that counts
};

struct OutstandingFence {
  std::int64_t id;
  Lsn inserted;
};

struct StoredOffset {
  TopicPartition where;
  Offset next;
  std::optional<Position> position = {};  // of the partition's mark; none: none was seen yet
};

// One connection to count on and one to write on; one thread. Throws WorldError.
class PgRecount {
 public:
  // `declaration` must outlive it.
  PgRecount(const Declaration& declaration, PgRecountOptions options);

  // One recounter at a time: true while we are it. Lost with the connection.
  bool lead();

  // --- what is to be done ---
  std::optional<SuspectKeys> suspect_keys(std::size_t limit);
  // Has these keys recounted, as an operator asks for it: what differs is drift, not a repair.
  void request(AggregateIndex aggregate, std::span<const std::string> keys);
  // Requested keys that were not recounted yet.
  std::size_t requests_left(AggregateIndex aggregate);
  PassState state_of(const Pass& pass);
  // Counters with so many suspect cells become suspect as a whole: a pass is cheaper.
  void widen_suspects(std::size_t cells_max);
  std::optional<Pass> current_pass();
  // A pass is due: counters that are suspect as a whole, or `every` has passed since the last
  // periodic one began. Begins it.
  std::optional<Pass> begin_due_pass(std::chrono::milliseconds every);
  // Over these aggregates, all when empty.
  Pass begin_pass(const std::string& cause, std::span<const AggregateIndex> aggregates);
  void end_pass(const Pass& pass);

  // --- slices ---
  // Where a slice that begins at `from` should end to take about `rows` rows; none: it is the last.
  std::optional<std::string> range_end(AggregateIndex aggregate,
                                       const std::optional<std::string>& from, std::size_t rows);
  // Counts the keys by one statement, computes their recounted columns, writes what differs, and
  // leaves a fence (rules F1 to F7).
  // With a pass, moves it on to the range's end. Waits for its turn at most `patience`.
  SliceResult recount(AggregateIndex aggregate, KeySet keys, std::chrono::milliseconds patience,
                      const Pass* pass);
  // Counts the keys without a turn, for nothing but that their rows are then in memory. Gives how
  // long it took, to be compared with a slice's `counting`.
  std::chrono::microseconds rehearse(AggregateIndex aggregate, const KeySet& keys);

  // --- after the database's history changed (rule F8) ---
  // Some partitions only touch until their end is known.
  bool unsettled();
  // The slot streams from this database.
  bool slot_active();
  // Changes below these ends only touch; then all is recounted once more. Fences the owners.
  void settle(std::span<const StoredOffset> ends);

  // --- after partitions were added to a topic (rule N3) ---
  // Notes how many partitions the topics have. Where there are more than before, all changes only
  // touch; after `producers`, when every producer knows the new ones, those that are written from
  // then on count again. Everything is recounted at both times. Gives what was found to have grown.
  std::vector<std::string> note_partitions(const std::map<std::string, std::int32_t>& counts,
                                           std::chrono::milliseconds producers);

  // --- fences ---
  std::vector<OutstandingFence> fences();
  // What the slot has confirmed; none: it can't be seen.
  std::optional<Lsn> slot_confirmed();
  std::vector<StoredOffset> stored_offsets();
  // To be called when all that they saw has been consumed (rule F9). Gives what stays unexplained.
  std::vector<DriftRow> drop_fences(std::span<const std::int64_t> fences);
  // What sweeps corrected and no change explains yet (DESIGN 5, C3): as fences, until all that lies
  // below their LSN has been consumed.
  std::vector<OutstandingFence> corrections();
  std::vector<DriftRow> drop_corrections(std::span<const std::int64_t> corrections);

 private:
  struct Row;
  struct Counts;
  struct Difference;
  // What of earlier is about a slice's keys.
  struct Waiting {
    std::vector<bool> repairs;  // per cell: its counter is suspect as a whole
    bool suspects = false;
    bool ledger = false;
    bool unannounced = false;
  };

  void prepare(PgConnection& connection);
  void prepare_source(PgConnection& connection);
  static void prepare_queue(PgConnection& connection);
  static void prepare_corrections(PgConnection& connection);
  static std::vector<OutstandingFence> outstanding(const SqlResult& rows);
  void touch_until(PgTransaction& transaction, const std::vector<std::string>& topics, Lsn until);
  Lsn log_end();
  Lsn floor_of(const SourceSnapshot& snapshot);
  bool take_turn(PgTransaction& transaction, std::chrono::milliseconds patience);
  std::vector<Row> read_cells(PgTransaction& transaction, AggregateIndex aggregate,
                              const KeySet& keys) const;
  SqlResult count_rows(PgTransaction& source, AggregateIndex aggregate, const KeySet& keys) const;
  Counts count(AggregateIndex aggregate, const KeySet& keys, const std::vector<Row>& cells);
  std::vector<Difference> compare(AggregateIndex aggregate, const std::vector<Row>& cells,
                                  const Counts& counts, bool listed) const;
  std::vector<std::string> lock_rows(PgTransaction& transaction, AggregateIndex aggregate,
                                     std::vector<Difference>& differences) const;
  void write(PgTransaction& transaction, AggregateIndex aggregate,
             const std::vector<Difference>& differences);
  void write_recounted(PgTransaction& transaction, AggregateIndex aggregate,
                       const std::vector<Difference>& differences) const;
  std::vector<RaisedCell> raised(AggregateIndex aggregate,
                                 const std::vector<Difference>& differences) const;
  Waiting look_at(PgTransaction& transaction, AggregateIndex aggregate, const KeySet& keys) const;
  std::int64_t add_fence(PgTransaction& transaction, const Fence& fence,
                         const std::string& snapshot, const Pass* pass,
                         const SliceResult& result) const;
  void book(PgTransaction& transaction, const Fence& fence, const Waiting& waiting,
            const std::vector<Difference>& differences) const;
  void settle_suspects(PgTransaction& transaction, const Fence& fence,
                       const std::string& masked) const;
  static void suspect_held(PgTransaction& transaction, const Aggregate& aggregate,
                           const std::vector<std::string>& held);
  std::optional<std::string> oldest_running();
  std::optional<Pass> pass_of(const SqlResult& rows, std::size_t row) const;

  const Declaration& declaration_;
  const std::string declaration_hash_;
  std::string slot_;
  bool two_databases_;
  bool leading_ = false;
  std::size_t next_aggregate_ = 0;
  struct LogEnd {
    Lsn inserted;
    std::uint64_t next;  // an id that was given out after it
  };
  std::vector<RecountedTable> recounted_;  // by aggregate; read at each connect
  std::deque<LogEnd> log_ends_;            // in order; of this connection to the source
  Lsn floor_;
  PgSession target_;
  PgSession source_;
};

}  // namespace tidemark
