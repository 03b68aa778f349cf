// Declarations for tests: a builder by names, and the music network's tables (DOMAIN.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration.h"

namespace tidemark::testing {

// Builds a Declaration by names, which are looked up at once: an unknown one is a bug in the test
// and ends it. Tables and aggregates come out ordered by name, whatever the order of the calls.
//
//   Declaration d = DeclarationBuilder()
//       .aggregate("aggregate_user", "user_id", {"repost_count"})
//       .table("reposts")
//       .key_column("user_id", ColumnType::kInteger)
//       .column("is_current", ColumnType::kBoolean)
//       .active_when("is_current", true)
//       .adds("aggregate_user", "repost_count", "user_id")
//       .build();
class DeclarationBuilder {
 public:
  // Everything is in the schema "public".
  DeclarationBuilder& aggregate(std::string name, std::string key,
                                const std::vector<std::string>& counters,
                                ColumnType key_type = ColumnType::kInteger);

  // Starts a table; what follows up to the next `table` is its own.
  DeclarationBuilder& table(std::string name);
  DeclarationBuilder& column(std::string name, ColumnType type);
  DeclarationBuilder& nullable_column(std::string name, ColumnType type);
  // A column of the primary key.
  DeclarationBuilder& key_column(std::string name, ColumnType type);
  DeclarationBuilder& enum_column(std::string name, std::vector<std::string> values,
                                  bool in_key = false);
  // The column that was added last, a timestamp, comes in milliseconds.
  DeclarationBuilder& in_millis();
  DeclarationBuilder& active_when(std::string_view column, bool value);
  DeclarationBuilder& active_when_null(std::string_view column);
  // One to `aggregate`[row.`key`].`counter` while the row is active.
  DeclarationBuilder& adds(std::string_view aggregate, std::string_view counter,
                           std::string_view key);
  // As `adds`, when `column` is also one of `values`.
  DeclarationBuilder& adds_when(std::string_view aggregate, std::string_view counter,
                                std::string_view key, std::string_view column,
                                const std::vector<std::string>& values);
  // The row makes the aggregate's row exist.
  DeclarationBuilder& makes(std::string_view aggregate, std::string_view key);
  // REPLICA IDENTITY is not FULL.
  DeclarationBuilder& without_full_identity();

  Declaration build();

 private:
  ColumnIndex find_column(std::string_view name) const;
  AggregateIndex find_aggregate(std::string_view name) const;
  CounterIndex find_counter(AggregateIndex aggregate, std::string_view name) const;

  Declaration declaration_;
};

// `reposts`, `saves`, `follows` and `user_events` with what they count in `aggregate_user`,
// `aggregate_track` and `aggregate_playlist`, as in DOMAIN.md 2; of each table the columns that
// the captures have. Table order: follows, reposts, saves, user_events.
Declaration music_declaration();

// A table of the declaration by its name in the schema "public"; ends the test when there is none.
TableIndex table_named(const Declaration& declaration, std::string_view name);
// A column of a table by its name; ends the test when there is none.
ColumnIndex column_named(const Declaration& declaration, TableIndex table, std::string_view name);

}  // namespace tidemark::testing
