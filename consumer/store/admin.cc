#include "consumer/store/admin.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/parked_rows.h"
#include "consumer/store/state.h"

namespace tidemark {
namespace {

constexpr const char* kProgressSql = R"(
select p.topic, p.partition, p.next_offset, p.epoch, p.owner, p.mark_commit, p.mark_lsn,
       to_char(p.data_loss_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), p.data_loss_reason,
       to_char(p.updated_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       (select count(*) from tidemark.parked k
         where k.topic = p.topic and k.partition = p.partition)
  from tidemark.progress p order by p.topic, p.partition)";

constexpr const char* kResetSql = R"(
with locked as materialized (
  select topic, partition from tidemark.progress
   where topic = $1::text and ($2::integer is null or partition = $2::integer)
   order by topic, partition for update
)
update tidemark.progress p
   set next_offset = $3::bigint, epoch = p.epoch + 1, fingerprint_offset = null,
       fingerprint_timestamp = null, fingerprint_key = null, fingerprint_value = null,
       data_loss_at = null, data_loss_reason = null, updated_at = now()
  from locked l where l.topic = p.topic and l.partition = p.partition)";

constexpr const char* kListedParkedSql = R"(
 where $1::text is null or topic = $1::text
 order by topic, partition, "offset" limit $2::bigint)";

constexpr const char* kShownParkedSql = R"(
 where topic = $1::text and partition = $2::integer and "offset" = $3::bigint)";

constexpr const char* kEstimateSql = R"(
select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint
  from unnest($1::text[]) as a(name) join pg_class as c on c.oid = to_regclass(a.name))";

constexpr const char* kCountsSql = R"(
select (select count(*) from tidemark.suspects), (select count(*) from tidemark.suspect_ranges),
       (select count(*) from tidemark.parked), (select count(*) from tidemark.fences),
       (select count(*) from tidemark.drift), (select count(*) from tidemark.dirty),
       (select count(*) from tidemark.dirty where error is not null))";

constexpr const char* kDriftSql = R"(
select id, aggregate, counter, key, expected, found, difference,
       to_char(found_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), was, became
  from tidemark.drift order by id desc limit $1::bigint)";

std::uint64_t unsigned_bits(std::int64_t stored) { return std::bit_cast<std::uint64_t>(stored); }

std::optional<Lsn> lsn_of(const SqlResult& rows, std::size_t row, std::size_t column) {
  const auto stored = rows.optional_integer(row, column);
  if (!stored) return std::nullopt;
  return Lsn(unsigned_bits(*stored));
}

TopicPartition where_of(const SqlResult& rows, std::size_t row) {
  return {std::string(rows.text(row, 0)),
          Partition(static_cast<std::int32_t>(rows.integer(row, 1)))};
}

PgOptions durable(PgOptions options) {
  options.synchronous_commit = true;
  return options;
}

// One statement in its own transaction.
SqlResult run_one(PgSession& session, const StatementName& statement, const std::string& sql,
                  const SqlParams& params) {
  PgTransaction transaction(session.get());
  SqlResult result = transaction.run_sql(statement, sql, params);
  transaction.commit();
  return result;
}

}  // namespace

Admin::Admin(PgOptions options)
    : session_(durable(std::move(options)), [](PgConnection& connection) {
        PgTransaction transaction(connection);
        check_schema(transaction);
        transaction.commit();
      }) {}

std::vector<ProgressRow> Admin::read_progress() {
  const SqlResult rows =
      run_one(session_, {"read_progress", "tidemark.progress"}, kProgressSql, {});
  std::vector<ProgressRow> progress;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    progress.push_back({where_of(rows, row), Offset(rows.integer(row, 2)),
                        Epoch(rows.integer(row, 3)), std::string(rows.text(row, 4)),
                        lsn_of(rows, row, 5), lsn_of(rows, row, 6), rows.optional_text(row, 7),
                        std::string(rows.text(row, 8)), std::string(rows.text(row, 9)),
                        unsigned_bits(rows.integer(row, 10))});
  }
  return progress;
}

std::size_t Admin::reset_offset(const ResetOffset& reset) {
  std::optional<std::string> partition;
  if (reset.partition) partition = std::to_string(reset.partition->value);
  return run_one(session_, {"reset_offset", "tidemark.progress"}, kResetSql,
                 {reset.topic, partition, std::to_string(reset.offset.value)})
      .affected();
}

std::vector<ParkedRow> Admin::list_parked(std::size_t limit,
                                          const std::optional<std::string>& topic) {
  const SqlResult rows =
      run_one(session_, {"list_parked", "tidemark.parked"},
              std::string(kParkedRowSql) + kListedParkedSql, {topic, std::to_string(limit)});
  std::vector<ParkedRow> parked;
  for (std::size_t row = 0; row < rows.rows(); ++row) parked.push_back(parked_row(rows, row));
  return parked;
}

std::optional<ParkedDetail> Admin::show_parked(const TopicPartition& where, Offset offset) {
  const SqlResult rows = run_one(
      session_, {"show_parked", "tidemark.parked"}, std::string(kParkedDetailSql) + kShownParkedSql,
      {where.topic, std::to_string(where.partition.value), std::to_string(offset.value)});
  if (rows.rows() == 0) return std::nullopt;
  return parked_detail(rows, 0);
}

StateCounts Admin::counts() {
  const SqlResult rows = run_one(session_, {"counts", "tidemark"}, kCountsSql, {});
  return {unsigned_bits(rows.integer(0, 0)), unsigned_bits(rows.integer(0, 1)),
          unsigned_bits(rows.integer(0, 2)), unsigned_bits(rows.integer(0, 3)),
          unsigned_bits(rows.integer(0, 4)), unsigned_bits(rows.integer(0, 5)),
          unsigned_bits(rows.integer(0, 6))};
}

std::uint64_t Admin::estimated_rows(const Declaration& declaration,
                                    std::span<const AggregateIndex> aggregates) {
  ArrayLiteral names;
  for (std::uint32_t i = 0; i < declaration.aggregates.size(); ++i) {
    const bool wanted =
        aggregates.empty() || std::ranges::find(aggregates, AggregateIndex(i)) != aggregates.end();
    if (wanted) names.add(quote_name(declaration.aggregates[i].name));
  }
  const SqlResult rows =
      run_one(session_, {"estimate_rows", "pg_class"}, kEstimateSql, {names.take()});
  return unsigned_bits(rows.integer(0, 0));
}

std::vector<DriftRow> drift_rows(const SqlResult& rows) {
  const auto text = [&](std::size_t row, std::size_t column) {
    return rows.is_null(row, column) ? std::nullopt
                                     : std::optional(std::string(rows.text(row, column)));
  };
  std::vector<DriftRow> drift;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    drift.push_back({rows.integer(row, 0), std::string(rows.text(row, 1)),
                     std::string(rows.text(row, 2)), std::string(rows.text(row, 3)),
                     rows.optional_integer(row, 4), rows.optional_integer(row, 5),
                     rows.integer(row, 6), std::string(rows.text(row, 7)), text(row, 8),
                     text(row, 9)});
  }
  return drift;
}

std::vector<DriftRow> Admin::list_drift(std::size_t limit) {
  const SqlResult rows =
      run_one(session_, {"list_drift", "tidemark.drift"}, kDriftSql, {std::to_string(limit)});
  return drift_rows(rows);
}

}  // namespace tidemark
