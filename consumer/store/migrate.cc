#include "consumer/store/migrate.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/fence_table.h"
#include "consumer/store/grants.h"
#include "consumer/store/rule_setup.h"
#include "consumer/store/state.h"

namespace tidemark {
namespace {

constexpr std::string_view kNoTransaction = "-- tidemark: no-transaction";
// A migration may wait for a long transaction of the application, and build an index.
constexpr std::chrono::minutes kStatementMax{60};
// How long a second run waits for the first, and DDL for the members' transactions.
constexpr std::chrono::seconds kLockWaitMax{30};

// The migration that makes the rules' tables; tests apply fewer.
constexpr std::size_t kRulesSince = 6;

using Definitions = std::map<std::pair<std::string, std::string>, std::int64_t>;

[[noreturn]] void refuse(const std::string& why) { throw WorldError(ErrorKind::kConfig, why); }

std::int64_t hash_of(std::string_view text) {
  return std::bit_cast<std::int64_t>(
      static_cast<std::uint64_t>(XXH3_64bits(text.data(), text.size())));
}

bool without_transaction(std::string_view sql) {
  return sql.starts_with(kNoTransaction) ||
         sql.find("\n" + std::string(kNoTransaction)) != sql.npos;
}

PgOptions for_migrating(PgOptions options) {
  options.synchronous_commit = true;
  options.application_name = "tidemark migrate";
  options.lock_timeout = kLockWaitMax;
  options.statement_timeout = kStatementMax;
  // Never idle in a transaction for long; but an operator may run it under a debugger.
  options.idle_in_transaction_timeout = kStatementMax;
  return options;
}

// --- migrations ---------------------------------------------------------------------------------

// Checks what was applied before, and gives the last version; 0 when there is nothing.
int check_applied(PgConnection& connection, std::span<const Migration> migrations) {
  PgTransaction transaction(connection);
  const StatementName statement{"read the migrations", "tidemark.migrations"};
  if (!transaction.run_sql(statement, "select to_regclass('tidemark.migrations') is not null")
           .boolean(0, 0)) {
    return 0;
  }
  const SqlResult rows = transaction.run_sql(
      statement, "select version, checksum from tidemark.migrations order by version");
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const std::int64_t version = rows.integer(row, 0);
    if (version > std::ssize(migrations)) {
      refuse("migrate: the state schema is at version " +
             std::to_string(rows.integer(rows.rows() - 1, 0)) + ", this binary knows " +
             std::to_string(migrations.size()) + ": start a newer binary");
    }
    const Migration& known = migrations[static_cast<std::size_t>(version - 1)];
    if (rows.integer(row, 1) != hash_of(known.sql)) {
      refuse("migrate: " + std::string(known.name) +
             " was applied with another text: restore the file, and add a new migration instead");
    }
  }
  transaction.commit();
  return static_cast<int>(rows.rows());
}

void record_migration(PgTransaction& transaction, const Migration& migration) {
  transaction.run_sql({"record the migration", "tidemark.migrations"},
                      "insert into tidemark.migrations (version, name, checksum)"
                      " values ($1::integer, $2::text, $3::bigint)",
                      {std::to_string(migration.version), std::string(migration.name),
                       std::to_string(hash_of(migration.sql))});
  transaction.run_sql({"record the version", "tidemark.state"},
                      "update tidemark.state set schema_version = $1::integer",
                      {std::to_string(migration.version)});
}

void apply_migration(PgConnection& connection, const Migration& migration) {
  const std::string name(migration.name);
  const bool alone = without_transaction(migration.sql);
  if (alone) connection.run_alone(name, std::string(migration.sql));
  PgTransaction transaction(connection);
  if (!alone) transaction.run_sql({name, ""}, std::string(migration.sql));
  record_migration(transaction, migration);
  transaction.commit();
}

// --- binding ------------------------------------------------------------------------------------

// What decides a counter's value: each contribution, as text. Of recounted columns the statement.
Definitions definitions_of(const Declaration& declaration) {
  std::map<std::pair<std::string, std::string>, std::string> texts;
  for (const Aggregate& aggregate : declaration.aggregates) {
    for (const Counter& counter : aggregate.counters) texts[{aggregate.name.text(), counter.name}];
    for (const RecountedColumns& group : aggregate.recounted) {
      std::string& text = texts[{aggregate.name.text(), group.name}];
      for (const std::string& column : group.columns) text += quote_identifier(column) + "|";
      for (const auto& [table, key] : group.from) {
        const Table& source = declaration.table(table);
        text += quote_name(source.name) + "|" + quote_identifier(source.columns[key.value].name);
      }
      text += "\n" + group.sql;
    }
  }
  for (const Table& table : declaration.tables) {
    for (const Contribution& contribution : table.contributions) {
      const Aggregate& aggregate = declaration.aggregate(contribution.aggregate);
      const Counter& counter = aggregate.counters[contribution.counter.value];
      texts[{aggregate.name.text(), counter.name}] +=
          quote_name(table.name) + "|" +
          quote_identifier(table.columns[contribution.key.value].name) + "|" +
          predicate_sql(table, table.active, "r") + "|" +
          predicate_sql(table, contribution.when, "r") + "\n";
    }
  }
  Definitions definitions;
  for (const auto& [name, text] : texts) definitions[name] = hash_of(text);
  return definitions;
}

SqlParams definition_params(const Definitions& definitions) {
  ArrayLiteral aggregates;
  ArrayLiteral counters;
  ArrayLiteral hashes;
  for (const auto& [name, hash] : definitions) {
    aggregates.add(name.first);
    counters.add(name.second);
    hashes.add(hash);
  }
  return {aggregates.take(), counters.take(), hashes.take()};
}

// Stores the counters of the declaration and gives those that are new or defined otherwise.
SqlResult store_counters(PgTransaction& transaction, const SqlParams& definitions) {
  transaction.run_sql({"forget counters that are no longer declared", "tidemark.counters"},
                      "delete from tidemark.counters c where not exists (select from"
                      " unnest($1::text[], $2::text[]) as b(aggregate, counter)"
                      " where b.aggregate = c.aggregate and b.counter = c.counter)",
                      {definitions[0], definitions[1]});
  return transaction.run_sql(
      {"store the counters", "tidemark.counters"},
      "insert into tidemark.counters as c (aggregate, counter, definition)"
      " select * from unnest($1::text[], $2::text[], $3::bigint[])"
      " on conflict (aggregate, counter) do update set definition = excluded.definition,"
      " since = now() where c.definition <> excluded.definition returning aggregate, counter",
      definitions);
}

void suspect_new_counters(PgTransaction& transaction, const SqlResult& fresh,
                          MigrateResult& result) {
  ArrayLiteral aggregates;
  ArrayLiteral counters;
  for (std::size_t row = 0; row < fresh.rows(); ++row) {
    aggregates.add(fresh.text(row, 0));
    counters.add(fresh.text(row, 1));
    result.new_counters.push_back(std::string(fresh.text(row, 0)) + "." +
                                  std::string(fresh.text(row, 1)));
  }
  std::ranges::sort(result.new_counters);
  transaction.run_sql(
      {"make new counters suspect", "tidemark.suspect_ranges"},
      "with added as ("
      " insert into tidemark.suspect_ranges (aggregate, counter, cause)"
      " select b.aggregate, b.counter, $3::text from"
      " unnest($1::text[], $2::text[]) as b(aggregate, counter)"
      // A pass that is going on counted what lies behind it by the old definition.
      " on conflict (aggregate, counter) do update set pass = null)"
      " update tidemark.ledger l set suspect = true"
      " from unnest($1::text[], $2::text[]) as b(aggregate, counter)"
      " where l.aggregate = b.aggregate and l.counter = b.counter",
      {aggregates.take(), counters.take(), std::string(cause_name(SuspectCause::kNewCounter))});
}

// The members that run go by the old declaration: their next apply is fenced, their next claim
// refused. No slice of theirs commits after us: it would take what we make suspect off the list.
void change_declaration(PgTransaction& transaction, const std::string& hash) {
  transaction.run_sql({"store the declaration", "tidemark.state"},
                      "update tidemark.state set declaration_hash = $1::text", {hash});
  transaction.run_sql({"fence all members", "tidemark.progress"},
                      "with locked as materialized (select topic, partition from tidemark.progress"
                      " order by topic, partition for update)"
                      " update tidemark.progress p set epoch = p.epoch + 1, updated_at = now()"
                      " from locked l where l.topic = p.topic and l.partition = p.partition");
  transaction.run_sql({"wait for the turn", ""},
                      "select pg_advisory_xact_lock(" + std::to_string(kTurnLock) + ")");
}

void bind_state(PgTransaction& transaction, const MigrateOptions& options, const std::string& hash,
                const SqlParams& definitions, int version, MigrateResult& result) {
  const SqlResult state =
      transaction.run_sql({"read the state", "tidemark.state"},
                          "select group_id, declaration_hash from tidemark.state for update");
  if (state.rows() == 0) {
    transaction.run_sql({"set up the state", "tidemark.state"},
                        "insert into tidemark.state (schema_version, group_id, declaration_hash)"
                        " values ($1::integer, $2::text, $3::text)",
                        {std::to_string(version), options.group_id, hash});
    store_counters(transaction, definitions);
    return;
  }
  if (state.text(0, 0) != options.group_id) {
    refuse("migrate: the state belongs to group '" + std::string(state.text(0, 0)) + "', not '" +
           options.group_id + "': one group counts into one database");
  }
  if (state.text(0, 1) == hash) return;
  result.declaration_changed = true;
  change_declaration(transaction, hash);
  suspect_new_counters(transaction, store_counters(transaction, definitions), result);
}

void grant_rights(PgTransaction& transaction, const std::string& role) {
  if (role.empty()) return;
  const SqlResult there =
      transaction.run_sql({"look for the role", role},
                          "select exists (select from pg_roles where rolname = $1::text)", {role});
  if (!there.boolean(0, 0)) {
    refuse("migrate: role '" + role +
           "' doesn't exist: make it (sql/roles.sql does) or name another");
  }
  transaction.run_sql({"grant rights on schema tidemark", role}, state_grants_sql(role));
}

}  // namespace

MigrateResult migrate(const MigrateOptions& options, const Declaration& declaration) {
  return migrate(options, declaration, embedded_migrations());
}

MigrateResult migrate(const MigrateOptions& options, const Declaration& declaration,
                      std::span<const Migration> migrations) {
  TIDEMARK_CHECK(!migrations.empty());
  for (std::size_t i = 0; i < migrations.size(); ++i) {
    TIDEMARK_CHECK(migrations[i].version == static_cast<int>(i) + 1);
  }
  MigrateResult result;
  PgConnection connection(for_migrating(options.pg));
  // Held by the session: let go when the connection ends, whatever happens.
  connection.run_alone("wait for other migrations",
                       "select pg_advisory_lock(" + std::to_string(kStateLock) + ")");
  const auto applied = static_cast<std::size_t>(check_applied(connection, migrations));
  for (const Migration& migration : migrations.subspan(applied)) {
    apply_migration(connection, migration);
    result.applied.emplace_back(migration.name);
  }
  PgTransaction transaction(connection);
  bind_state(transaction, options, declaration_hash(declaration),
             definition_params(definitions_of(declaration)), static_cast<int>(migrations.size()),
             result);
  if (migrations.size() >= kRulesSince) result.swept = bind_rules(transaction, declaration);
  grant_rights(transaction, options.run_role);
  transaction.commit();
  return result;
}

}  // namespace tidemark
