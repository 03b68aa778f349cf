// Replays in Postgres (DESIGN 4.6): what is read again only makes cells suspect, and how far a
// replay is stands beside them. tidemark.progress and the counters are not touched.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/core/ports.h"
#include "consumer/store/pg.h"
#include "consumer/store/source_database.h"
#include "consumer/store/state.h"
#include "consumer/store/touch.h"

namespace tidemark {

struct PgReplayOptions {
  PgOptions pg;  // synchronous_commit is set off, but for the end: suspects and offsets go together
  std::string group_id;                  // another than the state's is refused
  std::optional<PgOptions> source = {};  // where the rows are, if elsewhere (F10)
};

// One partition of a replay.
struct ReplayPart {
  TopicPartition where;
  Offset first;  // where it began, for the estimate
  Offset next;   // where it goes on; kNotStarted: at the earliest retained record
  Offset end;    // the first offset that is not read

  friend bool operator==(const ReplayPart&, const ReplayPart&) = default;
};

// One connection and one thread. Throws WorldError; after one, begin() tells where it stands.
class PgReplay {
 public:
  // `declaration` must outlive it.
  PgReplay(const Declaration& declaration, PgReplayOptions options);

  // The parts as they are stored, in the order given: those of an unfinished replay where it
  // stopped, the others as given. Refuses (kConfig) when group or declaration are not the state's,
  // and when an unfinished one of these topics was started from something else.
  std::vector<ReplayPart> begin(const std::string& from, std::span<const ReplayPart> parts);
  // Forgets unfinished replays of these topics. What they made suspect stays so.
  void drop(std::span<const std::string> topics);
  // One transaction: the batch's cells and counters become suspect, its users dirty, and its
  // partitions go on; see touch(). Parks nothing. Refuses (kFatal) when another replay of a
  // partition has gone on meanwhile.
  Touched store(const Delta& delta);
  // All of it was read and stored: it is forgotten, durably.
  void finish(std::span<const ReplayPart> parts);

 private:
  void prepare(PgConnection& connection);

  const Declaration& declaration_;
  StateClaim claim_;
  PgSession session_;
  std::optional<SourceDatabase> source_;
};

}  // namespace tidemark
