// What Tidemark stores in the target, and what each statement does to it: the ledger of DESIGN 4.5
// as it is in SQL. A plain value: a crash goes back to an older one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "consumer/core/fence.h"
#include "consumer/core/position.h"
#include "tests/sim/music.h"
#include "tests/sim/rules.h"
#include "tests/sim/trace.h"

namespace tidemark::sim {

struct Progress {
  Offset next{0};
  Epoch epoch{0};
  Mark mark;
};

struct LedgerRow {
  std::int64_t remaining = 0;
  bool suspect = false;
  std::int64_t fence = 0;
};

// A counter whose every cell is suspect; `pass`: the one that began after it.
struct RangeMark {
  std::optional<std::int64_t> pass;
};

// A walk over all keys, in slices.
struct Pass {
  std::int64_t id = 0;
  AggregateIndex aggregate{0};
  std::optional<std::string> next_key = {};
};

struct Drift {
  std::size_t cell;
  std::int64_t amount;  // recounted minus found
};

// Whom the reader believes: what the last recount of a cell counted, and which transactions it saw.
struct Recounted {
  std::int64_t value = 0;
  std::shared_ptr<const std::vector<bool>> saw;
};

struct Stored {
  Counts cells{};
  std::vector<Progress> progress;
  std::vector<std::shared_ptr<const Fence>> fences;  // ascending ids
  std::int64_t newest_fence = 0;
  std::uint64_t version = 0;
  CellFlags suspects{};
  std::array<std::optional<RangeMark>, kCounters> ranges;
  std::array<std::optional<LedgerRow>, kCells> ledger;
  std::vector<Drift> drift;
  std::optional<Pass> pass;
  std::int64_t newest_pass = 0;
  // Rule F1: below the floor everything was seen. The next one is an LSN that was read before an
  // id was given out; it may follow once no older id is running.
  Lsn floor;
  Lsn next_floor;
  std::uint64_t next_floor_id = 0;

  // What only the simulator knows.
  std::array<Recounted, kCells> recounted;
  Counts by_hand{};  // since the cell's last recount, what its correction will be
  Counts by_hand_before{};
  CellFlags touched_by_hand{};
  CellFlags ever_suspect{};

  // A counter that waits for a pass names its cells already.
  bool waits_for_pass(std::size_t cell) const {
    const auto& range = ranges[cell_name(cell).of_all];
    return range && !range->pass;
  }
  bool is_suspect(std::size_t cell) const {
    return suspects[cell] || ranges[cell_name(cell).of_all].has_value();
  }
};

void make_suspect(Stored& stored, std::size_t cell);
void make_range_suspect(Stored& stored, std::size_t counter);

// `flagged`: what the statement's snapshot says of the cell.
void book(Stored& stored, std::size_t cell, std::int64_t remaining, bool flagged,
          std::int64_t fence);

// A recount of `keys` that counted `counts`: cells, suspects, ledger, and the fence.
struct Slice {
  AggregateIndex aggregate;
  KeySet keys;
  std::vector<std::string> locked;  // what another writer holds
  SourceSnapshot snapshot;
  Counts counts{};
  std::shared_ptr<const std::vector<bool>> saw;
};
void carry_out(Stored& stored, const Slice& slice, const Rules& rules);

// Rule F9 says that it may go: closes its rows of the ledger.
void drop_fence(Stored& stored, std::int64_t fence, const Rules& rules, const Trace& trace);

}  // namespace tidemark::sim
