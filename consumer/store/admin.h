// What operators see and change of the stored state; each call is one transaction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/types.h"
#include "consumer/store/pg.h"

namespace tidemark {

// One partition's stored progress.
struct ProgressRow {
  TopicPartition where;
  Offset next;  // kNotStarted: nothing applied yet
  Epoch epoch;
  std::string owner;                        // the member that claimed it last; it may be gone
  std::optional<Lsn> mark_commit;           // see Position
  std::optional<Lsn> mark_lsn;              // none: no position seen yet
  std::optional<std::string> data_loss_at;  // ISO, UTC; none: no data was lost
  std::string data_loss_reason;
  std::string updated_at;  // ISO, UTC
  std::uint64_t parked = 0;
};

// A parked record without its payload.
struct ParkedRow {
  TopicPartition where;
  Offset offset;
  KafkaTimestamp timestamp;
  std::string code;
  std::string reason;
  std::uint64_t payload_bytes = 0;  // before the cut
  std::string parked_at;            // ISO, UTC
};

// A parked record with what was kept of it: user data, for operators' eyes only.
struct ParkedDetail {
  ParkedRow row;
  std::optional<std::string> key;      // bytes; none: a null key
  std::optional<std::string> payload;  // bytes, at most ParkedRecord::kPayloadBytesMax
};

// A cell that was wrong for another reason than lag, or a challenge's row that only a sweep set
// right; see tidemark.drift.
struct DriftRow {
  std::int64_t id = 0;
  std::string aggregate;
  std::string counter;
  std::string key;  // user data, perhaps
  std::optional<std::int64_t> expected;
  std::optional<std::int64_t> found;
  std::int64_t difference = 0;  // expected - found
  std::string found_at;         // ISO, UTC
  // Of a challenge's row, as JSON: before the sweep (none: it was not there) and after it. A cell
  // has neither.
  std::optional<std::string> was;
  std::optional<std::string> became;
};

// Of rows of all these columns, in this order.
std::vector<DriftRow> drift_rows(const SqlResult& rows);

struct StateCounts {
  std::uint64_t suspect_cells = 0;
  std::uint64_t suspect_ranges = 0;
  std::uint64_t parked = 0;
  std::uint64_t fences = 0;  // recounts that still have changes on their way
  std::uint64_t drift = 0;   // rows of the drift table
  std::uint64_t dirty = 0;   // users who wait to be derived
  std::uint64_t failed = 0;  // of them, those for whom a rule failed: tried again later
};

struct ResetOffset {
  std::string topic;
  std::optional<Partition> partition;  // none: all of the topic's
  Offset offset;                       // kNotStarted: the earliest retained
};

// Throws WorldError throughout. Rows come in (topic, partition, offset) order.
class Admin {
 public:
  explicit Admin(PgOptions options);

  std::vector<ProgressRow> read_progress();
  // Sets next_offset, forgets fingerprint and data loss, and raises the epoch, so that an owner's
  // batch is fenced and the owner reads the offset again. The mark stays: changes below it are not
  // new. Gives how many partitions were set; 0: none is known by that name.
  std::size_t reset_offset(const ResetOffset& reset);
  // The first `limit` parked records, of one topic when it is given.
  std::vector<ParkedRow> list_parked(std::size_t limit, const std::optional<std::string>& topic);
  std::optional<ParkedDetail> show_parked(const TopicPartition& where, Offset offset);
  StateCounts counts();
  // Rows of these aggregates (of all, when empty), as Postgres estimates them; 0: it doesn't.
  std::uint64_t estimated_rows(const Declaration& declaration,
                               std::span<const AggregateIndex> aggregates);
  // The newest `limit` rows of the drift table, newest first.
  std::vector<DriftRow> list_drift(std::size_t limit);

 private:
  PgSession session_;
};

}  // namespace tidemark
