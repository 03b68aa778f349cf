// The indexes that challenge rules and reward triggers need: sql/indexes, each named as its file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/store/pg.h"

namespace tidemark {

enum class IndexState : std::uint8_t {
  kAbsent,
  kInvalid,   // its building failed; it costs writes and serves nothing
  kBuilding,  // another session is at it
  kValid,
};

struct NeededIndex {
  std::string name;  // in schema public, as its table is
  std::string table;
  std::string sql;  // the statement that makes it, concurrently
  IndexState state = IndexState::kAbsent;
};

// Those whose tables are there; none when no rule is declared. By name. Throws WorldError.
std::vector<NeededIndex> needed_indexes(PgTransaction& transaction, const Declaration& declaration);

struct BuiltIndexes {
  std::vector<std::string> built;
  std::vector<std::string> building;  // by another session: left alone
};

// Makes what is missing, one at a time and concurrently, so that writers go on; one that an earlier
// try left invalid is dropped first. May be stopped and run again. The role must own the tables.
// Throws WorldError.
BuiltIndexes build_indexes(PgOptions options, const Declaration& declaration);

}  // namespace tidemark
