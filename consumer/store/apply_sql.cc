#include "consumer/store/apply_sql.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"

namespace tidemark {
namespace {

std::string parameter(std::size_t counter) { return "$" + std::to_string(counter + 2); }
std::string delta_name(std::size_t counter) { return "d" + std::to_string(counter); }
std::string result_name(std::size_t counter) { return "c" + std::to_string(counter); }

// Text pieces with a separator between them.
class Joined {
 public:
  explicit Joined(std::string separator) : separator_(std::move(separator)) {}
  void add(const std::string& piece) {
    if (!text_.empty()) text_ += separator_;
    text_ += piece;
  }
  const std::string& text() const { return text_; }

 private:
  std::string separator_;
  std::string text_;
};

struct UpsertParts {
  Joined columns{", "};
  Joined values{", "};
  Joined arrays{", "};  // of unnest
  Joined names{", "};   // of what unnest gives
  Joined updates{", "};
  Joined effects{" or "};  // whether a row that is there changes at all
  Joined returns{", "};
  Joined flags{", "};
  Joined touched{", "};
};

void add_counter(UpsertParts& parts, const std::string& column, std::size_t i,
                 std::string_view type) {
  const std::string passed_as = parameter(i) + "::" + std::string(type) + "[]";
  parts.columns.add(column);
  parts.values.add("coalesce(b." + delta_name(i) + ", 0)");
  parts.arrays.add(passed_as);
  parts.names.add(delta_name(i));
  parts.updates.add(column + " = coalesce(t." + column + ", 0) + excluded." + column);
  parts.effects.add("excluded." + column + " <> 0");
  parts.returns.add("t." + column + " as " + result_name(i));
  const std::string passed = passed_as + " is not null";
  parts.flags.add(passed + " and coalesce(" + result_name(i) + " < 0, false)");
  parts.touched.add("case when " + passed + " then " + result_name(i) + " end");
}

void add_lookup(UpsertParts& parts, const std::string& column, const std::string& value) {
  parts.columns.add(column);
  parts.values.add(value);
  parts.updates.add(column + " = coalesce(excluded." + column + ", t." + column + ")");
  parts.effects.add("(excluded." + column + " is not null and t." + column +
                    " is distinct from excluded." + column + ")");
}

std::string thresholds_sql(const Milestone& milestone) {
  return "'" + array_of(milestone.thresholds) + "'::bigint[]";
}

// RETURNING knows the new values alone: a row is given when one that is lower by the reach would
// lie in another gap between thresholds. Which rows did cross is told by their own deltas.
std::string announcing_sql(const Aggregate& aggregate, const UpsertParts& parts,
                           const std::string& folded) {
  std::string values;
  std::string crossed;
  std::size_t parameter = aggregate.counters.size() + 2;
  for (const Milestone& milestone : aggregate.milestones.counters) {
    const std::string value = result_name(milestone.counter.value) + "::bigint";
    const std::string thresholds = thresholds_sql(milestone);
    values += ", " + value;
    crossed += " or (" + value + " >= " + std::to_string(milestone.thresholds.front()) +
               " and width_bucket(" + value + ", " + thresholds + ") > width_bucket(" + value +
               " - $" + std::to_string(parameter++) + "::bigint, " + thresholds + "))";
  }
  return folded + "select k::text, " + parts.flags.text() + values + " from folded where least(" +
         parts.touched.text() + ") < 0" + crossed;
}

template <class T>
std::optional<std::int64_t> bits(const std::optional<T>& number) {
  if (!number) return std::nullopt;
  return std::bit_cast<std::int64_t>(number->value);
}

void add_optional(ArrayLiteral& array, const std::optional<std::int64_t>& value) {
  if (value) {
    array.add(*value);
  } else {
    array.add_null();
  }
}

std::string seen_literal(const Mark& mark) {
  ArrayLiteral seen(mark.seen.size(), 20);
  for (const Hash64 hash : mark.seen) seen.add(std::bit_cast<std::int64_t>(hash.value));
  return seen.take();
}

// Locks in (topic, partition) order, so that two owners of the same partitions wait in line and
// never in a ring. A row that another owner moved meanwhile no longer fits after the wait.
constexpr const char* kAdvanceSql = R"(
with batch as materialized (
  select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[],
                       $6::bigint[], $7::bigint[], $8::text[], $9::bigint[], $10::bigint[],
                       $11::bigint[], $12::bigint[])
    as b(topic, partition, epoch, first_offset, next_offset, mark_commit, mark_lsn, seen,
         fp_offset, fp_timestamp, fp_key, fp_value)
), locked as materialized (
  select p.topic, p.partition from {0} p
    join batch b on p.topic = b.topic and p.partition = b.partition
   where p.next_offset = b.first_offset and p.epoch = b.epoch
   order by p.topic, p.partition for update of p
)
update {0} p
   set next_offset = b.next_offset, mark_commit = b.mark_commit, mark_lsn = b.mark_lsn,
       seen_at_mark = b.seen::bigint[],
       fingerprint_offset = coalesce(b.fp_offset, p.fingerprint_offset),
       fingerprint_timestamp = coalesce(b.fp_timestamp, p.fingerprint_timestamp),
       fingerprint_key = coalesce(b.fp_key, p.fingerprint_key),
       fingerprint_value = coalesce(b.fp_value, p.fingerprint_value), updated_at = now()
  from batch b join locked l on l.topic = b.topic and l.partition = b.partition
 where p.topic = b.topic and p.partition = b.partition
   and p.next_offset = b.first_offset and p.epoch = b.epoch)";

}  // namespace

std::string lookup_sql(const Declaration& declaration, const Lookup& lookup) {
  const Table& table = declaration.table(lookup.table);
  const auto column = [&](ColumnIndex i) {
    return "l." + quote_identifier(table.columns[i.value].name);
  };
  return "(select " + column(lookup.value) + " from " + quote_name(table.name) + " as l where " +
         column(lookup.key) + " = b.k and " + predicate_sql(table, lookup.when, "l") + " limit 1)";
}

UpsertSql upsert_sql(const Declaration& declaration, AggregateIndex index,
                     std::string_view delta_type, LookupsFrom lookups) {
  const Aggregate& aggregate = declaration.aggregate(index);
  const std::string key = quote_identifier(aggregate.key);
  UpsertParts parts;
  parts.columns.add(key);
  parts.values.add("b.k");
  parts.arrays.add("$1::" + key_array_type(aggregate));
  parts.names.add("k");
  parts.returns.add("t." + key + " as k");
  for (std::size_t i = 0; i < aggregate.counters.size(); ++i) {
    add_counter(parts, quote_identifier(aggregate.counters[i].name), i, delta_type);
  }
  for (std::size_t i = 0; i < aggregate.lookups.size(); ++i) {
    const Lookup& lookup = aggregate.lookups[i];
    std::string value = lookup_sql(declaration, lookup);
    if (lookups == LookupsFrom::kParameters) {
      const Column& column = declaration.table(lookup.table).columns[lookup.value.value];
      const std::string name = "l" + std::to_string(i);
      parts.arrays.add(parameter(aggregate.counters.size() + i) +
                       "::" + std::string(type_name(column.type)) + "[]");
      parts.names.add(name);
      value = "b." + name;
    }
    add_lookup(parts, quote_identifier(lookup.column), value);
  }
  for (const RecountedColumns& group : aggregate.recounted) {
    for (const std::string& column : group.columns) {
      parts.columns.add(quote_identifier(column));  // not its default: null is that of no row
      parts.values.add("null");
    }
  }
  const std::string insert = "insert into " + quote_name(aggregate.name) + " as t (" +
                             parts.columns.text() + ") select " + parts.values.text() +
                             " from unnest(" + parts.arrays.text() + ") as b(" +
                             parts.names.text() + ") on conflict (" + key + ") do update set " +
                             parts.updates.text() + " where " + parts.effects.text();
  const std::string folded =
      "with folded as (" + insert + " returning " + parts.returns.text() + ") ";
  return {insert,
          folded + "select k::text, " + parts.flags.text() + " from folded where least(" +
              parts.touched.text() + ") < 0",
          aggregate.milestones.counters.empty() ? "" : announcing_sql(aggregate, parts, folded)};
}

std::vector<std::int64_t> reaches(const Aggregate& aggregate, const AggregateDelta& delta) {
  std::vector<std::int64_t> most;
  for (const Milestone& milestone : aggregate.milestones.counters) {
    std::int64_t& reach = most.emplace_back(0);
    for (std::size_t at = milestone.counter.value; at < delta.deltas.size(); at += delta.counters) {
      reach = std::max<std::int64_t>(reach, delta.deltas[at]);
    }
  }
  return most;
}

bool takes_away(const AggregateDelta& delta) {
  return std::ranges::any_of(delta.deltas, [](std::int32_t change) { return change < 0; });
}

SqlParams upsert_params(const AggregateDelta& delta) {
  TIDEMARK_CHECK(delta.deltas.size() == delta.rows() * delta.counters);
  SqlParams params;
  params.reserve(delta.counters + 1);
  params.emplace_back(delta.integer_keys.empty() ? array_of(delta.text_keys)
                                                 : array_of(delta.integer_keys));
  for (std::uint32_t counter = 0; counter < delta.counters; ++counter) {
    if (!delta.changes(CounterIndex(counter))) {
      params.emplace_back();
      continue;
    }
    ArrayLiteral column(delta.rows(), 2);
    for (std::size_t at = counter; at < delta.deltas.size(); at += delta.counters) {
      column.add(delta.deltas[at]);
    }
    params.emplace_back(column.take());
  }
  return params;
}

std::string advance_sql(const std::string& table) { return fmt::format(kAdvanceSql, table); }

SqlParams advance_params(std::span<const Advance> advances) {
  constexpr std::size_t kColumns = 12;
  ArrayLiteral columns[kColumns];
  for (const Advance& a : advances) {
    columns[0].add(a.where.topic);
    columns[1].add(a.where.partition.value);
    columns[2].add(a.epoch.value);
    columns[3].add(a.from.value);
    columns[4].add(a.to.value);
    const auto& position = a.mark.position;
    add_optional(columns[5], position ? bits(position->last_commit) : std::nullopt);
    add_optional(columns[6], position ? bits(std::optional(position->lsn)) : std::nullopt);
    columns[7].add(seen_literal(a.mark));
    const auto& print = a.fingerprint;
    add_optional(columns[8], print ? bits(std::optional(print->offset)) : std::nullopt);
    add_optional(columns[9], print ? bits(std::optional(print->timestamp)) : std::nullopt);
    add_optional(columns[10], print ? bits(std::optional(print->key)) : std::nullopt);
    add_optional(columns[11], print ? bits(std::optional(print->value)) : std::nullopt);
  }
  SqlParams params;
  for (ArrayLiteral& column : columns) params.emplace_back(column.take());
  return params;
}

}  // namespace tidemark
