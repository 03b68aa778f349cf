// What has been read of a declaration so far: tables and aggregates whose names are known while the
// references between them are still being resolved. Internal to the reader of declarations.
//
// Reading goes in two steps over all files: first what each file says about itself (heads), then
// what it says about others (uses). So neither files nor keys need an order.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/declaration_toml_section.h"

namespace tidemark {

struct TableDraft {
  Table table;
  Section root;
  // Columns that are declared wrongly: known by name, so that one slip is one error.
  std::vector<bool> broken_columns;

  bool broken(ColumnIndex i) const { return broken_columns[i.value]; }
};

struct AggregateDraft {
  Aggregate aggregate;
  Section root;
  bool broken_key = false;
  bool broken_counters = false;  // some counter could not be read: an unknown one may be it
};

struct RuleDraft {
  Rule rule;
  Section root;
};

struct Drafts {
  std::vector<TableDraft> tables;          // ordered by name once all heads are read
  std::vector<AggregateDraft> aggregates;  // so, too
  std::vector<RuleDraft> rules;            // ordered by `order` then
  // False when some file gave no name: an unknown table or aggregate may be the one it declares.
  bool complete = true;
  ReadStatement read_statement;
};

// Step one. Columns are ordered by name: their order in the file means nothing.
TableDraft read_table_head(const Section& root);
AggregateDraft read_aggregate_head(const Section& root);

RuleDraft read_rule_head(const Section& root);

// Step two. Fills in what refers to others: contributions and makes; lookups, recounted columns and
// milestones; a rule's statements and sources.
void read_table_uses(const Drafts& drafts, TableDraft& draft);
void read_aggregate_uses(const Drafts& drafts, AggregateDraft& draft);
void read_recounted(const Drafts& drafts, AggregateDraft& draft);
void read_milestones(const Drafts& drafts, AggregateDraft& draft);
void read_rule_uses(const Drafts& drafts, RuleDraft& draft);
// Orders rules, and notes those that share a name or a place.
void order_rules(std::vector<RuleDraft>& rules);
// Whether contributions and milestones agree on details; to be called when all else is right.
void check_details(const Drafts& drafts);
// The text of the statement in the file that `key` names, relative to the section's own; notes an
// error when it can't be read or lacks `needed`.
std::optional<std::string> read_statement(const Drafts& drafts, const Section& section,
                                          std::string_view key = "sql",
                                          std::string_view needed = "$1");
// The index of the aggregate's counter of that name.
std::optional<CounterIndex> find_counter(const AggregateDraft& draft, const PlacedText& name,
                                         ErrorList& errors);
// The table that a section names below "table".
std::optional<TableIndex> read_table(const Drafts& drafts, const Section& section);
// True when the aggregate has another use for the column already: its key, a counter, a lookup, or
// recounted columns.
bool column_is_taken(const Aggregate& aggregate, const std::string& column);

// A column of a table by its name; notes an error that lists the columns when there is none.
std::optional<ColumnIndex> find_column(const TableDraft& table, const PlacedText& name,
                                       ErrorList& errors);
// A conjunction over a table's columns: column = constant, [constants] or { null = true|false }.
Predicate read_predicate(const Section& section, const TableDraft& table);
// The predicate below `key` of a section; always true when there is none.
Predicate read_optional_predicate(const Section& section, std::string_view key,
                                  const TableDraft& table);

// "schema.name" from a text; notes an error when it is not that.
std::optional<QualifiedName> read_qualified_name(const PlacedText& text, ErrorList& errors);
// A type by its declared name; notes an error that names `what` has the type when there is none.
std::optional<ColumnType> read_type(const PlacedText& type, std::string_view what,
                                    ErrorList& errors);
// The index of the aggregate that a section names below "aggregate".
std::optional<AggregateIndex> read_aggregate(const Drafts& drafts, const Section& section);
// The column that a section names below "key", and that holds keys of `aggregate`: notes an error
// when its values don't all fit the aggregate's key.
std::optional<ColumnIndex> read_key(const Section& section, const TableDraft& table,
                                    const AggregateDraft& aggregate);

// The index of the table or aggregate of that name. Notes an error when there is none, but not
// when a file without a name may be it.
template <class Index, class Draft, class NameOf>
std::optional<Index> find_draft(const std::vector<Draft>& drafts, const PlacedText& text,
                                std::string_view what, bool complete, NameOf name_of,
                                ErrorList& errors) {
  const std::optional<QualifiedName> name = read_qualified_name(text, errors);
  if (!name) return std::nullopt;
  std::vector<std::string> known;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    if (name_of(drafts[i]) == *name) return Index(static_cast<std::uint32_t>(i));
    known.push_back(name_of(drafts[i]).text());
  }
  if (complete) {
    errors.add(text.place, "unknown " + std::string(what) + " '" + text.text + "'; expected " +
                               alternatives(known) + did_you_mean(text.text, known));
  }
  return std::nullopt;
}

}  // namespace tidemark
