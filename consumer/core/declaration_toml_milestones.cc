// The declaration of an aggregate's milestones, and of the details that contributions tell of them.
#include <fmt/format.h>

#include <algorithm>

#include "consumer/core/declaration_toml_draft.h"

namespace tidemark {
namespace {

void read_milestone(const Section& section, const PlacedText& counter, AggregateDraft& draft) {
  section.allow_keys({"name", "thresholds"});
  const std::optional<CounterIndex> index = find_counter(draft, counter, section.errors());
  const std::optional<PlacedText> name = section.text("name");
  std::vector<std::int64_t> thresholds = section.ascending("thresholds");
  if (!index || !name) return;
  draft.aggregate.milestones.counters.push_back({*index, name->text, std::move(thresholds)});
}

void read_counters(const Section& section, AggregateDraft& draft) {
  const std::optional<Section> counters = section.section("counters");
  const std::vector<SectionEntry> entries =
      counters ? counters->entries() : std::vector<SectionEntry>{};
  if (entries.empty() && (counters || !section.has("counters"))) {
    section.error(section.place(),
                  "[milestones] names no counter; expected "
                  "[milestones.counters.name] with name and thresholds");
  }
  for (const SectionEntry& entry : entries) {
    if (const toml::table* table = entry.value->as_table()) {
      read_milestone(counters->of(*table), entry.key, draft);
    } else {
      section.error(section.place_of(*entry.value),
                    fmt::format("milestone '{}' is {}; expected a table, as "
                                "[milestones.counters.{}]",
                                entry.key.text, kind_of(*entry.value), entry.key.text));
    }
  }
  std::ranges::sort(draft.aggregate.milestones.counters, {}, &Milestone::counter);
}

// "schema.table.column".
std::optional<TableColumn> read_table_column(const PlacedText& text, ErrorList& errors) {
  const std::size_t dot = text.text.rfind('.');
  if (std::ranges::count(text.text, '.') != 2) {
    errors.add(text.place, fmt::format("found '{}'; expected schema.table.column", text.text));
    return std::nullopt;
  }
  const auto table = read_qualified_name({text.text.substr(0, dot), text.place}, errors);
  const PlacedText column{text.text.substr(dot + 1), text.place};
  if (!table || !check_identifier(column, errors)) return std::nullopt;
  return TableColumn{*table, column.text};
}

void read_names(const Section& section, std::string_view key, std::vector<QualifiedName>& out) {
  if (!section.has(key)) return;
  for (const PlacedText& text : section.texts(key)) {
    if (auto name = read_qualified_name(text, section.errors())) out.push_back(std::move(*name));
  }
}

std::vector<ColumnType> types_of(const Table& table, const std::vector<ColumnIndex>& details) {
  std::vector<ColumnType> types;
  for (const ColumnIndex column : details) types.push_back(table.columns[column.value].type);
  return types;
}

bool has_milestone(const Aggregate& aggregate, CounterIndex counter) {
  return std::ranges::find(aggregate.milestones.counters, counter, &Milestone::counter) !=
         aggregate.milestones.counters.end();
}

}  // namespace

void read_milestones(const Drafts& drafts, AggregateDraft& draft) {
  const std::optional<Section> section = draft.root.section("milestones");
  if (!section) return;
  section->allow_keys({"sql", "counters", "reads", "inserts", "sequences"});
  Milestones& out = draft.aggregate.milestones;
  out.sql = read_statement(drafts, *section).value_or("");
  read_counters(*section, draft);
  if (section->has("reads")) {
    for (const PlacedText& text : section->texts("reads")) {
      if (auto column = read_table_column(text, section->errors())) {
        out.reads.push_back(std::move(*column));
      }
    }
  }
  read_names(*section, "inserts", out.inserts);
  read_names(*section, "sequences", out.sequences);
}

// One statement takes the details of all crossings of an aggregate: they must be of one form.
void check_details(const Drafts& drafts) {
  std::vector<std::optional<std::vector<ColumnType>>> forms(drafts.aggregates.size());
  for (const TableDraft& draft : drafts.tables) {
    const std::vector<Section> sections = draft.root.sections("contributes");
    for (std::size_t i = 0; i < draft.table.contributions.size(); ++i) {
      const Contribution& contribution = draft.table.contributions[i];
      const Aggregate& aggregate = drafts.aggregates[contribution.aggregate.value].aggregate;
      const std::string& counter = aggregate.counters[contribution.counter.value].name;
      if (!has_milestone(aggregate, contribution.counter)) {
        if (contribution.details.empty()) continue;
        sections[i].error(sections[i].place_of("details"),
                          fmt::format("counter '{}' of {} has no milestones; expected no details",
                                      counter, aggregate.name.text()));
        continue;
      }
      const auto types = types_of(draft.table, contribution.details);
      auto& form = forms[contribution.aggregate.value];
      if (types.empty()) {
        sections[i].error(sections[i].place(),
                          fmt::format("counter '{}' of {} has milestones; expected 'details', the "
                                      "columns that its statement takes",
                                      counter, aggregate.name.text()));
      } else if (form.value_or(types) != types) {
        sections[i].error(sections[i].place_of("details"),
                          fmt::format("details of {} are of other types here than elsewhere; "
                                      "expected the same number and types in each contribution",
                                      aggregate.name.text()));
      } else {
        form = types;
      }
    }
  }
}

}  // namespace tidemark
