// Parked records that an operator deals with (DESIGN 4.3). Whatever is done with them, nothing is
// counted: what they name becomes suspect, and is recounted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/delta.h"
#include "consumer/store/admin.h"
#include "consumer/store/pg.h"
#include "consumer/store/state.h"
#include "consumer/store/touch.h"

namespace tidemark {

// Which parked records are meant; what is none bounds nothing.
struct ParkedBounds {
  std::optional<std::string> topic = {};
  std::optional<Partition> partition = {};
  std::optional<Offset> from = {};  // this one too
  std::optional<Offset> to = {};    // this one too
  std::optional<std::string> code = {};
};

struct ParkedPlace {
  TopicPartition where;
  Offset offset;
};

// One connection and one thread. Throws WorldError.
class PgParked {
 public:
  // `declaration` must outlive it. Refuses (kConfig) another group or declaration than the state's.
  // `source`: where the watched tables are, if in another database (F10).
  PgParked(const Declaration& declaration, PgOptions options, std::string group_id,
           std::optional<PgOptions> source = std::nullopt);

  std::uint64_t count(const ParkedBounds& bounds);
  // The first `limit` behind `after`, by topic, partition and offset.
  std::vector<ParkedDetail> read(const ParkedBounds& bounds,
                                 const std::optional<ParkedPlace>& after, std::size_t limit);
  // One durable transaction: what the delta names is touched, and these rows go. One that is gone
  // already is no error: to touch twice is to recount twice.
  Touched settle(const Delta& delta, std::span<const ParkedPlace> gone);

 private:
  const Declaration& declaration_;
  StateClaim claim_;
  PgSession session_;
  std::optional<SourceDatabase> source_;
};

}  // namespace tidemark
