// Plays changes to a Fold by names, and shows its deltas by names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "consumer/core/check.h"
#include "consumer/core/declaration_toml.h"
#include "consumer/core/fold.h"
#include "tests/support/declarations.h"

namespace tidemark::testing {

// The declaration that ships, from schemas/.
inline const Declaration& shipped_declaration() {
  static const Declaration declaration = [] {
    auto loaded = load_declaration(std::filesystem::path(TIDEMARK_SOURCE_DIR) / "schemas");
    if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&loaded)) {
      check_failed(errors->front().text().c_str(), __FILE__, __LINE__);
    }
    return std::get<Declaration>(std::move(loaded));
  }();
  return declaration;
}

// A column's value by its name. Text must outlive the test's use of it: literals.
struct Field {
  Field(std::string_view n, int number) : name(n), value(std::int64_t{number}) {}
  Field(std::string_view n, bool flag) : name(n), value(flag) {}
  Field(std::string_view n, const char* text) : name(n), value(std::string_view(text)) {}
  Field(std::string_view n, Null null) : name(n), value(null) {}
  Field(std::string_view n, Unknown unknown) : name(n), value(unknown) {}

  std::string_view name;
  Value value;
};

using Fields = std::vector<Field>;
using Cells = std::map<std::string, int>;           // "aggregate_user.repost_count[7]" -> delta
using Causes = std::map<std::string, std::string>;  // the same, or without a key -> cause

// What a live row looks like where a test says nothing: current, available, nothing else.
inline Value usual_value(const Column& column) {
  if (column.nullable) return Null{};
  switch (column.type) {
    case ColumnType::kBoolean:
      return column.name == "is_current" || column.name == "is_available";
    case ColumnType::kSmallint:
    case ColumnType::kInteger:
    case ColumnType::kBigint:
    case ColumnType::kTimestamp:
    case ColumnType::kDate:
      return std::int64_t{0};
    case ColumnType::kEnum:
      return std::string_view(column.values.front());
    case ColumnType::kText:
    case ColumnType::kUuid:
    case ColumnType::kJson:
    case ColumnType::kTimestamptz:
      return std::string_view("x");
  }
  return Unknown{};
}

class FoldTester {
 public:
  explicit FoldTester(const Declaration& d = shipped_declaration(),
                      NotNewPolicy policy = NotNewPolicy::kDrop)
      : fold(d, policy), declaration_(d) {
    restart({{}, {}});
  }

  // Two partitions of one topic, slots 0 and 1, with these marks.
  void restart(std::vector<Mark> marks, std::int64_t next = 0) {
    std::vector<FoldPartition> partitions;
    for (const Mark& mark : marks) {
      const auto number = static_cast<std::int32_t>(partitions.size());
      partitions.push_back({{"t", Partition(number)}, Epoch(7), Offset(next), mark});
    }
    next_.assign(marks.size(), next);
    fold.reset(partitions);
  }

  RowImage row(std::string_view table, const Fields& fields) const {
    const Table& declared = declaration_.table(table_named(declaration_, table));
    RowImage image;
    for (const Column& column : declared.columns) image.push_back(usual_value(column));
    for (const Field& field : fields) {
      image[column_named(declaration_, table_named(declaration_, table), field.name).value] =
          field.value;
    }
    return image;
  }

  Change change(Op op, std::string_view table, RowImage before, RowImage after) {
    Change change;
    change.table = table_named(declaration_, table);
    change.op = op;
    change.position = next_position();
    change.tx_id = 7;
    change.before = std::move(before);
    change.after = std::move(after);
    return change;
  }

  void create(std::string_view table, const Fields& after) {
    add(change(Op::kCreate, table, {}, row(table, after)));
  }
  void update(std::string_view table, const Fields& before, const Fields& after) {
    add(change(Op::kUpdate, table, row(table, before), row(table, after)));
  }
  void remove(std::string_view table, const Fields& before) {
    add(change(Op::kDelete, table, row(table, before), {}));
  }
  void read(std::string_view table, const Fields& after) {
    add(change(Op::kRead, table, {}, row(table, after)));
  }
  void truncate(std::string_view table) { add(change(Op::kTruncate, table, {}, {})); }

  void add(const Change& change) { fold.add_change(next_record(), change); }
  void skip(SkipReason reason) { fold.add_skip(next_record(), reason); }
  void bad(std::string_view table, std::string_view key, std::string_view value) {
    const TableIndex index = table_named(declaration_, table);
    Record record = next_record();
    record.key = key;
    record.value = value;
    fold.add_bad(record, {BadCode::kBadJson, "cut off"}, std::vector<TableIndex>{index});
  }

  // The next records are of this partition.
  FoldTester& on(std::uint32_t slot) {
    slot_ = slot;
    return *this;
  }
  // The next change stands here; then they count on from behind it.
  FoldTester& at(std::uint64_t commit, std::uint64_t lsn) {
    commit_ = commit;
    lsn_ = lsn;
    return *this;
  }
  // The next change stands where the last one did.
  FoldTester& same_position() {
    lsn_ -= 10;
    return *this;
  }

  Record next_record() {
    const std::int64_t offset = next_.at(slot_)++;
    Record record;
    record.slot = slot_;
    record.topic = "t";
    record.partition = Partition(static_cast<std::int32_t>(slot_));
    record.offset = Offset(offset);
    record.timestamp = KafkaTimestamp(1000 + offset);
    record.key = "k";
    record.value = "v";
    return record;
  }

  // The cells of a delta that are not 0.
  Cells cells(const Delta& delta) const {
    Cells out;
    each_row(delta, [&](const Aggregate& aggregate, const AggregateDelta& rows, std::size_t row,
                        const std::string& key) {
      for (std::size_t c = 0; c < rows.counters; ++c) {
        const int value = rows.deltas[row * rows.counters + c];
        if (value == 0) continue;
        out[aggregate.name.name + "." + aggregate.counters[c].name + "[" + key + "]"] = value;
      }
    });
    return out;
  }
  // All rows of a delta: "aggregate_user[7]".
  std::set<std::string> rows(const Delta& delta) const {
    std::set<std::string> out;
    each_row(delta,
             [&](const Aggregate& aggregate, const AggregateDelta&, std::size_t,
                 const std::string& key) { out.insert(aggregate.name.name + "[" + key + "]"); });
    return out;
  }
  Causes suspects(const Delta& delta) const {
    Causes out;
    for (const SuspectCell& cell : delta.suspect_cells) {
      out[name_of(cell.aggregate, cell.counter) + "[" + cell.key + "]"] = cause_name(cell.cause);
    }
    TIDEMARK_CHECK(out.size() == delta.suspect_cells.size());  // each once
    return out;
  }
  Causes ranges(const Delta& delta) const {
    Causes out;
    for (const SuspectRange& range : delta.suspect_ranges) {
      out[name_of(range.aggregate, range.counter)] = cause_name(range.cause);
    }
    TIDEMARK_CHECK(out.size() == delta.suspect_ranges.size());
    return out;
  }
  Cells take_cells() { return cells(fold.take()); }

  Fold fold;

 private:
  Position next_position() {
    const Position position{Lsn(commit_), Lsn(lsn_)};
    lsn_ += 10;
    return position;
  }
  std::string name_of(AggregateIndex aggregate, CounterIndex counter) const {
    const Aggregate& declared = declaration_.aggregate(aggregate);
    return declared.name.name + "." + declared.cell_name(counter);
  }
  template <class Visit>
  void each_row(const Delta& delta, Visit visit) const {
    for (std::size_t a = 0; a < delta.aggregates.size(); ++a) {
      const AggregateDelta& rows = delta.aggregates[a];
      for (std::size_t row = 0; row < rows.rows(); ++row) {
        const std::string key =
            rows.text_keys.empty() ? std::to_string(rows.integer_keys[row]) : rows.text_keys[row];
        visit(declaration_.aggregates[a], rows, row, key);
      }
    }
  }

  const Declaration& declaration_;
  std::vector<std::int64_t> next_;
  std::uint32_t slot_ = 0;
  std::uint64_t commit_ = 100;
  std::uint64_t lsn_ = 100;
};

}  // namespace tidemark::testing
