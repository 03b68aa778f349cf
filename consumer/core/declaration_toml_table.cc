// The declaration of a watched table.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "consumer/core/declaration_toml_draft.h"

namespace tidemark {
namespace {

// timestamp(0..3) comes from Debezium in milliseconds, timestamp(4..6) in microseconds.
constexpr std::int64_t kPrecisionMax = 6;
constexpr std::int64_t kMillisPrecisionMax = 3;

bool read_enum_values(const Section& section, Column& column) {
  if (column.type != ColumnType::kEnum) {
    if (!section.has("values")) return true;
    section.error(section.place_of("values"),
                  fmt::format("column '{}' has values but is declared {}; only an enum has them",
                              column.name, type_name(column.type)));
    return false;
  }
  const std::vector<PlacedText> values = section.texts("values");
  bool good = !values.empty();
  for (const PlacedText& value : values) {
    good = check_identifier(value, section.errors()) && good;
    column.values.push_back(value.text);
  }
  std::sort(column.values.begin(), column.values.end());
  return good;
}

bool read_precision(const Section& section, Column& column) {
  if (!section.has("precision")) return true;
  if (column.type != ColumnType::kTimestamp) {
    section.error(section.place_of("precision"),
                  fmt::format("column '{}' has a precision but is declared {}; only a timestamp "
                              "has one",
                              column.name, type_name(column.type)));
    return false;
  }
  const std::optional<std::int64_t> digits = section.number("precision", 0, kPrecisionMax);
  column.timestamp_in_millis = digits && *digits <= kMillisPrecisionMax;
  return digits.has_value();
}

// column = "type". False: noted as wrong.
bool read_plain_column(const PlacedText& type, Column& column, ErrorList& errors) {
  const auto found = read_type(type, fmt::format("column '{}'", column.name), errors);
  if (!found) return false;
  column.type = *found;
  if (column.type != ColumnType::kEnum) return true;
  errors.add(type.place, fmt::format("column '{0}' is an enum without values; expected "
                                     "{0} = {{ type = \"enum\", values = [...] }}",
                                     column.name));
  return false;
}

// column = { type, nullable, values, precision }. False: noted as wrong.
bool read_full_column(const Section& section, Column& column) {
  section.allow_keys({"type", "nullable", "values", "precision"});
  const std::optional<bool> nullable = section.flag("nullable");
  column.nullable = nullable.value_or(false);
  const std::optional<PlacedText> type = section.text("type");
  if (!type) return false;
  const auto found = read_type(*type, fmt::format("column '{}'", column.name), section.errors());
  if (!found) return false;
  column.type = *found;
  const bool values_good = read_enum_values(section, column);
  const bool precision_good = read_precision(section, column);
  return values_good && precision_good && (nullable || !section.has("nullable"));
}

bool read_column(const Section& columns, const SectionEntry& entry, Column& column) {
  column.name = entry.key.text;
  if (!check_identifier(entry.key, columns.errors())) return false;
  const Place place = columns.place_of(*entry.value);
  if (const auto* type = entry.value->as_string()) {
    return read_plain_column({type->get(), place}, column, columns.errors());
  }
  if (const toml::table* table = entry.value->as_table()) {
    return read_full_column(columns.of(*table), column);
  }
  columns.error(place, fmt::format("column '{}' is {}; expected a type as a string, or "
                                   "{{ type = ..., nullable = ... }}",
                                   column.name, kind_of(*entry.value)));
  return false;
}

void read_columns(const Section& root, TableDraft& draft) {
  if (!root.has("columns")) {
    root.error(root.place(), "missing table [columns]; expected the columns that are read");
  }
  const std::optional<Section> columns = root.section("columns");
  if (!columns) return;
  const std::vector<SectionEntry> entries = columns->entries();
  if (entries.empty()) {
    root.error(columns->place(), "[columns] is empty; expected the columns that are read");
  }
  for (const SectionEntry& entry : entries) {
    Column column;
    const bool good = read_column(*columns, entry, column);
    draft.table.columns.push_back(std::move(column));
    draft.broken_columns.push_back(!good);
  }
}

void read_primary_key(const Section& root, TableDraft& draft) {
  if (!root.has("primary_key")) return;  // the table has none
  for (const PlacedText& name : root.texts("primary_key")) {
    const auto index = find_column(draft, name, root.errors());
    if (!index) continue;
    draft.table.primary_key.push_back(*index);
    if (draft.table.columns[index->value].nullable) {
      root.error(name.place, fmt::format("column '{}' of the primary key is declared nullable; "
                                         "expected one that is not",
                                         name.text));
    }
  }
}

std::optional<CounterIndex> read_counter(const Section& section, const AggregateDraft& draft) {
  const std::optional<PlacedText> name = section.text("counter");
  return name ? find_counter(draft, *name, section.errors()) : std::nullopt;
}

bool can_be_detail(ColumnType type) { return is_integer(type) || type == ColumnType::kTimestamp; }

std::vector<ColumnIndex> read_details(const Section& section, const TableDraft& draft) {
  std::vector<ColumnIndex> details;
  if (!section.has("details")) return details;
  for (const PlacedText& name : section.texts("details")) {
    const auto index = find_column(draft, name, section.errors());
    if (!index || draft.broken(*index)) continue;
    const ColumnType type = draft.table.columns[index->value].type;
    if (!can_be_detail(type)) {
      section.error(name.place, fmt::format("column '{}' is declared {}; expected details of "
                                            "smallint, integer, bigint or timestamp",
                                            name.text, type_name(type)));
    }
    details.push_back(*index);
  }
  return details;
}

bool same_test(const Condition& a, const Condition& b) {
  if (a.column != b.column || a.test.index() != b.test.index()) return false;
  if (const auto* null = std::get_if<Condition::IsNull>(&a.test)) {
    return null->null == std::get<Condition::IsNull>(b.test).null;
  }
  return std::get<Condition::OneOf>(a.test).constants ==
         std::get<Condition::OneOf>(b.test).constants;
}

bool same(const Contribution& a, const Contribution& b) {
  return std::tie(a.aggregate, a.counter, a.key) == std::tie(b.aggregate, b.counter, b.key) &&
         std::equal(a.when.all.begin(), a.when.all.end(), b.when.all.begin(), b.when.all.end(),
                    same_test);
}

void read_contribution(const Drafts& drafts, const Section& section, TableDraft& draft) {
  section.allow_keys({"aggregate", "key", "counter", "when", "details"});
  const std::optional<AggregateIndex> index = read_aggregate(drafts, section);
  Contribution out{};
  out.when = read_optional_predicate(section, "when", draft);
  out.details = read_details(section, draft);
  if (!index) return;
  const AggregateDraft& aggregate = drafts.aggregates[index->value];
  const std::optional<ColumnIndex> key = read_key(section, draft, aggregate);
  const std::optional<CounterIndex> counter = read_counter(section, aggregate);
  if (!key || !counter) return;
  out.aggregate = *index;
  out.counter = *counter;
  out.key = *key;
  auto& all = draft.table.contributions;
  if (std::any_of(all.begin(), all.end(), [&](const Contribution& c) { return same(c, out); })) {
    section.error(section.place(),
                  "the same contribution stands twice; a row would be counted doubly");
  }
  all.push_back(std::move(out));
}

void read_maker(const Drafts& drafts, const Section& section, TableDraft& draft) {
  section.allow_keys({"aggregate", "key"});
  const std::optional<AggregateIndex> index = read_aggregate(drafts, section);
  if (!index) return;
  const auto key = read_key(section, draft, drafts.aggregates[index->value]);
  if (!key) return;
  for (const RowMaker& maker : draft.table.makes) {
    if (maker.aggregate != *index || maker.key != *key) continue;
    section.error(section.place(), "the same [[makes]] stands twice");
    return;
  }
  draft.table.makes.push_back({*index, *key});
}

}  // namespace

TableDraft read_table_head(const Section& root) {
  TableDraft draft{{}, root, {}};
  draft.table.file = root.place().file;
  root.allow_keys({"table", "topic", "primary_key", "columns", "active", "contributes", "makes"});
  if (const auto name = root.text("table")) {
    draft.table.name = read_qualified_name(*name, root.errors()).value_or(QualifiedName{});
  }
  if (const auto topic = root.optional_text("topic")) draft.table.topic = topic->text;
  read_columns(root, draft);
  read_primary_key(root, draft);
  draft.table.active = read_optional_predicate(root, "active", draft);
  return draft;
}

void read_table_uses(const Drafts& drafts, TableDraft& draft) {
  for (const Section& section : draft.root.sections("contributes")) {
    read_contribution(drafts, section, draft);
  }
  for (const Section& section : draft.root.sections("makes")) read_maker(drafts, section, draft);
}

}  // namespace tidemark
