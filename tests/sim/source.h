// The source's PostgreSQL: transactions, their log, and what snapshots see.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "consumer/core/change.h"
#include "consumer/core/fence.h"
#include "tests/sim/music.h"
#include "tests/sim/random.h"
#include "tests/sim/trace.h"

namespace tidemark::sim {

// A change as the connector will decode it.
struct Event {
  Op op = Op::kCreate;
  RowId row = 0;
  std::optional<Row> before = {};
  std::optional<Row> after = {};
  Lsn lsn = {};
  bool has_before = true;  // false: REPLICA IDENTITY was not FULL
  bool has_key = true;
  std::size_t commit = 0;  // place in Source::commits()
};

struct Transaction {
  std::uint64_t id = 0;
  std::uint64_t newest_id = 0;  // its own, or its newest subtransaction's
  std::vector<Event> events;
  std::vector<RowId> locked;
  std::optional<Lsn> first;  // of its first record
  Lsn end;                   // of its commit record
  bool slow = false;         // long or prepared: seldom ends
};

// How often what happens in a run, in percent; 0: never.
struct SourceHabits {
  std::size_t no_before = 0;
  std::size_t no_key = 0;
  std::size_t slow = 10;
  std::size_t truncate = 0;
  std::size_t age = 0;  // 2^32 ids pass
};

class Source {
 public:
  Source(Random& random, const Trace& trace, SourceHabits habits);

  // Each is one step; none does anything when it can't.
  void begin();
  void write();
  void write_subtransaction();  // takes an id, and may be rolled back
  void truncate();
  void commit();  // its record is in the log: from now on it can be decoded
  void show();    // and a moment later snapshots see it, and its row locks go
  void abort();
  void log_running();  // what lets the slot's restart LSN move on
  bool age();          // so many transactions pass that 32-bit ids come again: whether they did
  void crash();        // open transactions are gone, committed ones are visible
  bool quiet() const { return open_.empty() && unseen_.empty(); }

  // Only xmax and running, as pg_current_snapshot gives them.
  SourceSnapshot snapshot() const;
  std::uint64_t take_id();
  Lsn end_of_log() const { return Lsn(log_end_); }
  Counts count() const;  // in the present snapshot
  const std::optional<Row>& visible_row(RowId id) const { return shown_[id]; }

  const std::vector<Transaction>& commits() const { return commits_; }
  const std::vector<Event>& events() const { return events_; }  // in commit order
  // By place in commits(): whether snapshots see it.
  const std::vector<bool>& visible() const { return visible_; }

  // The slot: what the connector has confirmed, and from where it would decode.
  void confirm(Lsn confirmed);
  Lsn confirmed() const { return confirmed_; }
  Lsn restart() const { return restart_; }

 private:
  struct Restart {
    Lsn at;
    Lsn from;
  };

  Lsn append(std::uint64_t bytes);
  Transaction* any_open(bool ending);
  void complete(std::uint64_t id);
  void roll_back(Transaction& tx);
  void write_row(Transaction& tx, RowId id);
  void write_copy(Transaction& tx, std::vector<RowId> absent);
  void move_row(Transaction& tx, RowId from, RowId to);
  void add(Transaction& tx, Op op, RowId id, std::optional<Row> after, Lsn lsn);
  void make_visible(std::size_t commit);
  std::vector<RowId> free_rows(const Transaction& tx, bool present) const;
  Row any_row();

  Random& random_;
  const Trace& trace_;
  SourceHabits habits_;
  std::uint64_t next_id_;
  std::uint64_t newest_completed_;
  std::uint64_t log_end_ = 1000;
  std::vector<Transaction> open_;
  std::vector<std::size_t> unseen_;  // committed, not visible
  std::vector<Transaction> commits_;
  std::vector<Event> events_;
  std::vector<bool> visible_;
  std::array<std::optional<Row>, kRowIds> newest_;  // as their lock's holder sees them
  std::array<std::optional<Row>, kRowIds> shown_;   // as snapshots see them
  std::array<std::optional<std::uint64_t>, kRowIds> lock_;
  Lsn confirmed_;
  Lsn restart_;
  std::vector<Restart> restarts_;  // not yet confirmed
};

}  // namespace tidemark::sim
