// The declaration of an aggregate's recounted columns.
#include <fmt/format.h>

#include <algorithm>

#include "consumer/core/declaration_toml_draft.h"

namespace tidemark {
namespace {

void read_columns(const Section& section, const AggregateDraft& draft, RecountedColumns& out) {
  for (const PlacedText& column : section.texts("columns")) {
    if (!check_identifier(column, section.errors())) continue;
    if (column_is_taken(draft.aggregate, column.text)) {
      section.error(column.place,
                    fmt::format("'{}' is the key, a counter, looked up or recounted already; "
                                "it can't be recounted",
                                column.text));
    }
    out.columns.push_back(column.text);
  }
}

void read_source(const Drafts& drafts, const Section& section, const AggregateDraft& draft,
                 RecountedColumns& out) {
  section.allow_keys({"table", "key"});
  const std::optional<TableIndex> table = read_table(drafts, section);
  if (!table) return;
  const auto key = read_key(section, drafts.tables[table->value], draft);
  if (!key) return;
  for (const RecountedColumns::Source& source : out.from) {
    if (source.table != *table || source.key != *key) continue;
    section.error(section.place(), "the same [[from]] stands twice");
    return;
  }
  out.from.push_back({*table, *key});
}

void read_group(const Drafts& drafts, const Section& section, const PlacedText& name,
                AggregateDraft& draft) {
  section.allow_keys({"columns", "sql", "from"});
  if (!check_identifier(name, section.errors())) return;
  const auto& counters = draft.aggregate.counters;
  if (std::any_of(counters.begin(), counters.end(),
                  [&](const Counter& counter) { return counter.name == name.text; })) {
    section.error(name.place, fmt::format("'{}' is a counter; expected a name of its own for the "
                                          "recounted columns",
                                          name.text));
  }
  RecountedColumns out;
  out.name = name.text;
  read_columns(section, draft, out);
  out.sql = read_statement(drafts, section, "sql", "$1").value_or("");
  if (!section.has("from")) {
    section.error(section.place(),
                  "missing [[from]]; expected the tables that the statement "
                  "reads, each with table and key");
  }
  for (const Section& source : section.sections("from")) read_source(drafts, source, draft, out);
  draft.aggregate.recounted.push_back(std::move(out));
}

}  // namespace

std::optional<std::string> read_statement(const Drafts& drafts, const Section& section,
                                          std::string_view key, std::string_view needed) {
  const std::optional<PlacedText> path = section.text(key);
  if (!path) return std::nullopt;
  const std::filesystem::path file =
      std::filesystem::path(path->place.file).parent_path() / path->text;
  std::optional<std::string> text =
      drafts.read_statement ? drafts.read_statement(file) : std::nullopt;
  if (!text) {
    section.error(path->place, fmt::format("the statement's file {} can't be read",
                                           file.lexically_normal().string()));
  } else if (text->find(needed) == std::string::npos) {
    section.error(path->place, fmt::format("the statement in {} doesn't name {}; expected it to "
                                           "compute for what that stands for",
                                           file.lexically_normal().string(), needed));
  }
  return text;
}

void read_recounted(const Drafts& drafts, AggregateDraft& draft) {
  const std::optional<Section> groups = draft.root.section("recounted");
  if (!groups) return;
  const std::vector<SectionEntry> entries = groups->entries();
  if (entries.empty()) {
    groups->error(groups->place(), "[recounted] is empty; expected [recounted.name]");
  }
  for (const SectionEntry& entry : entries) {
    if (const toml::table* table = entry.value->as_table()) {
      read_group(drafts, groups->of(*table), entry.key, draft);
    } else {
      groups->error(groups->place_of(*entry.value),
                    fmt::format("recounted '{}' is {}; expected a table, as [recounted.{}]",
                                entry.key.text, kind_of(*entry.value), entry.key.text));
    }
  }
}

}  // namespace tidemark
