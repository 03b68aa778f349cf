// The seams between the core and the world: where records come from, and where effects go. Each
// has one real implementation (consumer/kafka, consumer/store) and one fake (tests/support).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "consumer/core/change.h"
#include "consumer/core/delta.h"
#include "consumer/core/types.h"

namespace tidemark {

// What a failure of the world means for what to do next.
enum class ErrorKind : std::uint8_t {
  kRetry,    // passes by itself: again with backoff
  kShrink,   // a smaller batch may pass (statement timeout, out of memory)
  kBadData,  // Postgres refuses a value (SQLSTATE class 22): the record that causes it is parked
  kFatal,    // a person must act: stop and say what
  kDenied,   // as kFatal: missing privilege or wrong password
  kConfig,   // as kFatal: another declaration, an older binary, a second group
};

// The failing world. `what()` names the thing (statement, object, broker, topic) and what to do,
// and never holds a value from a record or a secret.
class WorldError : public std::runtime_error {
 public:
  WorldError(ErrorKind kind, std::string what, std::string sqlstate = {})
      : std::runtime_error(std::move(what)), kind_(kind), sqlstate_(std::move(sqlstate)) {}

  ErrorKind kind() const { return kind_; }
  // Five characters; empty when the failure is not one of SQL.
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  ErrorKind kind_;
  std::string sqlstate_;
};

// Offset -1: nothing read yet; the earliest retained record comes next.
inline constexpr Offset kNotStarted{-1};

// --- Source ------------------------------------------------------------------------------------

// Where to read a partition from.
struct StartAt {
  TopicPartition where;
  Offset offset;  // kNotStarted: the earliest retained
};

// Nothing came within the timeout.
struct Idle {};
// The group gave us these partitions, all of ours from now on. Nothing flows until assign().
struct Assigned {
  std::vector<TopicPartition> partitions;
};
// The group takes all of our partitions. It waits for unassign() (unless they are lost already).
struct Revoked {
  bool lost = false;
};
// The offset that was asked for is not there: purged, or past the end.
struct OutOfRange {
  TopicPartition where;
};

// A Record's views live until the next call of poll.
using SourceEvent = std::variant<Idle, Record, Assigned, Revoked, OutOfRange>;

// First and next offset that a partition holds.
struct Watermarks {
  Offset low;
  Offset high;
};

// A group member's stream of records. One thread. Throws WorldError.
class Source {
 public:
  virtual ~Source() = default;

  // The next thing that happened. Must be called at least every max.poll.interval.ms.
  virtual SourceEvent poll(std::chrono::milliseconds timeout) = 0;
  // Reads exactly these partitions from these offsets on; Record::slot is the index in `starts`.
  // Replaces what was read before: also the way to go back after a batch was not applied, and to
  // go on after a pause: everything assigned flows, paused before or not.
  virtual void assign(std::span<const StartAt> starts) = 0;
  virtual void unassign() = 0;
  // Stops fetching of all assigned partitions until the next assign(); the member stays in the
  // group as long as poll() is called.
  virtual void pause_all() = 0;
  virtual void pause(const TopicPartition& where) = 0;
  // Tells Kafka how far we are, for lag tools only. Never waits, never throws.
  virtual void commit_advisory(std::span<const StartAt> next) = 0;
  // Asks the broker; throws WorldError(kRetry) after `timeout`.
  virtual Watermarks watermarks(const TopicPartition& where, std::chrono::milliseconds timeout) = 0;
  // High watermark as last seen by the fetcher; none before the first fetch. Never waits.
  virtual std::optional<Offset> cached_high(const TopicPartition& where) const = 0;
  // Leaves the group. Nothing may be called afterwards.
  virtual void close() = 0;
};

// --- Store -------------------------------------------------------------------------------------

// A partition as Postgres knows it, just claimed by us.
struct Claimed {
  TopicPartition where;
  Epoch epoch;
  Offset next;
  Mark mark;
  std::optional<Fingerprint> fingerprint;
  std::uint64_t parked = 0;  // how many of its records are parked
  TouchOnly touch_only = {};
};

enum class ApplyOutcome : std::uint8_t {
  kApplied,
  kFenced,  // P1: offsets or epochs are not what the batch started from; nothing was changed
};

// Where the write-ahead log stands: what is written, and how much of it survives a crash.
struct WalPositions {
  Lsn inserted;
  Lsn flushed;
};

struct ApplyResult {
  ApplyOutcome outcome = ApplyOutcome::kApplied;
  std::size_t rows_written = 0;
  std::size_t negative_cells = 0;
  std::size_t skipped_changes = 0;   // contributions that a recount had counted already (F1)
  std::size_t suspects = 0;          // cells and ranges that the batch names
  std::size_t below_checkpoint = 0;  // keys that marked nobody dirty for a rule (C5)
};

// Carries out deltas in Postgres. One connection and one thread each. Throws WorldError; after one,
// nothing of the call is known to be stored, and the offsets tell (P3).
class Store {
 public:
  virtual ~Store() = default;

  // Makes us the owner of these partitions: raises their epochs, and gives what is stored. An older
  // owner's apply fails from now on. Refuses (kConfig) when group, declaration or state schema are
  // not those that the state was made with.
  virtual std::vector<Claimed> claim(std::span<const TopicPartition> partitions) = 0;
  // One transaction: progress compared and set, cells, suspects, parked records (P1, P2).
  virtual ApplyResult apply(const Delta& delta) = 0;
  // For the advisory Kafka commit, which follows the flushed log (P6).
  virtual WalPositions wal_positions() = 0;
  // Records that a partition's records are gone: its offset goes back to kNotStarted, every cell
  // becomes suspect, the state is visible until an operator or a full recount clears it. False:
  // the epoch is no longer ours.
  virtual bool record_data_loss(const TopicPartition& where, Epoch epoch,
                                std::string_view reason) = 0;
};

}  // namespace tidemark
