// The declaration of a challenge rule.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "consumer/core/declaration_toml_draft.h"

namespace tidemark {
namespace {

// What stands for the rule's text in the statement that writes its rows.
constexpr std::string_view kRuleMark = "{rule}";
// The column of a change's block, when the table has it and the source names no other.
constexpr const char* kUsualBlock = "blocknumber";

// Names are stored in arrays, and are labels of metrics.
bool is_rule_name(std::string_view name) {
  return std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

// The writing statement with the rule's text in it.
std::string composed(std::string writing, const std::string& rule) {
  for (std::size_t at = writing.find(kRuleMark); at != std::string::npos;
       at = writing.find(kRuleMark, at + rule.size())) {
    writing.replace(at, kRuleMark.size(), rule);
  }
  return writing;
}

std::optional<ColumnIndex> read_integer_column(const Section& section, const PlacedText& name,
                                               const TableDraft& table) {
  const std::optional<ColumnIndex> index = find_column(table, name, section.errors());
  if (!index || table.broken(*index)) return std::nullopt;
  const Column& column = table.table.columns[index->value];
  if (is_integer(column.type)) return index;
  section.error(name.place, fmt::format("column '{}' is declared {}; expected an integer type",
                                        column.name, type_name(column.type)));
  return std::nullopt;
}

// `user`, or `keys` with `via`.
std::optional<ColumnIndex> read_dirty_key(const Drafts& drafts, const Section& section,
                                          const TableDraft& table, DirtySource& out) {
  if (section.has("user") == section.has("keys") || section.has("keys") != section.has("via")) {
    section.error(section.place(),
                  "expected 'user', the column that holds the user, or both 'keys' and 'via', a "
                  "column and the file of a query that finds users by it");
    return std::nullopt;
  }
  const bool direct = section.has("user");
  if (!direct) out.via = read_statement(drafts, section, "via", "$1").value_or("");
  const std::optional<PlacedText> name = section.text(direct ? "user" : "keys");
  return name ? read_integer_column(section, *name, table) : std::nullopt;
}

void read_block(const Section& section, const TableDraft& table, DirtySource& out) {
  if (const std::optional<PlacedText> name = section.optional_text("block")) {
    out.block = read_integer_column(section, *name, table);
    return;
  }
  for (std::uint32_t i = 0; i < table.table.columns.size(); ++i) {
    const Column& column = table.table.columns[i];
    if (column.name == kUsualBlock && is_integer(column.type)) out.block = ColumnIndex(i);
  }
}

void read_source(const Drafts& drafts, const Section& section, Rule& rule) {
  section.allow_keys({"table", "user", "keys", "via", "when", "changed", "block"});
  const std::optional<TableIndex> index = read_table(drafts, section);
  if (!index) return;
  const TableDraft& table = drafts.tables[index->value];
  DirtySource out{};
  out.table = *index;
  const std::optional<ColumnIndex> key = read_dirty_key(drafts, section, table, out);
  out.when = read_optional_predicate(section, "when", table);
  if (section.has("changed")) {
    for (const PlacedText& name : section.texts("changed")) {
      const auto column = find_column(table, name, section.errors());
      if (column) out.changed.push_back(*column);
    }
  }
  read_block(section, table, out);
  if (!key) return;
  out.key = *key;
  rule.dirty.push_back(std::move(out));
}

}  // namespace

RuleDraft read_rule_head(const Section& root) {
  RuleDraft draft{{}, root};
  Rule& rule = draft.rule;
  rule.file = root.place().file;
  root.allow_keys({"rule", "order", "sql", "write", "first", "checkpoint", "finished_when_complete",
                   "writes", "dirty"});
  if (const auto name = root.text("rule")) {
    rule.name = name->text;
    if (!is_rule_name(rule.name)) {
      root.error(name->place, fmt::format("found '{}'; expected lower-case letters, digits and _ "
                                          "in a rule's name",
                                          name->text));
    }
  }
  if (!root.has("order")) {
    root.error(root.place(), "missing key 'order'; expected the rule's place among a user's rules");
  }
  rule.order = root.number("order", 0, std::numeric_limits<std::int32_t>::max()).value_or(0);
  if (const auto key = root.optional_text("checkpoint")) rule.checkpoint = key->text;
  rule.finished_when_complete = root.flag("finished_when_complete").value_or(false);
  return draft;
}

void read_rule_uses(const Drafts& drafts, RuleDraft& draft) {
  const Section& root = draft.root;
  Rule& rule = draft.rule;
  const auto derives = read_statement(drafts, root, "sql", "$1");
  const auto writes = read_statement(drafts, root, "write", kRuleMark);
  if (derives && writes) rule.sql = composed(*writes, *derives);
  if (root.has("first")) rule.first = read_statement(drafts, root, "first", "$1").value_or("");
  if (root.has("writes")) {
    for (const PlacedText& name : root.texts("writes")) {
      const auto table = read_qualified_name(name, root.errors());
      if (table) rule.writes.push_back(*table);
    }
  }
  if (!root.has("dirty")) {
    root.error(root.place(),
               "missing [[dirty]]; expected the tables whose changes make users dirty");
  }
  for (const Section& section : root.sections("dirty")) read_source(drafts, section, rule);
}

void order_rules(std::vector<RuleDraft>& rules) {
  std::ranges::stable_sort(rules, {}, [](const RuleDraft& draft) { return draft.rule.order; });
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Section& root = rules[i].root;
    for (std::size_t other = 0; other < i; ++other) {
      const Rule& first = rules[other].rule;
      if (!first.name.empty() && first.name == rules[i].rule.name) {
        root.error(root.place_of("rule"),
                   fmt::format("rule {} is declared twice; first in {}", first.name, first.file));
      } else if (root.has("order") && first.order == rules[i].rule.order) {
        root.error(root.place_of("order"),
                   fmt::format("rules {} and {} have the same order; expected one for each",
                               first.name, rules[i].rule.name));
      }
    }
  }
}

}  // namespace tidemark
