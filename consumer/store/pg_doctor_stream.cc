// The way of a change from its table into Debezium's hands.
#include <fmt/format.h>

#include <chrono>
#include <string>
#include <thread>

#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/pg_doctor_checks.h"

namespace tidemark {
namespace {

constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kGiB = std::int64_t{1} << 30;
// Without a limit the disk is the limit: so much of it for one slot is worth a look.
constexpr std::int64_t kRetainedMax = 10 * kGiB;
// A slot that is followed is never so far behind that this is not confirmed within the patience.
constexpr std::int64_t kUnconfirmedMax = 16 * kMiB;

// Each watched table and, when it is partitioned, each of its leaves: what Debezium sees.
constexpr const char* kLeaves = R"(
with leaves as (
  select w.name, t.oid as root, t.oid as leaf from unnest($1::text[]) as w(name)
    join pg_class as t on t.oid = to_regclass(w.name) and t.relkind = 'r'
  union all
  select w.name, t.oid, p.relid from unnest($1::text[]) as w(name)
    join pg_class as t on t.oid = to_regclass(w.name) and t.relkind = 'p'
   cross join lateral pg_partition_tree(t.oid) as p where p.isleaf
))";

constexpr const char* kIdentitySql = R"(
select l.leaf::regclass::text from leaves as l join pg_class as c on c.oid = l.leaf
 where c.relreplident <> 'f' order by 1)";

// What each leaf is published with, by all publications together; what a server older than 15
// doesn't have is null. $2, $3: tables and columns that are read.
constexpr const char* kPublicationSql = R"(, published as (
  select format('%I.%I', t.schemaname, t.tablename)::regclass as published, p.pubname,
         p.pubtruncate, p.pubinsert and p.pubupdate and p.pubdelete as whole,
         to_jsonb(t) ->> 'rowfilter' as filter,
         nullif(to_jsonb(t) -> 'attnames', 'null') as columns
    from pg_publication_tables as t join pg_publication as p on p.pubname = t.pubname
), read as (
  select * from unnest($2::text[], $3::text[]) as r(name, "column")
)
select l.leaf::regclass::text as name, count(p.pubname) > 0, coalesce(bool_or(p.whole), false),
       coalesce(bool_or(p.pubtruncate), false), coalesce(bool_or(p.filter is null), false),
       (select string_agg(r."column", ', ' order by r."column") from read as r
         where r.name = l.name
           and exists (select from published as q where q.published in (l.leaf, l.root))
           and not exists (select from published as q
                            where q.published in (l.leaf, l.root)
                              and (q.columns is null or q.columns ? r."column"))),
       min(p.pubname)
  from leaves as l left join published as p on p.published in (l.leaf, l.root)
 group by l.name, l.leaf, l.root order by 1)";

constexpr const char* kSlotSql = R"(
select plugin, coalesce(database, ''), current_database(), active, coalesce(wal_status, ''),
       safe_wal_size, pg_wal_lsn_diff(here.lsn, confirmed_flush_lsn)::bigint,
       pg_wal_lsn_diff(here.lsn, restart_lsn)::bigint, confirmed_flush_lsn::text,
       (select setting::bigint from pg_settings where name = 'max_slot_wal_keep_size')
  from pg_replication_slots,
       (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                    else pg_current_wal_lsn() end as lsn) as here
 where slot_name = $1::text)";

enum SlotColumn : std::size_t {
  kPlugin,
  kDatabase,
  kHere,
  kActive,
  kWalStatus,
  kSafe,
  kUnconfirmed,
  kRetained,
  kConfirmed,
  kKeepMiB,
};

std::string size_text(std::int64_t bytes) {
  if (bytes >= kGiB) {
    return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / static_cast<double>(kGiB));
  }
  return fmt::format("{} MiB", bytes / kMiB);
}

SqlResult read_slot(const DoctorCase& in) {
  return ask(in, "read the replication slot", kSlotSql, {in.options.slot});
}

// What the slot holds back, against what it may.
Findings look_at_retained(const DoctorCase& in, const SqlResult& slot) {
  const std::int64_t retained = slot.integer(0, kRetained);
  const std::int64_t keep_mib = slot.integer(0, kKeepMiB);
  const bool limited = keep_mib >= 0;
  if (retained <= (limited ? keep_mib * kMiB / 2 : kRetainedMax)) return {};
  const std::string limit = limited ? "of max_slot_wal_keep_size = " + size_text(keep_mib * kMiB)
                                    : "and there is no max_slot_wal_keep_size";
  return {warning_found(
      fmt::format("slot {} holds back {} of the log, {}", in.options.slot, size_text(retained),
                  limit),
      limited ? "past it the server drops the log, the slot is lost, and Debezium needs a snapshot"
              : "the log grows until the disk is full, and then the whole database stops",
      "see that the connector runs and follows (its status in Kafka Connect), or that no "
      "transaction stands open (select * from pg_stat_activity order by xact_start)")};
}

}  // namespace

Findings look_at_replica_identity(const DoctorCase& in) {
  const SqlResult rows = ask(in, "read replica identities", std::string(kLeaves) + kIdentitySql,
                             {watched_names(in.declaration)});
  Findings findings;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const std::string table(rows.text(row, 0));
    findings.push_back(error_found(
        table + ": replica identity is not full",
        "its updates and deletes don't carry the old row: each one makes cells suspect and is "
        "recounted instead of counted",
        "psql -c \"alter table " + table + " replica identity full\""));
  }
  return findings;
}

Findings look_at_publication(const DoctorCase& in) {
  ArrayLiteral tables;
  ArrayLiteral columns;
  for (const Table& table : in.declaration.tables) {
    for (const Column& column : table.columns) {
      tables.add(quote_name(table.name));
      columns.add(column.name);
    }
  }
  const SqlResult rows = ask(in, "read the publications", std::string(kLeaves) + kPublicationSql,
                             {watched_names(in.declaration), tables.take(), columns.take()});
  Findings findings;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const std::string table(rows.text(row, 0));
    const std::string name(rows.is_null(row, 6) ? "NAME" : rows.text(row, 6));
    const std::string set_add = "psql -c \"alter publication " + name + " ";
    if (!rows.boolean(row, 1)) {
      findings.push_back(error_found(table + " is in no publication",
                                     "none of its changes arrives: its counts stand still until "
                                     "the next pass",
                                     "psql -c \"alter publication NAME add table " + table +
                                         "\", NAME as the connector's publication.name"));
      continue;
    }
    if (!rows.boolean(row, 2)) {
      findings.push_back(error_found(table + " is published without insert, update or delete",
                                     "what isn't published is not counted until the next pass",
                                     set_add + "set (publish = 'insert, update, delete, truncate')"
                                               "\""));
    }
    if (!rows.boolean(row, 3)) {
      findings.push_back(warning_found(
          table + " is published without truncate",
          "a truncate goes unnoticed: its counts stay as they were until the next pass",
          set_add + "set (publish = 'insert, update, delete, truncate')\""));
    }
    if (!rows.boolean(row, 4)) {
      findings.push_back(error_found(table + " is published with a row filter",
                                     "rows that it leaves out are not counted, and a row that "
                                     "moves in or out comes as an insert or a delete",
                                     set_add + "set table " + table + "\", without WHERE"));
    }
    if (!rows.is_null(row, 5)) {
      findings.push_back(
          error_found(fmt::format("{} is published without columns that are read: {}", table,
                                  rows.text(row, 5)),
                      "each of its changes is parked, as a column is missing",
                      set_add + "set table " + table + "\", without a column list"));
    }
  }
  return findings;
}

Findings look_at_slot(const DoctorCase& in) {
  if (!in.options.recounted) return {};
  const std::string& name = in.options.slot;
  const SqlResult slot = read_slot(in);
  if (slot.rows() == 0) {
    return {error_found("there is no replication slot " + name,
                        "Debezium doesn't stream from this database, or under another name: no "
                        "change arrives, and no fence is ever dropped",
                        "[recount] slot must be the connector's slot.name; psql -c \"select * from "
                        "pg_replication_slots\" lists what is there")};
  }
  Findings findings;
  if (slot.text(0, kDatabase) != slot.text(0, kHere)) {
    findings.push_back(
        error_found(fmt::format("slot {} is of database '{}', not of '{}'", name,
                                slot.text(0, kDatabase), slot.text(0, kHere)),
                    "its positions say nothing of the tables that are counted",
                    "[recount] slot must be the slot.name of this database's connector"));
  }
  if (slot.text(0, kPlugin) != "pgoutput") {
    findings.push_back(
        warning_found(fmt::format("slot {} uses plugin {}", name, slot.text(0, kPlugin)),
                      "events are only known to be as Tidemark reads them with pgoutput",
                      "plugin.name=pgoutput in the connector, with a new slot"));
  }
  if (slot.text(0, kWalStatus) == "lost") {
    findings.push_back(error_found(
        "slot " + name + " is lost: the server has dropped the log that it needs",
        "the changes between are never streamed, and Debezium can't go on",
        fmt::format("psql -c \"select pg_drop_replication_slot('{}')\", then restart the connector "
                    "with a snapshot; `tidemark recount --full` makes the counts right",
                    name)));
    return findings;
  }
  if (!slot.boolean(0, kActive)) {
    findings.push_back(error_found(
        fmt::format("slot {} is not active: nobody streams, {} behind", name,
                    size_text(slot.integer(0, kUnconfirmed))),
        "no change arrives, and the server keeps the log for it",
        "start the connector: curl -X POST CONNECT/connectors/NAME/restart?includeTasks=true; its "
        "status says why it ended"));
  }
  for (Finding& finding : look_at_retained(in, slot)) findings.push_back(std::move(finding));
  return findings;
}

Findings look_at_heartbeats(const DoctorCase& in) {
  if (!in.options.recounted) return {};
  const SqlResult before = read_slot(in);
  if (before.rows() == 0 || !before.boolean(0, kActive)) return {};  // said by the slot
  if (before.integer(0, kUnconfirmed) <= kUnconfirmedMax) return {};
  std::this_thread::sleep_for(in.options.confirm_patience);
  const SqlResult after = read_slot(in);
  if (after.rows() == 0 || after.text(0, kConfirmed) != before.text(0, kConfirmed)) return {};
  return {error_found(
      fmt::format("slot {} is followed, and stands still {} behind the log's end", in.options.slot,
                  size_text(after.integer(0, kUnconfirmed))),
      "fences wait for the slot and are never dropped, and the log piles up: nothing that is "
      "watched is written, and no heartbeat moves it on; or lsn.flush.mode keeps it",
      "heartbeat.interval.ms=10000 and heartbeat.action.query=\"select "
      "pg_logical_emit_message(false, 'heartbeat', now()::varchar)\" in the connector; leave its "
      "lsn.flush.mode at connector")};
}

}  // namespace tidemark
