// What is watched and what is counted: the one declaration from which come the fold in C++ and the
// recount in SQL (DESIGN 3). A checked value: indexes are valid, names are resolved, types agree.
//
// Written in TOML below schemas/ (tables/*.toml, aggregates/*.toml); schemas/README.md has the
// format. Loaded by declaration_toml.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "consumer/core/types.h"

namespace tidemark {

// A schema-qualified name in Postgres, unquoted as the catalog holds it.
struct QualifiedName {
  std::string schema;
  std::string name;

  std::string text() const { return schema + "." + name; }
  friend auto operator<=>(const QualifiedName&, const QualifiedName&) = default;
};

// The types that a declared column can have. Others can be in the table; they are not read.
enum class ColumnType : std::uint8_t {
  kBoolean,
  kSmallint,
  kInteger,
  kBigint,
  kText,  // text, varchar, char, citext
  kEnum,  // a Postgres enum; `values` lists what the declaration knows
  kUuid,
  kJson,         // json, jsonb: its text; only `is null` can be asked of it
  kTimestamp,    // without time zone, any precision
  kTimestamptz,  // as Debezium's ISO text
  kDate,
};

// The declared name of a type, as written in TOML: "boolean", "integer", ...
std::string_view type_name(ColumnType type);
// True for smallint, integer and bigint.
bool is_integer(ColumnType type);

struct Column {
  std::string name;
  ColumnType type = ColumnType::kText;
  bool nullable = false;
  std::vector<std::string> values;   // kEnum: the known values; else empty
  bool timestamp_in_millis = false;  // kTimestamp: declared timestamp(0..3), which comes in ms
};

using Constant = std::variant<bool, std::int64_t, std::string>;

// One term of a conjunction. As in SQL, a null column makes an equality not true.
struct Condition {
  struct IsNull {
    bool null = true;  // false: is not null
  };
  struct OneOf {
    std::vector<Constant> constants;  // at least one, of the column's type
  };
  ColumnIndex column;
  std::variant<IsNull, OneOf> test;
};

// True when every term is. Empty: always true.
struct Predicate {
  std::vector<Condition> all;
};

// What one row adds while it is active: one, to one cell, when `when` holds too.
struct Contribution {
  AggregateIndex aggregate;
  CounterIndex counter;
  ColumnIndex key;  // the row's column that holds the aggregate's key; null: no cell
  Predicate when;   // beyond the table's `active`
  // What the counter's milestones tell of the row: integers and times; the first ones tell which of
  // several rows is the newest. Empty: the counter has no milestones.
  std::vector<ColumnIndex> details = {};
};

// A row whose existence makes an aggregate row exist, with zero counts.
struct RowMaker {
  AggregateIndex aggregate;
  ColumnIndex key;
};

// A watched table.
struct Table {
  QualifiedName name;
  std::optional<std::string> topic;      // when it is not <prefix>.<schema>.<table>
  std::vector<ColumnIndex> primary_key;  // empty: the table has none; the whole row identifies it
  std::vector<Column> columns;           // those that are read
  Predicate active;
  std::vector<Contribution> contributions;
  std::vector<RowMaker> makes;
  bool replica_full = true;  // REPLICA IDENTITY FULL, as the catalog said at start
  std::string file;          // where it is declared, for messages
};

// A column of an aggregate that is copied from a watched table when its row is made, and again
// when the watched row changes (aggregate_playlist.is_album of the current playlists row).
struct Lookup {
  std::string column;  // of the aggregate
  TableIndex table;    // where it is looked up
  ColumnIndex value;   // the value's column there
  ColumnIndex key;     // the column there that holds the aggregate's key
  Predicate when;      // which rows of it count
};

struct Counter {
  std::string name;
};

// Columns of an aggregate that no sum of contributions gives: a statement computes them for a set
// of keys. Events only say for which keys they may be others now; such keys' cells are suspect. To
// all that is stored by counter (suspects, ledger, drift), the group is one cell of each row.
struct RecountedColumns {
  // Rows that the statement reads, and the column in them that holds the aggregate's key.
  struct Source {
    TableIndex table;
    ColumnIndex key;
  };
  std::string name;                  // what its cells are stored under; no counter has it
  std::vector<std::string> columns;  // of the aggregate; they may be null
  // A query: $1 is an array of keys. Gives the key and the columns, under the aggregate's names for
  // them, in one row at most for each key; a key without a row has nulls.
  std::string sql;
  std::vector<Source> from;  // at least one; the statement reads no other table
};

// A counter that is announced when its value rises to a threshold.
struct Milestone {
  CounterIndex counter;
  std::string name;                      // what it is announced as
  std::vector<std::int64_t> thresholds;  // ascending, at least one, all above 0
};

// A column of a table that is not declared otherwise.
struct TableColumn {
  QualifiedName table;
  std::string column;
};

// The milestones of an aggregate's counters, and the application's statement that announces them.
struct Milestones {
  std::vector<Milestone> counters;  // by counter; empty: there are none
  // One statement: $1 is an array of keys, $2 of names, $3 of thresholds, then follows one for each
  // of the contributions' details. All have as many elements as there are crossings.
  std::string sql;
  // What it needs rights on beside watched tables: columns to read, tables to insert into, and the
  // sequences of these.
  std::vector<TableColumn> reads;
  std::vector<QualifiedName> inserts;
  std::vector<QualifiedName> sequences;
};

// A table of counts, one row a key. Rows are made when missing.
struct Aggregate {
  QualifiedName name;
  std::string key;                             // its key column, with a unique index on it alone
  ColumnType key_type = ColumnType::kInteger;  // an integer type, kText or kUuid
  std::vector<Counter> counters;
  std::vector<Lookup> lookups;
  std::vector<RecountedColumns> recounted;
  Milestones milestones = {};
  std::string file;

  // What can be suspect in a row: each counter, then each group of recounted columns. A
  // CounterIndex counts over both.
  std::size_t cells() const { return counters.size() + recounted.size(); }
  CounterIndex recounted_cell(std::size_t group) const {
    return CounterIndex(static_cast<std::uint32_t>(counters.size() + group));
  }
  // The name that a cell is stored under.
  const std::string& cell_name(CounterIndex cell) const {
    return cell.value < counters.size() ? counters[cell.value].name
                                        : recounted[cell.value - counters.size()].name;
  }
};

// Rows of a watched table whose changes make users dirty for a rule.
struct DirtySource {
  TableIndex table;
  ColumnIndex key;  // an integer column: the user, or what `via` finds users by; null: nobody
  // A query: $1 is a bigint[] of keys. Gives the users that depend on them (rule C4); empty: the
  // key is the user.
  std::string via;
  Predicate when;                    // which images count; the old row's and the new one's do
  std::vector<ColumnIndex> changed;  // an update counts when one of these differs; empty: any
  std::optional<ColumnIndex> block;  // changes at or below the checkpoint mark nobody (rule C5)
};

// A challenge rule (DESIGN 5): SQL that derives rows of public.user_challenges for a set of users.
// Their challenge, and the checkpoint of the same name, are read in SQL.
struct Rule {
  std::string name;        // the challenge's id
  std::int64_t order = 0;  // rules of one user run in this order; no two have the same
  // $1: bigint[] of users, $2: the rule's name. Writes what differs, and gives a row for each row
  // written: user_id, specifier, is_complete, inserted.
  std::string sql;
  std::string first;  // runs before `sql` for the same users, $1; empty: nothing does
  // Of public.indexing_checkpoints; none: every change marks.
  std::optional<std::string> checkpoint;
  bool finished_when_complete = false;  // a user with a completed row needs no marks (rule C6)
  std::vector<QualifiedName> writes;    // tables that its SQL writes beside; for grants
  std::vector<DirtySource> dirty;       // at least one
  std::string file;
};

struct Declaration {
  std::vector<Table> tables;          // ordered by name
  std::vector<Aggregate> aggregates;  // ordered by name: the lock order (rule P2)
  std::vector<Rule> rules;            // in their order; none: nothing is derived

  const Table& table(TableIndex i) const { return tables[i.value]; }
  Table& table(TableIndex i) { return tables[i.value]; }
  const Aggregate& aggregate(AggregateIndex i) const { return aggregates[i.value]; }
  const Rule& rule(RuleIndex i) const { return rules[i.value]; }
  std::optional<TableIndex> find_table(const QualifiedName& name) const;
  std::optional<AggregateIndex> find_aggregate(const QualifiedName& name) const;
};

// What decides whom a rule's sources mark, as text: without the rule's own SQL.
std::string marking_text(const Declaration& declaration, const Rule& rule);

// A hash of everything in the declaration that decides what is counted and who is marked; 32
// lower-case hex digits. Members with another hash than the stored one are refused (rule P5): they
// would miss events. Stored: what goes into it and its order never change.
std::string declaration_hash(const Declaration& declaration);

}  // namespace tidemark
