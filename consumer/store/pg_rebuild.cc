#include "consumer/store/pg_rebuild.h"

#include <algorithm>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/apply_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/fence_table.h"
#include "consumer/store/progress_table.h"

namespace tidemark {
namespace {

constexpr const char* kBeginSql = R"(
insert into tidemark.rebuilds as p (topic, partition, next_offset, owner, epoch, into_schema,
                                    end_offset)
select b.topic, b.partition, -1, 'rebuild', 1, $4::text, b.end_offset
  from unnest($1::text[], $2::integer[], $3::bigint[]) as b(topic, partition, end_offset)
on conflict (topic, partition) do update set epoch = p.epoch + 1, updated_at = now()
returning )";

bool is_there(PgTransaction& transaction, const QualifiedName& table) {
  return !transaction
              .run_sql({"look for", table.text()}, "select to_regclass($1::text)",
                       {quote_name(table)})
              .is_null(0, 0);
}

std::string upsert_name(std::uint32_t aggregate) { return "rebuild_" + std::to_string(aggregate); }

}  // namespace

Declaration rebuilt_declaration(PgConnection& connection, const Declaration& declaration,
                                const std::string& schema) {
  PgTransaction transaction(connection);
  Declaration rebuilt = declaration;
  for (Aggregate& aggregate : rebuilt.aggregates) {
    if (aggregate.name.schema == schema) {
      throw WorldError(ErrorKind::kConfig, "schema '" + schema + "' holds the live table " +
                                               aggregate.name.text() + ": name another");
    }
    aggregate.name.schema = schema;
    aggregate.recounted.clear();
    aggregate.milestones = {};
    std::erase_if(aggregate.lookups, [&](const Lookup& lookup) {
      return !is_there(transaction, declaration.table(lookup.table).name);
    });
  }
  for (Table& table : rebuilt.tables) {
    for (Contribution& contribution : table.contributions) contribution.details.clear();
  }
  transaction.commit();
  return rebuilt;
}

PgRebuild::PgRebuild(const Declaration& live, PgOptions pg, std::string group_id,
                     std::string schema)
    : claim_{std::move(group_id), declaration_hash(live)},
      schema_(std::move(schema)),
      session_(std::move(pg), [this](PgConnection& connection) { prepare(connection); }) {
  PgConnection connection(session_.options());
  declaration_ = rebuilt_declaration(connection, live, schema_);
  PgTransaction transaction(connection);
  check_state(transaction, claim_);
  transaction.run_sql({"make the schema", schema_},
                      "create schema if not exists " + quote_identifier(schema_));
  for (std::size_t i = 0; i < live.aggregates.size(); ++i) {
    const QualifiedName& name = declaration_.aggregates[i].name;
    transaction.run_sql({"make the table", name.text()},
                        "create table if not exists " + quote_name(name) + " (like " +
                            quote_name(live.aggregates[i].name) + " including all)");
  }
  transaction.commit();
}

void PgRebuild::prepare(PgConnection& connection) {
  connection.prepare({"begin_rebuild", "tidemark.rebuilds"},
                     std::string(kBeginSql) + kClaimedColumns + ", p.end_offset, p.into_schema");
  connection.prepare({"read_seen", "tidemark.rebuilds"}, seen_sql("tidemark.rebuilds"));
  connection.prepare({"advance_rebuild", "tidemark.rebuilds"}, advance_sql("tidemark.rebuilds"));
  for (std::uint32_t i = 0; i < declaration_.aggregates.size(); ++i) {
    connection.prepare({upsert_name(i), declaration_.aggregates[i].name.text()},
                       upsert_sql(declaration_, AggregateIndex(i)).adding);
  }
}

std::vector<RebuildPart> PgRebuild::begin(std::span<const RebuildPart> parts) {
  ArrayLiteral topics;
  ArrayLiteral partitions;
  ArrayLiteral ends;
  for (const RebuildPart& part : parts) {
    topics.add(part.at.where.topic);
    partitions.add(part.at.where.partition.value);
    ends.add(part.end.value);
  }
  const std::string all_topics = topics.take();
  const std::string all_partitions = partitions.take();
  PgTransaction transaction(session_.get());
  check_state(transaction, claim_);
  const bool unfinished = transaction
                              .run_sql({"look for an unfinished rebuild", "tidemark.rebuilds"},
                                       "select exists (select from tidemark.rebuilds)")
                              .boolean(0, 0);
  for (const Aggregate& aggregate : declaration_.aggregates) {
    const SqlResult any =
        transaction.run_sql({"look for rows", aggregate.name.text()},
                            "select exists (select from " + quote_name(aggregate.name) + ")");
    if (unfinished || !any.boolean(0, 0)) continue;
    throw WorldError(ErrorKind::kConfig, aggregate.name.text() +
                                             " is not empty, and no rebuild into it is "
                                             "unfinished: --restart empties what is there");
  }
  const SqlResult rows =
      transaction.run("begin_rebuild", {all_topics, all_partitions, ends.take(), schema_});
  std::vector<Claimed> claimed;
  std::vector<Offset> stored_ends;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    claimed.push_back(read_claimed(rows, row));
    TIDEMARK_CHECK(claimed.back().where == parts[row].at.where);  // identities below go by place
    stored_ends.emplace_back(rows.integer(row, kClaimedCount));
    if (rows.text(row, kClaimedCount + 1) != schema_) {
      throw WorldError(ErrorKind::kConfig,
                       "a rebuild into schema '" + std::string(rows.text(row, kClaimedCount + 1)) +
                           "' has not ended: go on with it, or drop it by --restart");
    }
  }
  read_seen(transaction, all_topics, all_partitions, claimed);
  transaction.commit();
  std::vector<RebuildPart> stored;
  for (std::size_t i = 0; i < claimed.size(); ++i) {
    Claimed& one = claimed[i];
    stored.push_back({{one.where, one.epoch, one.next, std::move(one.mark), {}}, stored_ends[i]});
  }
  return stored;
}

void PgRebuild::restart() {
  PgTransaction transaction(session_.get());
  transaction.run_sql({"forget the rebuild", "tidemark.rebuilds"}, "delete from tidemark.rebuilds");
  for (const Aggregate& aggregate : declaration_.aggregates) {
    transaction.run_sql({"empty", aggregate.name.text()}, "truncate " + quote_name(aggregate.name));
  }
  transaction.commit();
}

void PgRebuild::store(const Delta& delta) {
  PgTransaction transaction(session_.get());
  const SqlResult advanced = transaction.run("advance_rebuild", advance_params(delta.advances));
  if (advanced.affected() != delta.advances.size()) {
    transaction.roll_back();
    throw WorldError(ErrorKind::kFatal,
                     "rebuild: another one has gone on, was started anew or has ended meanwhile: "
                     "let one of them run");
  }
  for (std::uint32_t i = 0; i < delta.aggregates.size(); ++i) {
    if (delta.aggregates[i].rows() == 0) continue;
    transaction.run(upsert_name(i), upsert_params(delta.aggregates[i]));
  }
  transaction.commit();
}

void PgRebuild::finish() {
  PgTransaction transaction(session_.get());
  transaction.run_sql({"forget the rebuild", "tidemark.rebuilds"}, "delete from tidemark.rebuilds");
  transaction.commit();
}

std::size_t rebuild_in_place(PgConnection& connection, const Declaration& declaration,
                             const StateClaim& claim) {
  PgTransaction transaction(connection);
  check_state(transaction, claim);
  // The order of a batch: progress, the turn, the aggregates by name (rule P2).
  transaction.run_sql({"go back to the beginning", "tidemark.progress"},
                      "update tidemark.progress set next_offset = -1, mark_commit = null,"
                      " mark_lsn = null, seen_at_mark = '{}', fingerprint_offset = null,"
                      " fingerprint_timestamp = null, fingerprint_key = null,"
                      " fingerprint_value = null, epoch = epoch + 1, touch_below = 0, touch_until "
                      "= 0, data_loss_at = null,"
                      " data_loss_reason = null, updated_at = now()");
  transaction.run_sql({"take the turn", ""},
                      "select pg_advisory_xact_lock(" + std::to_string(kTurnLock) + ")");
  std::size_t rows = 0;
  for (const Aggregate& aggregate : declaration.aggregates) {
    std::string sets;
    std::string test;
    for (const Counter& counter : aggregate.counters) {
      const std::string column = quote_identifier(counter.name);
      sets += (sets.empty() ? "" : ", ") + column + " = 0";
      test += (test.empty() ? "" : " or ") + column + " <> 0";
    }
    rows += transaction
                .run_sql({"zero the counters of", aggregate.name.text()},
                         "update " + quote_name(aggregate.name) + " set " + sets + " where " + test)
                .affected();
  }
  for (const char* table :
       {"suspects", "suspect_ranges", "unannounced", "ledger", "fences", "parked"}) {
    transaction.run_sql({"forget", table}, std::string("delete from tidemark.") + table);
  }
  transaction.run_sql({"set a new version", "tidemark.turn"},
                      "update tidemark.turn set version = $1::bigint", {new_turn_version()});
  transaction.commit();
  return rows;
}

}  // namespace tidemark
