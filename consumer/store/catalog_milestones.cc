#include "consumer/store/catalog_milestones.h"

#include <optional>
#include <string>

#include "consumer/core/milestone.h"
#include "consumer/store/catalog_tables.h"

namespace tidemark {
namespace {

constexpr const char* kGrant = "grant it: `tidemark migrate --print-grants` prints what is needed";

// A sequence's right is asked for only when a row is inserted: by then it is too late.
constexpr const char* kSequenceSql = R"(
select c.oid is not null, coalesce(has_sequence_privilege(c.oid, 'usage'), false)
  from (select) as one left join (
       pg_class c join pg_namespace n on n.oid = c.relnamespace)
    on n.nspname = $1::text and c.relname = $2::text and c.relkind = 'S')";

class MilestoneCheck {
 public:
  MilestoneCheck(PgConnection& connection, const Aggregate& aggregate, std::size_t details,
                 std::vector<CatalogProblem>& problems)
      : connection_(connection), aggregate_(aggregate), details_(details), problems_(problems) {}

  void run() {
    const std::size_t before = problems_.size();
    PgTransaction transaction(connection_);
    const Milestones& milestones = aggregate_.milestones;
    for (const TableColumn& column : milestones.reads) check_read(transaction, column);
    for (const QualifiedName& table : milestones.inserts) check_insert(transaction, table);
    for (const QualifiedName& name : milestones.sequences) check_sequence(transaction, name);
    transaction.commit();
    if (problems_.size() == before) try_statement();  // what is missing fails it, too
  }

 private:
  void error(const QualifiedName& table, std::string column, std::string found,
             std::string expected, std::string action) {
    problems_.push_back({Severity::kError, aggregate_.file, table.text(), std::move(column),
                         std::move(found), std::move(expected), std::move(action)});
  }

  std::optional<CatalogTable> table_of(PgTransaction& transaction, const QualifiedName& name) {
    std::optional<CatalogTable> table = read_table(transaction, name);
    if (!table) {
      error(name, "", "no such table", "a table that announces milestones",
            "make the table, or correct [milestones]");
    }
    return table;
  }

  void check_read(PgTransaction& transaction, const TableColumn& read) {
    const auto table = table_of(transaction, read.table);
    if (!table) return;
    const CatalogColumn* const column = table->find(read.column);
    if (column == nullptr) {
      error(read.table, read.column, "no such column", "a column of this name",
            "correct 'reads' in [milestones], or add the column");
    } else if (!column->can_select) {
      error(read.table, read.column, "the current role may not select", "select on this column",
            kGrant);
    }
  }

  void check_insert(PgTransaction& transaction, const QualifiedName& name) {
    const auto table = table_of(transaction, name);
    if (!table) return;
    for (const CatalogColumn& column : table->columns) {
      if (column.can_insert || column.generated) continue;
      error(name, column.name, "the current role may not insert", "insert on this table", kGrant);
      return;
    }
  }

  void check_sequence(PgTransaction& transaction, const QualifiedName& name) {
    const SqlResult found = transaction.run_sql({"look for the sequence", name.text()},
                                                kSequenceSql, {name.schema, name.name});
    if (!found.boolean(0, 0)) {
      error(name, "", "no such sequence", "a sequence of this name",
            "correct 'sequences' in [milestones]");
    } else if (!found.boolean(0, 1)) {
      error(name, "", "the current role may not use it", "usage on the sequence", kGrant);
    }
  }

  // On no crossing at all.
  void try_statement() {
    try {
      PgTransaction transaction(connection_);
      transaction.run_sql({"try what announces milestones of", aggregate_.name.text()},
                          aggregate_.milestones.sql,
                          SqlParams(3 + details_, "{}"));  // keys, names, thresholds, details
    } catch (const WorldError& failure) {
      if (connection_.broken()) throw;
      error(aggregate_.name, "milestones", std::string("a statement that fails: ") + failure.what(),
            "one that takes keys, names, thresholds and the details", "correct the statement");
    }
  }

  PgConnection& connection_;
  const Aggregate& aggregate_;
  std::size_t details_;
  std::vector<CatalogProblem>& problems_;
};

}  // namespace

void check_milestones(PgConnection& connection, const Declaration& declaration,
                      AggregateIndex index, std::vector<CatalogProblem>& problems) {
  const Aggregate& aggregate = declaration.aggregate(index);
  if (aggregate.milestones.counters.empty()) return;
  MilestoneCheck(connection, aggregate, detail_types(declaration, index).size(), problems).run();
}

}  // namespace tidemark
