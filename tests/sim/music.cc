#include "tests/sim/music.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "consumer/core/check.h"
#include "tests/support/declarations.h"

namespace tidemark::sim {
namespace {

// As text, 10 sorts before 9; as numbers behind it.
const std::vector<std::string> kUserKeys = {"9", "10", "11"};
const std::vector<std::string> kItemKeys = {"B", "a", "b"};
const AggregateIndex kItemsIndex{0};  // ordered by name
const AggregateIndex kUsersIndex{1};

std::size_t place_of(const std::vector<std::string>& keys, const std::string& key) {
  const auto it = std::ranges::find(keys, key);
  TIDEMARK_CHECK(it != keys.end());
  return static_cast<std::size_t>(it - keys.begin());
}

std::vector<CellName> all_names() {
  std::vector<CellName> names;
  for (const std::string& key : kUserKeys) names.push_back({kUsersIndex, CounterIndex(0), key, 0});
  for (const std::string& key : kUserKeys) names.push_back({kUsersIndex, CounterIndex(1), key, 1});
  for (const std::string& key : kItemKeys) names.push_back({kItemsIndex, CounterIndex(0), key, 2});
  return names;
}

}  // namespace

std::string CellName::text() const {
  const Aggregate& declared = things_declaration().aggregate(aggregate);
  return declared.name.name + "." + declared.counters[counter.value].name + "[" + key + "]";
}

const Declaration& things_declaration() {
  static const Declaration declaration =
      testing::DeclarationBuilder()
          .aggregate("users", "user_id", {"n", "loud"})
          .aggregate("items", "item_id", {"n"}, ColumnType::kText)
          .table("things")
          .key_column("id", ColumnType::kInteger)
          .column("user_id", ColumnType::kInteger)
          .column("item_id", ColumnType::kText)
          .column("active", ColumnType::kBoolean)
          .enum_column("kind", {"quiet", "loud"})
          .active_when("active", true)
          .adds("users", "n", "user_id")
          .adds_when("users", "loud", "user_id", "kind", {"loud"})
          .adds("items", "n", "item_id")
          .build();
  return declaration;
}

const CellName& cell_name(std::size_t cell) {
  static const std::vector<CellName> names = all_names();
  return names[cell];
}

std::size_t cell_at(AggregateIndex aggregate, CounterIndex counter, const std::string& key) {
  if (aggregate == kItemsIndex) return 2 * kUsers + place_of(kItemKeys, key);
  return counter.value * kUsers + place_of(kUserKeys, key);
}

const std::vector<std::string>& keys_of(AggregateIndex aggregate) {
  return aggregate == kItemsIndex ? kItemKeys : kUserKeys;
}

void add_contributions(Counts& counts, const std::optional<Row>& row, std::int64_t times) {
  if (!row || !row->active) return;
  counts[row->user] += times;
  if (row->loud) counts[kUsers + row->user] += times;
  counts[2 * kUsers + row->item] += times;
}

RowImage image_of(RowId id, const std::optional<Row>& row) {
  if (!row) return {};
  return {static_cast<std::int64_t>(id), static_cast<std::int64_t>(9 + row->user),
          std::string_view(kItemKeys[row->item]), row->active,
          std::string_view(row->loud ? "loud" : "quiet")};
}

bool contains(const KeySet& keys, AggregateIndex aggregate, const std::string& key) {
  if (keys.listed) return std::ranges::find(*keys.listed, key) != keys.listed->end();
  const std::vector<std::string>& all = keys_of(aggregate);
  const std::size_t place = place_of(all, key);
  if (keys.from && place < place_of(all, *keys.from)) return false;
  if (keys.to && place >= place_of(all, *keys.to)) return false;
  return std::ranges::find(keys.except, key) == keys.except.end();
}

}  // namespace tidemark::sim
