// The declaration of an aggregate, and what refers to one.
#include <fmt/format.h>

#include <algorithm>

#include "consumer/core/declaration_toml_draft.h"

namespace tidemark {
namespace {

bool can_be_key(ColumnType type) {
  return is_integer(type) || type == ColumnType::kText || type == ColumnType::kUuid;
}

// Bytes of an integer type.
int width(ColumnType type) {
  if (type == ColumnType::kSmallint) return 2;
  return type == ColumnType::kInteger ? 4 : 8;
}

// True when each value of the column's type is a value of the key's type, written alike.
bool key_fits(ColumnType column, ColumnType key) {
  if (is_integer(column) && is_integer(key)) return width(column) <= width(key);
  return column == key;
}

void read_key_column(const Section& root, AggregateDraft& draft) {
  draft.broken_key = true;
  if (!root.has("key")) {
    root.error(root.place(), "missing table [key]; expected column and type");
  }
  const std::optional<Section> key = root.section("key");
  if (!key) return;
  key->allow_keys({"column", "type"});
  const std::optional<PlacedText> column = key->text("column");
  if (column && check_identifier(*column, root.errors())) draft.aggregate.key = column->text;
  const std::optional<PlacedText> type = key->text("type");
  if (!type) return;
  const auto found = read_type(*type, "the key", root.errors());
  if (!found) return;
  if (!can_be_key(*found)) {
    key->error(type->place, fmt::format("the key is declared {}; expected smallint, integer, "
                                        "bigint, text or uuid",
                                        type->text));
    return;
  }
  draft.aggregate.key_type = *found;
  draft.broken_key = false;
}

void read_counters(const Section& root, AggregateDraft& draft) {
  const std::vector<PlacedText> counters = root.texts("counters");
  draft.broken_counters = counters.empty();
  for (const PlacedText& counter : counters) {
    if (!check_identifier(counter, root.errors())) draft.broken_counters = true;
    if (counter.text == draft.aggregate.key) {
      root.error(counter.place,
                 fmt::format("'{}' is the key's column; it can't be a counter too", counter.text));
    }
    draft.aggregate.counters.push_back({counter.text});
  }
}

void read_lookup(const Drafts& drafts, const Section& section, const PlacedText& column,
                 AggregateDraft& draft) {
  section.allow_keys({"table", "value", "key", "when"});
  if (!check_identifier(column, section.errors())) return;
  if (column_is_taken(draft.aggregate, column.text)) {
    section.error(column.place,
                  fmt::format("'{}' is the key or a counter; it can't be looked up", column.text));
  }
  const std::optional<TableIndex> index = read_table(drafts, section);
  if (!index) return;
  const TableDraft& table = drafts.tables[index->value];
  Lookup lookup{column.text, *index, {}, {}, read_optional_predicate(section, "when", table)};
  const std::optional<ColumnIndex> key = read_key(section, table, draft);
  const std::optional<PlacedText> value_name = section.text("value");
  if (!key || !value_name) return;
  const auto value = find_column(table, *value_name, section.errors());
  if (!value) return;
  lookup.key = *key;
  lookup.value = *value;
  draft.aggregate.lookups.push_back(std::move(lookup));
}

}  // namespace

bool column_is_taken(const Aggregate& aggregate, const std::string& column) {
  return column == aggregate.key ||
         std::any_of(aggregate.counters.begin(), aggregate.counters.end(),
                     [&](const Counter& counter) { return counter.name == column; }) ||
         std::any_of(aggregate.lookups.begin(), aggregate.lookups.end(),
                     [&](const Lookup& lookup) { return lookup.column == column; }) ||
         std::any_of(aggregate.recounted.begin(), aggregate.recounted.end(),
                     [&](const RecountedColumns& group) {
                       return std::find(group.columns.begin(), group.columns.end(), column) !=
                              group.columns.end();
                     });
}

std::optional<TableIndex> read_table(const Drafts& drafts, const Section& section) {
  const std::optional<PlacedText> name = section.text("table");
  if (!name) return std::nullopt;
  return find_draft<TableIndex>(
      drafts.tables, *name, "table", drafts.complete,
      [](const TableDraft& t) { return t.table.name; }, section.errors());
}

std::optional<AggregateIndex> read_aggregate(const Drafts& drafts, const Section& section) {
  const std::optional<PlacedText> name = section.text("aggregate");
  if (!name) return std::nullopt;
  return find_draft<AggregateIndex>(
      drafts.aggregates, *name, "aggregate", drafts.complete,
      [](const AggregateDraft& a) { return a.aggregate.name; }, section.errors());
}

std::optional<ColumnIndex> read_key(const Section& section, const TableDraft& table,
                                    const AggregateDraft& aggregate) {
  const std::optional<PlacedText> name = section.text("key");
  if (!name) return std::nullopt;
  const auto index = find_column(table, *name, section.errors());
  if (!index || table.broken(*index) || aggregate.broken_key) return index;
  const ColumnType type = table.table.columns[index->value].type;
  const ColumnType wanted = aggregate.aggregate.key_type;
  if (!key_fits(type, wanted)) {
    section.error(
        name->place,
        fmt::format("column '{}' is declared {} and holds keys of {}, which are {}; "
                    "expected {}",
                    name->text, type_name(type), aggregate.aggregate.name.text(), type_name(wanted),
                    is_integer(wanted) ? "an integer type that fits" : "the same type"));
  }
  return index;
}

std::optional<CounterIndex> find_counter(const AggregateDraft& draft, const PlacedText& name,
                                         ErrorList& errors) {
  std::vector<std::string> known;
  for (std::size_t i = 0; i < draft.aggregate.counters.size(); ++i) {
    known.push_back(draft.aggregate.counters[i].name);
    if (known.back() == name.text) return CounterIndex(static_cast<std::uint32_t>(i));
  }
  if (!draft.broken_counters) {
    errors.add(name.place, fmt::format("unknown counter '{}' of {}; expected {}{}", name.text,
                                       draft.aggregate.name.text(), alternatives(known),
                                       did_you_mean(name.text, known)));
  }
  return std::nullopt;
}

AggregateDraft read_aggregate_head(const Section& root) {
  AggregateDraft draft{{}, root};
  draft.aggregate.file = root.place().file;
  root.allow_keys({"aggregate", "key", "counters", "lookups", "recounted", "milestones"});
  if (const auto name = root.text("aggregate")) {
    draft.aggregate.name = read_qualified_name(*name, root.errors()).value_or(QualifiedName{});
  }
  read_key_column(root, draft);
  read_counters(root, draft);
  return draft;
}

void read_aggregate_uses(const Drafts& drafts, AggregateDraft& draft) {
  const std::optional<Section> lookups = draft.root.section("lookups");
  if (!lookups) return;
  const std::vector<SectionEntry> entries = lookups->entries();
  if (entries.empty())
    lookups->error(lookups->place(), "[lookups] is empty; expected [lookups.column]");
  for (const SectionEntry& entry : entries) {
    if (const toml::table* table = entry.value->as_table()) {
      read_lookup(drafts, lookups->of(*table), entry.key, draft);
    } else {
      lookups->error(lookups->place_of(*entry.value),
                     fmt::format("lookup '{}' is {}; expected a table, as [lookups.{}]",
                                 entry.key.text, kind_of(*entry.value), entry.key.text));
    }
  }
}

}  // namespace tidemark
