// What a status page shows of the stored state: numbers and names, no key and no payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "consumer/store/admin.h"
#include "consumer/store/pg.h"

namespace tidemark {

// A walk over whole aggregates.
struct PassRow {
  std::int64_t id = 0;
  std::string cause;                          // schedule, suspect or command
  std::int64_t cells = 0;                     // rows compared so far
  std::int64_t corrected = 0;                 // cells written so far
  std::int64_t started_seconds = 0;           // ago
  std::optional<std::int64_t> ended_seconds;  // ago; none: it goes on
};

// A row of the drift table with its evidence, and without its key.
struct DriftEvidence {
  std::int64_t id = 0;
  std::string aggregate;
  std::string counter;
  std::optional<std::int64_t> expected;
  std::optional<std::int64_t> found;
  std::int64_t difference = 0;  // expected - found
  std::int64_t fence = 0;       // of the recount that corrected it
  std::string recounted_at;     // ISO, UTC; empty: not known
  std::string found_at;         // ISO, UTC
  std::string offsets;          // JSON: the stored offsets at the recount; empty: not known
};

// Users who wait for one rule.
struct WaitingRow {
  std::string rule;
  std::int64_t users = 0;
  std::int64_t failed = 0;  // of them, those for whom a rule failed
  std::int64_t oldest_seconds = 0;
};

struct Overview {
  std::vector<ProgressRow> partitions;                 // without marks
  StateCounts counts;                                  // each at most kCountMax
  std::optional<std::int64_t> suspect_oldest_seconds;  // since when the first cell is suspect
  std::optional<PassRow> last;                         // the last pass over everything that ended
  std::optional<PassRow> going;                        // whatever pass goes on now
  std::vector<DriftEvidence> drift;
  std::vector<WaitingRow> waiting;  // of the first kCountMax users
};

// These options for who only looks: statements end within a second, and nobody is waited for long.
PgOptions for_looking(PgOptions options);

// One connection, one thread. Looking must cost nothing: statements end within a second, and what
// may be long is counted up to a bound.
class OverviewReader {
 public:
  // From here on it is "so many, or more".
  static constexpr std::uint64_t kCountMax = 100'000;
  static constexpr std::size_t kDriftMax = 20;

  // Of the options it takes the connection.
  explicit OverviewReader(PgOptions options);

  // As one snapshot sees it. Throws WorldError.
  Overview read();

 private:
  PgSession session_;
};

}  // namespace tidemark
