#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "consumer/core/check.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_recount.h"
#include "consumer/store/pg_store.h"
#include "tests/cases/case_worlds.h"
#include "tests/support/scratch_postgres.h"

namespace tidemark::testing {
namespace {

using nlohmann::json;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The tables of an application of which only the declaration is known.
std::string schema_of(const Declaration& declaration) {
  std::string sql;
  const auto create = [&](const QualifiedName& name, const std::vector<std::string>& columns) {
    sql += fmt::format("create schema if not exists {}; create table {} ({});",
                       quote_identifier(name.schema), quote_name(name), fmt::join(columns, ", "));
  };
  const auto column = [](const std::string& name, ColumnType type) {
    const bool is_enum = type == ColumnType::kEnum;
    return quote_identifier(name) + " " + (is_enum ? "text" : std::string(type_name(type)));
  };
  for (const Table& table : declaration.tables) {
    std::vector<std::string> columns;
    for (const Column& c : table.columns) columns.push_back(column(c.name, c.type));
    create(table.name, columns);
  }
  for (const Aggregate& aggregate : declaration.aggregates) {
    std::vector<std::string> columns{column(aggregate.key, aggregate.key_type) + " primary key"};
    for (const Counter& counter : aggregate.counters) {
      columns.push_back(quote_identifier(counter.name) + " bigint default 0");
    }
    for (const Lookup& lookup : aggregate.lookups) {
      const Column& looked_up = declaration.table(lookup.table).columns[lookup.value.value];
      columns.push_back(column(lookup.column, looked_up.type));
    }
    create(aggregate.name, columns);
  }
  return sql;
}

class PostgresWorld final : public CaseWorld {
 public:
  PostgresWorld(const Declaration& declaration, const PgOptions& options, const std::string& schema)
      : superuser_(options), declaration_(declaration), recount_options_{options, "no_such_slot"} {
    superuser_.run_alone("make the tables", "set search_path = public; " + schema);
    migrate({.pg = options, .group_id = "cases", .run_role = ""}, declaration);
    store_ = std::make_unique<PgStore>(
        declaration,
        PgStoreOptions{.pg = options, .group_id = "cases", .owner = "case", .recounted = false});
  }

  Store& store() override { return *store_; }

  json row(const Aggregate& aggregate, const std::string& key) override {
    const json rows = query(fmt::format("select to_json(t) from {} t where t.{}::text = {}",
                                        quote_name(aggregate.name), quote_identifier(aggregate.key),
                                        quote_literal(key)));
    return rows.empty() ? json(nullptr) : rows[0];
  }
  json suspects() override {
    return object(
        "select split_part(aggregate, '.', 2) || '.' || counter || '[' || key || ']', cause"
        " from tidemark.suspects");
  }
  json ranges() override {
    return object(
        "select split_part(aggregate, '.', 2) || '.' || counter, cause from"
        " tidemark.suspect_ranges");
  }
  json parked() override {
    return object(
        "select topic || '[' || partition || ']@' || \"offset\", code from"
        " tidemark.parked");
  }
  json progress() override {
    return object("select topic || '[' || partition || ']', next_offset from tidemark.progress");
  }
  json milestones() override {
    if (!query("select to_json(to_regclass('public.milestones') is not null)")[0].get<bool>())
      return nullptr;
    return object(
        "select m.name || '[' || m.id || '] ' || m.threshold,"
        " json_build_array(m.blocknumber, m.slot, m.\"timestamp\", n.user_ids)"
        " from public.milestones as m left join public.notification as n on n.group_id ="
        " 'milestone:' || m.name || ':id:' || m.id || ':threshold:' || m.threshold");
  }
  void recount(AggregateIndex aggregate, const std::vector<std::string>& keys) override {
    if (!recount_) recount_ = std::make_unique<PgRecount>(declaration_, recount_options_);
    const SliceResult slice =
        recount_->recount(aggregate, KeySet{.listed = keys}, std::chrono::seconds(2), nullptr);
    TIDEMARK_CHECK(slice.taken);
  }
  void add_source_row(const QualifiedName& table, const json& row) override {
    superuser_.run_alone(
        "add a row",
        fmt::format("insert into {0} select * from json_populate_record(null::{0}, {1})",
                    quote_name(table), quote_literal(row.dump())));
  }

 private:
  // An array with each row's one column.
  json query(const std::string& sql) {
    const SqlResult result = superuser_.run_alone("look", sql);
    json out = json::array();
    for (std::size_t i = 0; i < result.rows(); ++i) out.push_back(json::parse(result.text(i, 0)));
    return out;
  }
  // The rows' first column to their second.
  json object(const std::string& sql) {
    return query("select coalesce(json_object_agg(q.k, q.v), '{}') from (" + sql + ") q(k, v)")[0];
  }

  PgConnection superuser_;
  const Declaration& declaration_;
  PgRecountOptions recount_options_;
  std::unique_ptr<PgStore> store_;
  std::unique_ptr<PgRecount> recount_;  // made by the first recount
};

}  // namespace

std::unique_ptr<CaseWorld> postgres_world(const Declaration& declaration,
                                          const std::optional<std::filesystem::path>& schema) {
  PgOptions options;
  options.connection = ScratchPostgres::instance().make_database("case");
  return std::make_unique<PostgresWorld>(declaration, options,
                                         schema ? text_of(*schema) : schema_of(declaration));
}

}  // namespace tidemark::testing
