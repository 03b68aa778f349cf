#include "consumer/core/declaration.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <iterator>
#include <set>

namespace tidemark {
namespace {

// --- The canonical text behind declaration_hash -------------------------------------------------
//
// One fact a line. What has an order that means nothing (keys of TOML, files, lists of constants)
// is sorted, so that only a change of what is counted changes the text. Names can hold anything, so
// each text is written with its length before it: no two declarations share one canonical text.

std::string counted(std::string_view text) { return fmt::format("{}:{}", text.size(), text); }

std::string constant_text(const Constant& constant) {
  if (const auto* flag = std::get_if<bool>(&constant)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&constant)) return fmt::format("{}", *number);
  return counted(std::get<std::string>(constant));
}

std::string sorted_lines(std::vector<std::string> lines, std::string_view separator) {
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, separator));
}

std::string condition_text(const Table& table, const Condition& condition) {
  const std::string column = counted(table.columns[condition.column.value].name);
  if (const auto* is_null = std::get_if<Condition::IsNull>(&condition.test)) {
    return fmt::format("{} {}", column, is_null->null ? "null" : "not null");
  }
  std::vector<std::string> constants;
  for (const Constant& constant : std::get<Condition::OneOf>(condition.test).constants) {
    constants.push_back(constant_text(constant));
  }
  return fmt::format("{} in {}", column, sorted_lines(std::move(constants), ","));
}

std::string predicate_text(const Table& table, const Predicate& predicate) {
  std::vector<std::string> terms;
  for (const Condition& condition : predicate.all)
    terms.push_back(condition_text(table, condition));
  return "(" + sorted_lines(std::move(terms), " and ") + ")";
}

std::string column_text(const Column& column) {
  std::vector<std::string> values;
  for (const std::string& value : column.values) values.push_back(counted(value));
  return fmt::format("column {} {}{}{} [{}]", counted(column.name), type_name(column.type),
                     column.nullable ? " nullable" : "",
                     column.timestamp_in_millis ? " millis" : "",
                     sorted_lines(std::move(values), ","));
}

// The lookups that read this table, with their aggregates.
struct UsedLookup {
  const Aggregate* aggregate;
  const Lookup* lookup;
};

std::vector<UsedLookup> lookups_of(const Declaration& declaration, TableIndex table) {
  std::vector<UsedLookup> used;
  for (const Aggregate& aggregate : declaration.aggregates) {
    for (const Lookup& lookup : aggregate.lookups) {
      if (lookup.table == table) used.push_back({&aggregate, &lookup});
    }
  }
  return used;
}

// The recounted columns that read this table, with their aggregates.
struct UsedRecounted {
  const Aggregate* aggregate;
  const RecountedColumns* columns;
  ColumnIndex key;
};

std::vector<UsedRecounted> recounted_of(const Declaration& declaration, TableIndex table) {
  std::vector<UsedRecounted> used;
  for (const Aggregate& aggregate : declaration.aggregates) {
    for (const RecountedColumns& group : aggregate.recounted) {
      for (const RecountedColumns::Source& source : group.from) {
        if (source.table == table) used.push_back({&aggregate, &group, source.key});
      }
    }
  }
  return used;
}

void add_columns(std::set<ColumnIndex>& columns, const Predicate& predicate) {
  for (const Condition& condition : predicate.all) columns.insert(condition.column);
}

// The columns that decide counts: those that tell a row's identity, and those that a count reads.
std::set<ColumnIndex> counting_columns(const Table& table, const std::vector<UsedLookup>& lookups,
                                       bool recounted) {
  std::set<ColumnIndex> columns(table.primary_key.begin(), table.primary_key.end());
  // The whole row is its identity, or a change of any column makes recounted cells suspect.
  if (table.primary_key.empty() || recounted) {
    for (std::uint32_t i = 0; i < table.columns.size(); ++i) columns.insert(ColumnIndex(i));
  }
  add_columns(columns, table.active);
  for (const Contribution& contribution : table.contributions) {
    columns.insert(contribution.key);
    add_columns(columns, contribution.when);
    columns.insert(contribution.details.begin(), contribution.details.end());
  }
  for (const RowMaker& maker : table.makes) columns.insert(maker.key);
  for (const auto& [aggregate, lookup] : lookups) {
    columns.insert(lookup->key);
    columns.insert(lookup->value);
    add_columns(columns, lookup->when);
  }
  return columns;
}

// Nothing for a table that no count reads: watching it for a rule only changes no counter.
void append_table(const Declaration& declaration, TableIndex index, std::vector<std::string>& out) {
  const Table& table = declaration.table(index);
  const std::vector<UsedLookup> lookups = lookups_of(declaration, index);
  const std::vector<UsedRecounted> recounted = recounted_of(declaration, index);
  if (table.contributions.empty() && table.makes.empty() && lookups.empty() && recounted.empty()) {
    return;
  }
  const auto name_of = [&](ColumnIndex i) { return counted(table.columns[i.value].name); };

  std::vector<std::string> lines;
  for (const ColumnIndex i : counting_columns(table, lookups, !recounted.empty())) {
    lines.push_back(column_text(table.columns[i.value]));
  }
  for (const Contribution& c : table.contributions) {
    const Aggregate& aggregate = declaration.aggregate(c.aggregate);
    std::vector<std::string> details;
    for (const ColumnIndex i : c.details) details.push_back(name_of(i));
    lines.push_back(
        fmt::format("contributes {}.{} of {} when {}{}", counted(aggregate.name.text()),
                    counted(aggregate.counters[c.counter.value].name), name_of(c.key),
                    predicate_text(table, c.when),
                    details.empty() ? "" : fmt::format(" details [{}]", fmt::join(details, ","))));
  }
  for (const RowMaker& maker : table.makes) {
    lines.push_back(fmt::format("makes {} of {}",
                                counted(declaration.aggregate(maker.aggregate).name.text()),
                                name_of(maker.key)));
  }
  for (const auto& [aggregate, lookup] : lookups) {
    lines.push_back(fmt::format("lookup {}.{} is {} of {} when {}", counted(aggregate->name.text()),
                                counted(lookup->column), name_of(lookup->value),
                                name_of(lookup->key), predicate_text(table, lookup->when)));
  }
  for (const auto& [aggregate, group, key] : recounted) {
    lines.push_back(fmt::format("recounted {}.{} of {}", counted(aggregate->name.text()),
                                counted(group->name), name_of(key)));
  }
  // The primary key keeps its order: identities at a mark are hashed in it.
  std::vector<std::string> primary_key;
  for (const ColumnIndex i : table.primary_key) primary_key.push_back(name_of(i));
  out.push_back(fmt::format("table {} {} key [{}] active {}\n{}", counted(table.name.schema),
                            counted(table.name.name), fmt::join(primary_key, ","),
                            predicate_text(table, table.active),
                            sorted_lines(std::move(lines), "\n")));
}

// Members that announce other thresholds than their neighbours leave some out for ever.
std::string milestones_text(const Aggregate& aggregate) {
  const Milestones& milestones = aggregate.milestones;
  if (milestones.counters.empty()) return "";
  std::vector<std::string> counters;
  for (const Milestone& milestone : milestones.counters) {
    counters.push_back(fmt::format("\nmilestones {} as {} at [{}]",
                                   counted(aggregate.counters[milestone.counter.value].name),
                                   counted(milestone.name), fmt::join(milestone.thresholds, ",")));
  }
  return sorted_lines(std::move(counters), "") + "\nannounced by " + counted(milestones.sql);
}

std::string aggregate_text(const Aggregate& aggregate) {
  std::vector<std::string> counters;
  for (const Counter& counter : aggregate.counters) counters.push_back(counted(counter.name));
  std::string text =
      fmt::format("aggregate {} {} key {} {} counters [{}]", counted(aggregate.name.schema),
                  counted(aggregate.name.name), counted(aggregate.key),
                  type_name(aggregate.key_type), sorted_lines(std::move(counters), ","));
  std::vector<std::string> groups;
  for (const RecountedColumns& group : aggregate.recounted) {
    std::vector<std::string> columns;
    for (const std::string& column : group.columns) columns.push_back(counted(column));
    groups.push_back(fmt::format("\nrecounted {} columns [{}] by {}", counted(group.name),
                                 sorted_lines(std::move(columns), ","), counted(group.sql)));
  }
  return text + sorted_lines(std::move(groups), "") + milestones_text(aggregate);
}

std::string source_text(const Declaration& declaration, const DirtySource& source) {
  const Table& table = declaration.table(source.table);
  const auto name_of = [&](ColumnIndex i) { return counted(table.columns[i.value].name); };
  std::vector<std::string> changed;
  for (const ColumnIndex i : source.changed) changed.push_back(name_of(i));
  return fmt::format("{} {} of {} when {} changed [{}] block {} via {}", counted(table.name.schema),
                     counted(table.name.name), name_of(source.key),
                     predicate_text(table, source.when), sorted_lines(std::move(changed), ","),
                     source.block ? name_of(*source.block) : "none", counted(source.via));
}

template <class T, class Index>
std::optional<Index> find_by_name(const std::vector<T>& items, const QualifiedName& name) {
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const T& item) { return item.name == name; });
  if (found == items.end()) return std::nullopt;
  return Index(static_cast<std::uint32_t>(std::distance(items.begin(), found)));
}

}  // namespace

std::string_view type_name(ColumnType type) {
  switch (type) {
    case ColumnType::kBoolean:
      return "boolean";
    case ColumnType::kSmallint:
      return "smallint";
    case ColumnType::kInteger:
      return "integer";
    case ColumnType::kBigint:
      return "bigint";
    case ColumnType::kText:
      return "text";
    case ColumnType::kEnum:
      return "enum";
    case ColumnType::kUuid:
      return "uuid";
    case ColumnType::kJson:
      return "json";
    case ColumnType::kTimestamp:
      return "timestamp";
    case ColumnType::kTimestamptz:
      return "timestamptz";
    case ColumnType::kDate:
      return "date";
  }
  return "?";
}

bool is_integer(ColumnType type) {
  return type == ColumnType::kSmallint || type == ColumnType::kInteger ||
         type == ColumnType::kBigint;
}

std::optional<TableIndex> Declaration::find_table(const QualifiedName& name) const {
  return find_by_name<Table, TableIndex>(tables, name);
}

std::optional<AggregateIndex> Declaration::find_aggregate(const QualifiedName& name) const {
  return find_by_name<Aggregate, AggregateIndex>(aggregates, name);
}

std::string marking_text(const Declaration& declaration, const Rule& rule) {
  std::vector<std::string> sources;
  for (const DirtySource& source : rule.dirty) {
    sources.push_back(source_text(declaration, source));
  }
  return fmt::format("rule {} checkpoint {}{}\n{}", counted(rule.name),
                     rule.checkpoint ? counted(*rule.checkpoint) : "none",
                     rule.finished_when_complete ? " finished when complete" : "",
                     sorted_lines(std::move(sources), "\n"));
}

std::string declaration_hash(const Declaration& declaration) {
  std::vector<std::string> parts;
  for (std::uint32_t i = 0; i < declaration.tables.size(); ++i) {
    append_table(declaration, TableIndex(i), parts);
  }
  for (const Aggregate& aggregate : declaration.aggregates) {
    parts.push_back(aggregate_text(aggregate));
  }
  for (const Rule& rule : declaration.rules) parts.push_back(marking_text(declaration, rule));
  const std::string text = "tidemark declaration 1\n" + sorted_lines(std::move(parts), "\n");
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace tidemark
