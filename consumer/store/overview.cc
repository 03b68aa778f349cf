#include "consumer/store/overview.h"

#include <chrono>
#include <utility>

#include "consumer/store/state.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStatementTimeout{1'000};
constexpr milliseconds kLockTimeout{500};
constexpr milliseconds kConnectTimeout{2'000};

// One moment for all statements, and nothing is written.
constexpr const char* kOneSnapshot = "set transaction isolation level repeatable read, read only";

constexpr const char* kPartitionsSql = R"(
select p.topic, p.partition, p.next_offset, p.epoch, p.owner,
       to_char(p.data_loss_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), p.data_loss_reason,
       to_char(p.updated_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       (select count(*) from tidemark.parked k
         where k.topic = p.topic and k.partition = p.partition)
  from tidemark.progress p order by p.topic, p.partition)";

// $1: the bound.
constexpr const char* kCountsSql = R"(
select (select count(*) from (select from tidemark.suspects limit $1::bigint) s),
       (select count(*) from tidemark.suspect_ranges),
       (select count(*) from (select from tidemark.parked limit $1::bigint) k),
       (select count(*) from (select from tidemark.fences limit $1::bigint) f),
       (select count(*) from (select from tidemark.drift limit $1::bigint) d),
       (select extract(epoch from now() - min(since))::bigint
          from (select since from tidemark.suspects limit $1::bigint) s))";

constexpr const char* kPassesSql = R"(
with last as (
  select * from tidemark.passes where ended_at is not null and cause <> 'suspect'
   order by id desc limit 1
), going as (
  select * from tidemark.passes where ended_at is null order by id desc limit 1
)
select id, cause, cells, corrected, extract(epoch from now() - started_at)::bigint,
       extract(epoch from now() - ended_at)::bigint
  from (select * from last union all select * from going) p)";

constexpr const char* kDriftSql = R"(
select id, aggregate, counter, expected, found, difference, fence,
       to_char(recounted_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       to_char(found_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), offsets
  from tidemark.drift order by id desc limit $1::bigint)";

// Of whom a rule failed for, all rules wait; the error begins with the one that failed.
constexpr const char* kWaitingSql = R"(
select r.rule, count(*), count(*) filter (where d.error is not null),
       extract(epoch from now() - min(d.marked_at))::bigint
  from (select * from tidemark.dirty limit $1::bigint) d, unnest(d.rules) r(rule)
 group by 1 order by 1)";

constexpr const char* kDirtySql = R"(
select count(*), count(*) filter (where error is not null)
  from (select error from tidemark.dirty limit $1::bigint) d)";

std::uint64_t number(const SqlResult& rows, std::size_t column) {
  return static_cast<std::uint64_t>(rows.integer(0, column));
}

std::vector<ProgressRow> read_partitions(PgTransaction& transaction) {
  const SqlResult rows =
      transaction.run_sql({"look at partitions", "tidemark.progress"}, kPartitionsSql);
  std::vector<ProgressRow> partitions;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    ProgressRow one;
    one.where = {std::string(rows.text(row, 0)),
                 Partition(static_cast<std::int32_t>(rows.integer(row, 1)))};
    one.next = Offset(rows.integer(row, 2));
    one.epoch = Epoch(rows.integer(row, 3));
    one.owner = rows.text(row, 4);
    one.data_loss_at = rows.optional_text(row, 5);
    one.data_loss_reason = rows.text(row, 6);
    one.updated_at = rows.text(row, 7);
    one.parked = static_cast<std::uint64_t>(rows.integer(row, 8));
    partitions.push_back(std::move(one));
  }
  return partitions;
}

void read_passes(PgTransaction& transaction, Overview& out) {
  const SqlResult rows = transaction.run_sql({"look at passes", "tidemark.passes"}, kPassesSql);
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    PassRow pass;
    pass.id = rows.integer(row, 0);
    pass.cause = rows.text(row, 1);
    pass.cells = rows.integer(row, 2);
    pass.corrected = rows.integer(row, 3);
    pass.started_seconds = rows.integer(row, 4);
    pass.ended_seconds = rows.optional_integer(row, 5);
    (pass.ended_seconds ? out.last : out.going) = pass;
  }
}

std::vector<DriftEvidence> read_drift(PgTransaction& transaction) {
  const SqlResult rows = transaction.run_sql({"look at drift", "tidemark.drift"}, kDriftSql,
                                             {std::to_string(OverviewReader::kDriftMax)});
  std::vector<DriftEvidence> drift;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    DriftEvidence one;
    one.id = rows.integer(row, 0);
    one.aggregate = rows.text(row, 1);
    one.counter = rows.text(row, 2);
    one.expected = rows.optional_integer(row, 3);
    one.found = rows.optional_integer(row, 4);
    one.difference = rows.integer(row, 5);
    one.fence = rows.integer(row, 6);
    one.recounted_at = rows.text(row, 7);
    one.found_at = rows.text(row, 8);
    one.offsets = rows.text(row, 9);
    drift.push_back(std::move(one));
  }
  return drift;
}

std::vector<WaitingRow> read_waiting(PgTransaction& transaction, const SqlParams& bound) {
  const SqlResult rows =
      transaction.run_sql({"look at who waits", "tidemark.dirty"}, kWaitingSql, bound);
  std::vector<WaitingRow> waiting;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    waiting.push_back({std::string(rows.text(row, 0)), rows.integer(row, 1), rows.integer(row, 2),
                       rows.integer(row, 3)});
  }
  return waiting;
}

}  // namespace

PgOptions for_looking(PgOptions options) {
  options.application_name = "tidemark status";
  options.statement_timeout = kStatementTimeout;
  options.lock_timeout = kLockTimeout;
  options.connect_timeout = kConnectTimeout;
  return options;
}

OverviewReader::OverviewReader(PgOptions options)
    : session_(for_looking(std::move(options)), [](PgConnection& connection) {
        PgTransaction transaction(connection);
        check_schema(transaction);
        transaction.commit();
      }) {}

Overview OverviewReader::read() {
  const SqlParams bound{std::to_string(kCountMax)};
  PgTransaction transaction(session_.get());
  transaction.run_sql({"look at one moment", ""}, kOneSnapshot);
  Overview out;
  out.partitions = read_partitions(transaction);
  const SqlResult counts = transaction.run_sql({"count", "tidemark"}, kCountsSql, bound);
  const SqlResult dirty = transaction.run_sql({"count dirty", "tidemark.dirty"}, kDirtySql, bound);
  out.counts = {.suspect_cells = number(counts, 0),
                .suspect_ranges = number(counts, 1),
                .parked = number(counts, 2),
                .fences = number(counts, 3),
                .drift = number(counts, 4),
                .dirty = number(dirty, 0),
                .failed = number(dirty, 1)};
  out.suspect_oldest_seconds = counts.optional_integer(0, 5);
  read_passes(transaction, out);
  out.drift = read_drift(transaction);
  out.waiting = read_waiting(transaction, bound);
  transaction.commit();
  return out;
}

}  // namespace tidemark
