// The one declaration is executed twice, by the fold in C++ and by the recount in SQL. Here both
// run over the same random history, and must agree to the last row.
//
// A failure prints rapidcheck's seed; RC_PARAMS="seed=..." plays it again.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <pqxx/pqxx>
#include <set>
#include <string>
#include <vector>

#include "consumer/core/declaration_toml.h"
#include "consumer/core/fold.h"
#include "consumer/core/recount_sql.h"
#include "tests/support/scratch_postgres.h"

namespace tidemark {
namespace {

constexpr std::size_t kStepBytes = 24;

// One value that a column can take, in both worlds.
struct Twin {
  std::string sql;
  Value value;
};

// A row, as the index of each column's value among the column's twins.
using TwinRow = std::vector<std::size_t>;
// A cell's counts by its key's text.
using Counts = std::map<std::string, std::vector<std::int64_t>>;

// What a column can hold: few values, so that keys meet; those that predicates ask for, and others.
class Domain {
 public:
  Domain(const Declaration& declaration, TableIndex table) : table_(declaration.table(table)) {
    for (std::size_t i = 0; i < table_.columns.size(); ++i) {
      twins_.push_back(twins_of(ColumnIndex(static_cast<std::uint32_t>(i))));
    }
  }

  const Twin& twin(std::size_t column, std::size_t index) const { return twins_[column][index]; }
  std::size_t pick(std::size_t column, std::uint8_t choice) const {
    return choice % twins_[column].size();
  }
  RowImage image(const TwinRow& row) const {
    RowImage image;
    for (std::size_t i = 0; i < row.size(); ++i) image.push_back(twins_[i][row[i]].value);
    return image;
  }

 private:
  Twin text_twin(const std::string& text) {
    texts_.push_back(std::make_unique<std::string>(text));
    return {quote_literal(text), std::string_view(*texts_.back())};
  }

  static Twin number_twin(std::int64_t number) { return {std::to_string(number), number}; }

  std::vector<Twin> twins_of(ColumnIndex index) {
    const Column& column = table_.columns[index.value];
    std::vector<Twin> twins;
    for (const std::string& text : texts_of(column, index)) twins.push_back(text_twin(text));
    if (column.type == ColumnType::kBoolean) twins = {{"false", false}, {"true", true}};
    if (is_integer(column.type)) {
      for (const std::int64_t number : {1, 2, 3, -4}) twins.push_back(number_twin(number));
    }
    if (column.type == ColumnType::kTimestamp) {
      twins = {{"timestamp '1970-01-01 00:00:01.5'", std::int64_t{1'500'000}}};
    }
    if (column.type == ColumnType::kDate) twins = {{"date '1970-01-02'", std::int64_t{1}}};
    if (column.nullable) twins.push_back({"null", Null{}});
    return twins;
  }

  std::set<std::string> texts_of(const Column& column, ColumnIndex index) const {
    if (column.type == ColumnType::kEnum) return {column.values.begin(), column.values.end()};
    if (column.type == ColumnType::kJson) return {"{}", "null"};
    if (column.type == ColumnType::kTimestamptz) return {"2025-01-02T03:04:05.678901Z"};
    if (column.type == ColumnType::kUuid) {
      return {"00000000-0000-0000-0000-00000000000a", "ffffffff-ffff-ffff-ffff-ffffffffffff"};
    }
    if (column.type != ColumnType::kText) return {};
    std::set<std::string> texts = {"", "a", "A", "a'\"\\ü "};
    add_constants(texts, table_.active, index);
    for (const Contribution& c : table_.contributions) add_constants(texts, c.when, index);
    return texts;
  }

  static void add_constants(std::set<std::string>& texts, const Predicate& predicate,
                            ColumnIndex index) {
    for (const Condition& condition : predicate.all) {
      const auto* one_of = std::get_if<Condition::OneOf>(&condition.test);
      if (condition.column != index || one_of == nullptr) continue;
      for (const Constant& c : one_of->constants) texts.insert(std::get<std::string>(c));
    }
  }

  const Table& table_;
  std::vector<std::vector<Twin>> twins_;
  std::vector<std::unique_ptr<std::string>> texts_;  // what the values' views point at
};

// The declared tables in Postgres, as the declaration describes them.
std::string column_ddl(const Table& table, const Column& column) {
  const bool other_spelling = column.name.size() % 2 == 1;
  std::string type(type_name(column.type));
  if (column.type == ColumnType::kText && other_spelling) type = "varchar(80)";
  if (column.type == ColumnType::kJson && other_spelling) type = "jsonb";
  if (column.type == ColumnType::kEnum) {
    type = quote_name({table.name.schema, table.name.name + "_" + column.name});
  }
  return fmt::format("{} {}{}", quote_identifier(column.name), type,
                     column.nullable ? "" : " not null");
}

std::string table_ddl(const Table& table) {
  std::string sql =
      fmt::format("create schema if not exists {};", quote_identifier(table.name.schema));
  std::vector<std::string> parts;
  for (const Column& column : table.columns) {
    std::vector<std::string> values;
    for (const std::string& value : column.values) values.push_back(quote_literal(value));
    if (column.type == ColumnType::kEnum) {
      sql += fmt::format("create type {} as enum ({});",
                         quote_name({table.name.schema, table.name.name + "_" + column.name}),
                         fmt::join(values, ", "));
    }
    parts.push_back(column_ddl(table, column));
  }
  std::vector<std::string> key;
  for (const ColumnIndex i : table.primary_key) {
    key.push_back(quote_identifier(table.columns[i.value].name));
  }
  if (!key.empty()) parts.push_back(fmt::format("primary key ({})", fmt::join(key, ", ")));
  return sql + fmt::format("create table {} ({});", quote_name(table.name), fmt::join(parts, ", "));
}

// One random step: bytes that the history reads its decisions from.
using Step = std::vector<int>;

// Plays a random history: SQL for Postgres, changes for the fold.
class History {
 public:
  explicit History(const Declaration& declaration)
      : declaration_(declaration), fold_(declaration, NotNewPolicy::kDrop) {
    for (std::uint32_t i = 0; i < declaration.tables.size(); ++i) {
      domains_.emplace_back(declaration, TableIndex(i));
    }
    rows_.resize(declaration.tables.size());
    sums_.resize(declaration.aggregates.size());
    const FoldPartition partition{{"topic", Partition(0)}, Epoch(1), Offset(0), {}};
    fold_.reset(std::span(&partition, 1));
  }

  void play(const Step& step) {
    const auto table = TableIndex(static_cast<std::uint32_t>(byte(step, 0) % rows_.size()));
    const std::size_t choice = byte(step, 1) % 8;
    auto& rows = rows_[table.value];
    if (choice < 3 || rows.empty()) {
      insert(table, fresh_row(table, step));
    } else {
      const std::size_t victim = byte(step, 2) % rows.size();
      if (choice == 7) {
        remove(table, victim);
      } else {
        update(table, victim, changed_row(table, rows[victim], step), byte(step, 3) % 2 == 0);
      }
    }
    if (byte(step, 4) % 8 == 0) feed(Change(last_));  // Debezium's redelivery
    if (byte(step, 5) % 16 == 0) end_batch();
  }

  void end_batch() {
    const Delta delta = fold_.take();
    // Recounted columns are suspect by each change.
    const auto counts = [&](const auto& suspect) {
      return suspect.counter.value < declaration_.aggregate(suspect.aggregate).counters.size();
    };
    suspects_ += static_cast<std::size_t>(std::ranges::count_if(delta.suspect_cells, counts) +
                                          std::ranges::count_if(delta.suspect_ranges, counts));
    for (std::size_t a = 0; a < delta.aggregates.size(); ++a) add(delta.aggregates[a], sums_[a]);
  }

  const std::string& sql() const { return sql_; }
  std::size_t suspects() const { return suspects_; }
  // What the deltas add up to, without cells of zero.
  Counts counts(AggregateIndex aggregate) const {
    Counts out = sums_[aggregate.value];
    std::erase_if(out, [](const auto& entry) {
      return std::all_of(entry.second.begin(), entry.second.end(), [](auto n) { return n == 0; });
    });
    return out;
  }

 private:
  static std::uint8_t byte(const Step& step, std::size_t i) {
    return static_cast<std::uint8_t>(step[i % step.size()]);
  }

  TwinRow fresh_row(TableIndex table, const Step& step) const {
    TwinRow row;
    for (std::size_t c = 0; c < declaration_.table(table).columns.size(); ++c) {
      row.push_back(domains_[table.value].pick(c, byte(step, 6 + c)));
    }
    return row;
  }

  // Some columns anew, by two bits a column; sometimes none: an update that changes nothing.
  TwinRow changed_row(TableIndex table, TwinRow row, const Step& step) const {
    const TwinRow fresh = fresh_row(table, step);
    for (std::size_t c = 0; c < row.size(); ++c) {
      if ((byte(step, 6 + c) / 32) % 3 == 0) row[c] = fresh[c];
    }
    return row;
  }

  bool same_key(TableIndex table, const TwinRow& a, const TwinRow& b) const {
    const auto& key = declaration_.table(table).primary_key;
    return std::all_of(key.begin(), key.end(),
                       [&](ColumnIndex c) { return a[c.value] == b[c.value]; });
  }

  bool taken(TableIndex table, const TwinRow& row) const {
    const auto& rows = rows_[table.value];
    return std::any_of(rows.begin(), rows.end(),
                       [&](const TwinRow& other) { return same_key(table, row, other); });
  }

  void insert(TableIndex table, const TwinRow& row) {
    if (taken(table, row)) return;
    sql_ += fmt::format("insert into {} ({}) values ({});\n", name(table), columns(table),
                        values(table, row));
    rows_[table.value].push_back(row);
    next_position();
    feed(change(table, Op::kCreate, nullptr, &row));
  }

  void update(TableIndex table, std::size_t victim, const TwinRow& row, bool one_key_event) {
    const TwinRow before = rows_[table.value][victim];
    const bool key_change = !same_key(table, before, row);
    if (key_change && taken(table, row)) return;
    sql_ += fmt::format("update {} set ({}) = row({}) where {};\n", name(table), columns(table),
                        values(table, row), key_test(table, before));
    rows_[table.value][victim] = row;
    next_position();
    if (key_change && !one_key_event) {  // without message.key.columns: two events, one position
      feed(change(table, Op::kDelete, &before, nullptr));
      feed(change(table, Op::kCreate, nullptr, &row));
    } else {
      feed(change(table, Op::kUpdate, &before, &row));
    }
  }

  void remove(TableIndex table, std::size_t victim) {
    auto& rows = rows_[table.value];
    const TwinRow before = rows[victim];
    sql_ += fmt::format("delete from {} where {};\n", name(table), key_test(table, before));
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(victim));
    next_position();
    feed(change(table, Op::kDelete, &before, nullptr));
  }

  std::string name(TableIndex table) const { return quote_name(declaration_.table(table).name); }

  std::string columns(TableIndex table) const {
    std::vector<std::string> names;
    for (const Column& c : declaration_.table(table).columns) {
      names.push_back(quote_identifier(c.name));
    }
    return fmt::format("{}", fmt::join(names, ", "));
  }

  std::string values(TableIndex table, const TwinRow& row) const {
    std::vector<std::string> literals;
    for (std::size_t c = 0; c < row.size(); ++c) {
      literals.push_back(domains_[table.value].twin(c, row[c]).sql);
    }
    return fmt::format("{}", fmt::join(literals, ", "));
  }

  std::string key_test(TableIndex table, const TwinRow& row) const {
    std::vector<std::string> terms;
    for (const ColumnIndex c : declaration_.table(table).primary_key) {
      terms.push_back(fmt::format("{} = {}",
                                  quote_identifier(declaration_.table(table).columns[c.value].name),
                                  domains_[table.value].twin(c.value, row[c.value]).sql));
    }
    return fmt::format("{}", fmt::join(terms, " and "));
  }

  void next_position() { lsn_ += 8; }

  Change change(TableIndex table, Op op, const TwinRow* before, const TwinRow* after) const {
    Change out;
    out.table = table;
    out.op = op;
    out.position = Position{Lsn(lsn_ - 8), Lsn(lsn_)};
    out.tx_id = 3;
    if (before != nullptr) out.before = domains_[table.value].image(*before);
    if (after != nullptr) out.after = domains_[table.value].image(*after);
    return out;
  }

  void feed(Change change) {
    if (!change.position) return;  // nothing to deliver again yet
    Record record;
    record.topic = "topic";
    record.offset = offset_;
    fold_.add_change(record, change);
    offset_ = Offset(offset_.value + 1);
    last_ = std::move(change);
  }

  static void add(const AggregateDelta& delta, Counts& sums) {
    for (std::size_t row = 0; row < delta.rows(); ++row) {
      const std::string key = delta.integer_keys.empty() ? delta.text_keys[row]
                                                         : std::to_string(delta.integer_keys[row]);
      std::vector<std::int64_t>& counts = sums[key];
      counts.resize(delta.counters);
      for (std::size_t c = 0; c < delta.counters; ++c) {
        counts[c] += delta.deltas[row * delta.counters + c];
      }
    }
  }

  const Declaration& declaration_;
  Fold fold_;
  std::deque<Domain> domains_;
  std::vector<std::vector<TwinRow>> rows_;  // what the tables hold, by table
  std::vector<Counts> sums_;                // by aggregate
  std::string sql_;
  Change last_;
  std::uint64_t lsn_ = 1000;
  Offset offset_{0};
  std::size_t suspects_ = 0;
};

Counts read_counts(const pqxx::result& result) {
  Counts counts;
  for (const auto& row : result) {
    const std::string key = row[0].c_str();
    EXPECT_FALSE(row[0].is_null()) << "a recount gave a null key";
    EXPECT_EQ(counts.count(key), 0u) << "a recount gave a key twice";
    for (pqxx::row_size_type c = 1; c < row.size(); ++c) {
      counts[key].push_back(row[c].as<std::int64_t>());
    }
  }
  return counts;
}

// Keys of every kind that the histories can use, and one that no row has; one stands twice.
std::string keys_literal(const Aggregate& aggregate) {
  if (is_integer(aggregate.key_type)) return "{1,2,3,-4,1,77}";
  if (aggregate.key_type == ColumnType::kUuid) {
    return "{00000000-0000-0000-0000-00000000000a,ffffffff-ffff-ffff-ffff-ffffffffffff,"
           "ffffffff-ffff-ffff-ffff-ffffffffffff,12345678-0000-0000-0000-000000000000}";
  }
  return R"({"","a","A","a","a'\"\\ü ","nobody"})";
}

void check_aggregate(pqxx::work& work, const Declaration& declaration, AggregateIndex index,
                     const History& history) {
  const Aggregate& aggregate = declaration.aggregate(index);
  const Counts folded = history.counts(index);
  const Counts all = read_counts(work.exec(recount_all_sql(declaration, index)));
  RC_LOG() << aggregate.name.text() << "\n";
  RC_ASSERT(all == folded);

  Counts of_keys =
      read_counts(work.exec_params(recount_keys_sql(declaration, index), keys_literal(aggregate)));
  const std::vector<std::int64_t> zeros(aggregate.counters.size(), 0);
  std::size_t with_zeros = 0;
  for (const auto& [key, counts] : of_keys) {
    const auto found = folded.find(key);
    RC_ASSERT(counts == (found == folded.end() ? zeros : found->second));
    if (found == folded.end()) ++with_zeros;
  }
  // Each key that was asked for has its row, also one without any contribution.
  RC_ASSERT(with_zeros > 0);
  RC_ASSERT(of_keys.size() == with_zeros + folded.size());
}

bool fold_and_recount_agree(const std::string& folder) {
  auto loaded = load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/" + folder);
  if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&loaded)) {
    for (const DeclarationError& error : *errors) ADD_FAILURE() << error.text();
    return false;
  }
  const Declaration& declaration = std::get<Declaration>(loaded);
  pqxx::connection connection(ScratchPostgres::instance().make_database("recount"));
  {
    pqxx::work work(connection);
    for (const Table& table : declaration.tables) work.exec(table_ddl(table));
    work.commit();
  }
  const auto step = rc::gen::container<Step>(
      kStepBytes, rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, 256)));
  return rc::check("the fold and both recounts agree on " + folder, [&] {
    const auto steps = *rc::gen::container<std::vector<Step>>(step);
    History history(declaration);
    for (const Step& s : steps) history.play(s);
    history.end_batch();
    RC_ASSERT(history.suspects() == 0u);
    pqxx::work work(connection);  // rolled back: the tables are empty again for the next history
    if (!history.sql().empty()) work.exec(history.sql());
    for (std::uint32_t a = 0; a < declaration.aggregates.size(); ++a) {
      check_aggregate(work, declaration, AggregateIndex(a), history);
    }
  });
}

TEST(RecountProperty, FoldAndRecountAgreeOnTheShippedDeclarations) {
  EXPECT_TRUE(fold_and_recount_agree("schemas"));
}

TEST(RecountProperty, FoldAndRecountAgreeOnAnotherApplicationWithTextAndUuidKeys) {
  EXPECT_TRUE(fold_and_recount_agree("tests/schemas_likes"));
}

// --- The shipped declarations and the application's own tables -----------------------------------

// A database with the tables of the music network, as its own schema makes them.
std::string music_database() {
  const std::string dsn = ScratchPostgres::instance().make_database("music");
  std::ifstream file(std::string(TIDEMARK_SOURCE_DIR) + "/ops/app/schema.sql");
  const std::string sql{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_FALSE(sql.empty());
  pqxx::connection connection(dsn);
  pqxx::nontransaction(connection).exec(sql);
  return dsn;
}

// A column that is null in the database but not in the declaration would park records.
TEST(ShippedSchemas, ColumnsAreAsNullableAsTheApplicationsOwn) {
  const auto loaded = load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/schemas");
  ASSERT_TRUE(std::holds_alternative<Declaration>(loaded));
  pqxx::connection connection(music_database());
  pqxx::work work(connection);
  for (const Table& table : std::get<Declaration>(loaded).tables) {
    for (const Column& column : table.columns) {
      const pqxx::result found = work.exec_params(
          "select not attnotnull from pg_attribute where attrelid = $1::regclass and attname = $2",
          quote_name(table.name), column.name);
      ASSERT_EQ(found.size(), 1u) << table.name.text() << " has no column " << column.name;
      EXPECT_EQ(found[0][0].as<bool>(), column.nullable) << table.name.text() << "." << column.name;
    }
  }
}

// Without it, each slice of a recount would scan the whole table.
TEST(ShippedSchemas, EachKeyHasAnIndexThatBeginsWithIt) {
  const auto loaded = load_declaration(std::string(TIDEMARK_SOURCE_DIR) + "/schemas");
  ASSERT_TRUE(std::holds_alternative<Declaration>(loaded));
  pqxx::connection connection(music_database());
  pqxx::work work(connection);
  for (const Table& table : std::get<Declaration>(loaded).tables) {
    for (const Contribution& contribution : table.contributions) {
      const std::string& key = table.columns[contribution.key.value].name;
      const pqxx::result found = work.exec_params(
          "select from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0] "
          "where indrelid = $1::regclass and attname = $2 and indisvalid and indpred is null",
          quote_name(table.name), key);
      EXPECT_FALSE(found.empty()) << table.name.text() << " has no index on " << key;
    }
  }
}

}  // namespace
}  // namespace tidemark
