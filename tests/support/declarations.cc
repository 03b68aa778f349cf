#include "tests/support/declarations.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark::testing {
namespace {

// The place of the element whose `text` is `wanted`; ends the process when there is none.
template <class Items, class Text>
std::uint32_t place_of(const Items& items, std::string_view wanted, Text text) {
  const auto found = std::find_if(items.begin(), items.end(),
                                  [&](const auto& item) { return text(item) == wanted; });
  TIDEMARK_CHECK(found != items.end());
  return static_cast<std::uint32_t>(found - items.begin());
}

// reposts and saves have the same form but for their names.
void add_item_table(DeclarationBuilder& builder, std::string name, const std::string& item,
                    const std::string& type) {
  builder.table(std::move(name))
      .key_column("user_id", ColumnType::kInteger)
      .key_column(item, ColumnType::kInteger)
      .enum_column(type, {"track", "playlist", "album"}, true)
      .column("is_current", ColumnType::kBoolean)
      .column("is_delete", ColumnType::kBoolean)
      .nullable_column("blocknumber", ColumnType::kInteger)
      .column("created_at", ColumnType::kTimestamp)
      .key_column("txhash", ColumnType::kText)
      .active_when("is_current", true)
      .active_when("is_delete", false);
}

}  // namespace

DeclarationBuilder& DeclarationBuilder::aggregate(std::string name, std::string key,
                                                  const std::vector<std::string>& counters,
                                                  ColumnType key_type) {
  TIDEMARK_CHECK(declaration_.tables.empty());  // aggregates first: they are sorted in place
  Aggregate aggregate;
  aggregate.name = {"public", std::move(name)};
  aggregate.key = std::move(key);
  aggregate.key_type = key_type;
  for (const std::string& counter : counters) aggregate.counters.push_back({counter});
  auto& all = declaration_.aggregates;
  const auto place = std::find_if(all.begin(), all.end(),
                                  [&](const Aggregate& a) { return aggregate.name < a.name; });
  all.insert(place, std::move(aggregate));
  return *this;
}

DeclarationBuilder& DeclarationBuilder::table(std::string name) {
  Table table;
  table.name = {"public", std::move(name)};
  declaration_.tables.push_back(std::move(table));
  return *this;
}

DeclarationBuilder& DeclarationBuilder::column(std::string name, ColumnType type) {
  Column column;
  column.name = std::move(name);
  column.type = type;
  declaration_.tables.back().columns.push_back(std::move(column));
  return *this;
}

DeclarationBuilder& DeclarationBuilder::nullable_column(std::string name, ColumnType type) {
  column(std::move(name), type);
  declaration_.tables.back().columns.back().nullable = true;
  return *this;
}

DeclarationBuilder& DeclarationBuilder::key_column(std::string name, ColumnType type) {
  column(std::move(name), type);
  Table& table = declaration_.tables.back();
  table.primary_key.push_back(ColumnIndex{static_cast<std::uint32_t>(table.columns.size() - 1)});
  return *this;
}

DeclarationBuilder& DeclarationBuilder::enum_column(std::string name,
                                                    std::vector<std::string> values, bool in_key) {
  if (in_key) {
    key_column(std::move(name), ColumnType::kEnum);
  } else {
    column(std::move(name), ColumnType::kEnum);
  }
  declaration_.tables.back().columns.back().values = std::move(values);
  return *this;
}

DeclarationBuilder& DeclarationBuilder::in_millis() {
  declaration_.tables.back().columns.back().timestamp_in_millis = true;
  return *this;
}

DeclarationBuilder& DeclarationBuilder::active_when(std::string_view column, bool value) {
  declaration_.tables.back().active.all.push_back(
      {find_column(column), Condition::OneOf{{Constant{value}}}});
  return *this;
}

DeclarationBuilder& DeclarationBuilder::active_when_null(std::string_view column) {
  declaration_.tables.back().active.all.push_back({find_column(column), Condition::IsNull{true}});
  return *this;
}

DeclarationBuilder& DeclarationBuilder::adds(std::string_view aggregate, std::string_view counter,
                                             std::string_view key) {
  const AggregateIndex index = find_aggregate(aggregate);
  declaration_.tables.back().contributions.push_back(
      {index, find_counter(index, counter), find_column(key), Predicate{}});
  return *this;
}

DeclarationBuilder& DeclarationBuilder::adds_when(std::string_view aggregate,
                                                  std::string_view counter, std::string_view key,
                                                  std::string_view column,
                                                  const std::vector<std::string>& values) {
  adds(aggregate, counter, key);
  Condition::OneOf one_of;
  for (const std::string& value : values) one_of.constants.emplace_back(value);
  declaration_.tables.back().contributions.back().when.all.push_back(
      {find_column(column), std::move(one_of)});
  return *this;
}

DeclarationBuilder& DeclarationBuilder::makes(std::string_view aggregate, std::string_view key) {
  declaration_.tables.back().makes.push_back({find_aggregate(aggregate), find_column(key)});
  return *this;
}

DeclarationBuilder& DeclarationBuilder::without_full_identity() {
  declaration_.tables.back().replica_full = false;
  return *this;
}

Declaration DeclarationBuilder::build() {
  std::sort(declaration_.tables.begin(), declaration_.tables.end(),
            [](const Table& a, const Table& b) { return a.name < b.name; });
  return std::move(declaration_);
}

ColumnIndex DeclarationBuilder::find_column(std::string_view name) const {
  return ColumnIndex{
      place_of(declaration_.tables.back().columns, name, [](const Column& c) { return c.name; })};
}

AggregateIndex DeclarationBuilder::find_aggregate(std::string_view name) const {
  return AggregateIndex{
      place_of(declaration_.aggregates, name, [](const Aggregate& a) { return a.name.name; })};
}

CounterIndex DeclarationBuilder::find_counter(AggregateIndex aggregate,
                                              std::string_view name) const {
  return CounterIndex{place_of(declaration_.aggregate(aggregate).counters, name,
                               [](const Counter& c) { return c.name; })};
}

Declaration music_declaration() {
  DeclarationBuilder builder;
  builder
      .aggregate("aggregate_user", "user_id",
                 {"follower_count", "following_count", "repost_count", "track_save_count"})
      .aggregate("aggregate_track", "track_id", {"repost_count", "save_count"})
      .aggregate("aggregate_playlist", "playlist_id", {"repost_count", "save_count"});
  builder.table("follows")
      .key_column("follower_user_id", ColumnType::kInteger)
      .key_column("followee_user_id", ColumnType::kInteger)
      .column("is_current", ColumnType::kBoolean)
      .column("is_delete", ColumnType::kBoolean)
      .nullable_column("blocknumber", ColumnType::kInteger)
      .column("created_at", ColumnType::kTimestamp)
      .key_column("txhash", ColumnType::kText)
      .active_when("is_current", true)
      .active_when("is_delete", false)
      .adds("aggregate_user", "following_count", "follower_user_id")
      .adds("aggregate_user", "follower_count", "followee_user_id");
  add_item_table(builder, "reposts", "repost_item_id", "repost_type");
  builder.adds("aggregate_user", "repost_count", "user_id")
      .adds_when("aggregate_track", "repost_count", "repost_item_id", "repost_type", {"track"})
      .adds_when("aggregate_playlist", "repost_count", "repost_item_id", "repost_type",
                 {"playlist", "album"});
  add_item_table(builder, "saves", "save_item_id", "save_type");
  builder.adds_when("aggregate_user", "track_save_count", "user_id", "save_type", {"track"})
      .adds_when("aggregate_track", "save_count", "save_item_id", "save_type", {"track"})
      .adds_when("aggregate_playlist", "save_count", "save_item_id", "save_type",
                 {"playlist", "album"});
  builder.table("user_events")
      .key_column("id", ColumnType::kInteger)
      .nullable_column("blocknumber", ColumnType::kInteger)
      .column("is_current", ColumnType::kBoolean)
      .column("user_id", ColumnType::kInteger)
      .nullable_column("referrer", ColumnType::kInteger)
      .column("is_mobile_user", ColumnType::kBoolean)
      .active_when("is_current", true);
  return builder.build();
}

TableIndex table_named(const Declaration& declaration, std::string_view name) {
  return TableIndex{place_of(declaration.tables, name, [](const Table& t) { return t.name.name; })};
}

ColumnIndex column_named(const Declaration& declaration, TableIndex table, std::string_view name) {
  return ColumnIndex{
      place_of(declaration.table(table).columns, name, [](const Column& c) { return c.name; })};
}

}  // namespace tidemark::testing
