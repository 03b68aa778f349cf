// What a status page shows of the source where it is a second database (DESIGN F10): Debezium's
// slot, without which fences stay and nothing arrives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "consumer/store/pg.h"

namespace tidemark {

struct SlotState {
  bool there = false;
  bool active = false;                       // somebody streams from it
  std::string confirmed;                     // LSN, as Postgres writes it; empty: none yet
  std::optional<std::int64_t> behind_bytes;  // from there to the end of the log
};

struct SourceView {
  std::string slot_name;
  std::optional<SlotState> slot;  // none: it could not be looked at
  std::string trouble;            // why not
};

// One connection, one thread; it costs and gives up as OverviewReader.
class SlotLook {
 public:
  // Of the options it takes the connection.
  SlotLook(PgOptions source, std::string slot);

  // What fails is told in place of being thrown: other figures stand beside it.
  SourceView look();

 private:
  std::string slot_;
  PgSession session_;
};

}  // namespace tidemark
