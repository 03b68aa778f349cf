// What there is to recount, passes, and what becomes of fences.
#include <algorithm>

#include "consumer/core/check.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/fence_table.h"
#include "consumer/store/key_condition.h"
#include "consumer/store/pg_recount.h"
#include "consumer/store/source_database.h"
#include "consumer/store/state.h"

namespace tidemark {
namespace {

// Held by the recounter's session. Never renumber.
constexpr std::int64_t kLeadLock = 0x7469'6465'6c65'6164;  // "tidelead"
// Beginning a pass takes the turn for a moment only; batches of a second are before it at worst.
constexpr std::chrono::milliseconds kBeginPatience{5'000};

// A range whose record was parked waits until the transactions of then have ended: the source's,
// whose oldest running id is passed where it is another database (F10).
std::string ready_sql(const std::string& oldest) {
  return "(not_before is null or not_before < coalesce(" + oldest +
         "::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint))";
}

// In the order of suspects_key_idx, so that it ends at the limit however many there are.
constexpr const char* kKeysSql = R"(
select key from tidemark.suspects where aggregate = $1::text
 group by key order by key limit $2::bigint)";

constexpr const char* kWidenSql = R"(
with many as (
  select aggregate, counter, min(cause) as cause from tidemark.suspects
   group by aggregate, counter having count(*) > $1::bigint
), added as (
  insert into tidemark.suspect_ranges (aggregate, counter, cause)
  select aggregate, counter, cause from many
  on conflict (aggregate, counter) do update set pass = null
)
delete from tidemark.suspects s using many m
 where s.aggregate = m.aggregate and s.counter = m.counter)";

// A cell that is suspect already keeps its cause.
constexpr const char* kRequestSql = R"(
insert into tidemark.suspects (aggregate, counter, key, cause)
select $1::text, c, k, $4::text from unnest($2::text[]) as k cross join unnest($3::text[]) as c
on conflict do nothing)";

constexpr const char* kPassColumns =
    "id, cause, aggregates[at_aggregate], next_key, at_aggregate >= cardinality(aggregates),"
    " slices, cells, corrected";

constexpr const char* kBeginSql = R"(
insert into tidemark.passes (cause, aggregates) values ($1::text, $2::text[])
returning )";

// Before the first claim nothing was counted: what a pass then finds is no drift, and its crossings
// are of long ago. The claim makes all suspect once more.
constexpr const char* kUnstartedSql = R"(
insert into tidemark.suspect_ranges (aggregate, counter, cause)
select aggregate, counter, $1::text from tidemark.counters
 where not (select started from tidemark.turn)
on conflict (aggregate, counter) do update set pass = null)";

constexpr const char* kEndSql = R"(
with ended as (
  update tidemark.passes set ended_at = now() where id = $1::bigint
)
delete from tidemark.suspect_ranges where pass = $1::bigint)";

// Everything that a loss made suspect has been recounted.
constexpr const char* kLossOverSql = R"(
update tidemark.progress set data_loss_at = null, data_loss_reason = null
 where data_loss_at is not null
   and not exists (select from tidemark.suspect_ranges where cause = $1::text))";

// What remains of a cell when its last fence goes is drift, unless it was suspect (DESIGN 4.5).
constexpr const char* kDropSql = R"(
with dropped as (
  delete from tidemark.fences where id = any($1::bigint[]) returning id, made_at, offsets
), closed as (
  delete from tidemark.ledger l using dropped d where l.fence = d.id
  returning l.aggregate, l.counter, l.key, l.remaining, l.expected, l.suspect, l.fence,
            d.made_at, d.offsets
)
insert into tidemark.drift (aggregate, counter, key, expected, found, difference, fence,
                            recounted_at, offsets)
select c.aggregate, c.counter, c.key, c.expected, c.expected - c.remaining, c.remaining, c.fence,
       c.made_at, c.offsets
  from closed c
 where c.remaining <> 0 and not c.suspect
   and not exists (select from tidemark.suspects s where s.aggregate = c.aggregate
                      and s.counter = c.counter and s.key = c.key and s.cause <> 'requested')
   and not exists (select from tidemark.suspect_ranges r where r.aggregate = c.aggregate
                      and r.counter = c.counter)
 order by c.aggregate, c.counter, c.key
returning id, aggregate, counter, key, expected, found, difference,
          to_char(found_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), was, became)";

// Partitions that the group has not read yet have nothing to distrust.
constexpr const char* kSettleSql = R"(
with ends as (
  select * from unnest($1::text[], $2::integer[], $3::bigint[]) as b(topic, partition, high)
), locked as materialized (
  select topic, partition from tidemark.progress where touch_below = 9223372036854775807
   order by topic, partition for update
)
update tidemark.progress p
   set touch_below = coalesce((select e.high from ends e where e.topic = p.topic
                                  and e.partition = p.partition), 0), epoch = p.epoch + 1
  from locked l where l.topic = p.topic and l.partition = p.partition)";

constexpr const char* kGrownSql = R"(
with counted as (
  select * from unnest($1::text[], $2::integer[]) as b(topic, partitions)
), known as (
  insert into tidemark.topics (topic, partitions) select topic, partitions from counted
  on conflict do nothing
)
update tidemark.topics t
   set partitions = c.partitions, touch_until = 9223372036854775807, repartitioned_at = now()
  from counted c where t.topic = c.topic and c.partitions > t.partitions
returning t.topic)";

constexpr const char* kKnownToProducersSql = R"(
select topic from tidemark.topics
 where touch_until = 9223372036854775807
   and repartitioned_at <= now() - $1::bigint * interval '1 ms')";

constexpr const char* kTouchUntilSql = R"(
with locked as materialized (
  select topic, partition from tidemark.progress where topic = any($1::text[])
   order by topic, partition for update
), topics as (
  update tidemark.topics set touch_until = $2::bigint where topic = any($1::text[])
)
update tidemark.progress p set touch_until = $2::bigint, epoch = p.epoch + 1
  from locked l where l.topic = p.topic and l.partition = p.partition)";

constexpr std::uint64_t kNoLsnYet = 9'223'372'036'854'775'807;

std::vector<std::string> texts_of(const SqlResult& rows) {
  std::vector<std::string> texts;
  for (std::size_t row = 0; row < rows.rows(); ++row) texts.emplace_back(rows.text(row, 0));
  return texts;
}

}  // namespace

void PgRecount::prepare_queue(PgConnection& connection) {
  connection.prepare({"lead", "the recounter's lock"},
                     "select pg_try_advisory_lock(" + std::to_string(kLeadLock) + ")");
  connection.prepare({"suspect_keys", "tidemark.suspects"}, kKeysSql);
  connection.prepare({"widen_suspects", "tidemark.suspects"}, kWidenSql);
  connection.prepare({"request_keys", "tidemark.suspects"}, kRequestSql);
  connection.prepare({"requests_left", "tidemark.suspects"},
                     "select count(distinct key) from tidemark.suspects"
                     " where aggregate = $1::text and cause = $2::text");
  connection.prepare({"pass_state", "tidemark.passes"},
                     "select slices, cells, corrected, ended_at is not null"
                     " from tidemark.passes where id = $1::bigint");
  connection.prepare({"current_pass", "tidemark.passes"},
                     std::string("select ") + kPassColumns +
                         " from tidemark.passes where ended_at is null order by id limit 1");
  connection.prepare({"pass_due", "tidemark.turn"},
                     "select pass_at is null or pass_at <= now() - $1::bigint * interval '1 ms'"
                     " from tidemark.turn");
  connection.prepare({"whole_due", "tidemark.suspect_ranges"},
                     std::string("select distinct aggregate from tidemark.suspect_ranges"
                                 " where pass is null and ") +
                         ready_sql("$1"));
  connection.prepare({"suspect_unstarted", "tidemark.suspect_ranges"}, kUnstartedSql);
  connection.prepare({"begin_pass", "tidemark.passes"}, std::string(kBeginSql) + kPassColumns);
  connection.prepare({"adopt_ranges", "tidemark.suspect_ranges"},
                     std::string("update tidemark.suspect_ranges set pass = $1::bigint"
                                 " where aggregate = any($2::text[]) and pass is null and ") +
                         ready_sql("$3"));
  connection.prepare({"note_pass", "tidemark.turn"}, "update tidemark.turn set pass_at = now()");
  connection.prepare({"end_pass", "tidemark.passes"}, kEndSql);
  connection.prepare({"loss_over", "tidemark.progress"}, kLossOverSql);
  connection.prepare({"give_up_ranges", "tidemark.suspect_ranges"},
                     "update tidemark.suspect_ranges set pass = null where pass = $1::bigint");
  connection.prepare({"fence_ends", "tidemark.fences"},
                     "select id, inserted from tidemark.fences order by id");
  connection.prepare({"stored_offsets", "tidemark.progress"},
                     "select topic, partition, next_offset, mark_commit, mark_lsn"
                     " from tidemark.progress");
  connection.prepare({"drop_fences", "tidemark.fences"}, kDropSql);
  prepare_corrections(connection);
  connection.prepare({"unsettled", "tidemark.progress"},
                     "select exists (select from tidemark.progress"
                     " where touch_below = 9223372036854775807)");
  connection.prepare({"settle", "tidemark.progress"}, kSettleSql);
  connection.prepare({"grown_topics", "tidemark.topics"}, kGrownSql);
  connection.prepare({"known_to_producers", "tidemark.topics"}, kKnownToProducersSql);
  connection.prepare({"touch_until", "tidemark.progress"}, kTouchUntilSql);
  connection.prepare({"suspect_all", "tidemark.suspect_ranges"},
                     "insert into tidemark.suspect_ranges (aggregate, counter, cause)"
                     " select aggregate, counter, $1::text from tidemark.counters"
                     " on conflict (aggregate, counter) do update set pass = null");
}

bool PgRecount::lead() {
  PgConnection& connection = target_.get();
  if (leading_) return true;
  PgTransaction transaction(connection);
  leading_ = transaction.run("lead", {}).boolean(0, 0);
  transaction.commit();
  return leading_;
}

std::optional<SuspectKeys> PgRecount::suspect_keys(std::size_t limit) {
  PgTransaction transaction(target_.get());
  for (std::size_t i = 0; i < declaration_.aggregates.size(); ++i) {
    // In turn, so that none starves.
    next_aggregate_ = (next_aggregate_ + 1) % declaration_.aggregates.size();
    const Aggregate& aggregate = declaration_.aggregates[next_aggregate_];
    const SqlResult rows =
        transaction.run("suspect_keys", {aggregate.name.text(), std::to_string(limit)});
    if (rows.rows() == 0) continue;
    SuspectKeys keys{AggregateIndex(static_cast<std::uint32_t>(next_aggregate_)), {}};
    for (std::size_t row = 0; row < rows.rows(); ++row) keys.keys.emplace_back(rows.text(row, 0));
    return keys;
  }
  return std::nullopt;
}

// Rule F5: they are recounted later.
void PgRecount::suspect_held(PgTransaction& transaction, const Aggregate& aggregate,
                             const std::vector<std::string>& held) {
  if (held.empty()) return;
  transaction.run_sql(
      {"note rows that another writer holds", "tidemark.suspects"},
      "insert into tidemark.suspects (aggregate, counter, key, cause)"
      " select " +
          quote_literal(aggregate.name.text()) + ", c, k, " +
          quote_literal(cause_name(SuspectCause::kLocked)) +
          " from unnest($1::text[]) as k cross join unnest($2::text[]) as c on conflict do nothing",
      {array_of(held), cell_array(aggregate)});
}

void PgRecount::request(AggregateIndex index, std::span<const std::string> keys) {
  const Aggregate& aggregate = declaration_.aggregate(index);
  PgTransaction transaction(target_.get());
  share_turn(transaction);  // a slice that has read its cells must not take it off the list
  check_declared(transaction, declaration_hash_);
  transaction.run("request_keys", {aggregate.name.text(), array_of(keys), cell_array(aggregate),
                                   std::string(cause_name(SuspectCause::kRequested))});
  transaction.commit();
}

std::size_t PgRecount::requests_left(AggregateIndex index) {
  PgTransaction transaction(target_.get());
  const SqlResult left =
      transaction.run("requests_left", {declaration_.aggregate(index).name.text(),
                                        std::string(cause_name(SuspectCause::kRequested))});
  return static_cast<std::size_t>(left.integer(0, 0));
}

PassState PgRecount::state_of(const Pass& pass) {
  PgTransaction transaction(target_.get());
  const SqlResult row = transaction.run("pass_state", {std::to_string(pass.id)});
  if (row.rows() == 0) return {.ended = true};
  return {static_cast<std::uint64_t>(row.integer(0, 0)),
          static_cast<std::uint64_t>(row.integer(0, 1)),
          static_cast<std::uint64_t>(row.integer(0, 2)), row.boolean(0, 3)};
}

void PgRecount::widen_suspects(std::size_t cells_max) {
  PgTransaction transaction(target_.get());
  transaction.run("widen_suspects", {std::to_string(cells_max)});
  transaction.commit();
}

// None: it is through, or its aggregate is no longer declared; both end it.
std::optional<Pass> PgRecount::pass_of(const SqlResult& rows, std::size_t row) const {
  for (std::uint32_t i = 0; i < declaration_.aggregates.size(); ++i) {
    if (declaration_.aggregates[i].name.text() != rows.text(row, 2)) continue;
    return Pass{.id = rows.integer(row, 0),
                .cause = std::string(rows.text(row, 1)),
                .aggregate = AggregateIndex(i),
                .next_key = rows.optional_text(row, 3),
                .last_aggregate = rows.boolean(row, 4),
                .slices = static_cast<std::uint64_t>(rows.integer(row, 5)),
                .cells = static_cast<std::uint64_t>(rows.integer(row, 6)),
                .corrected = static_cast<std::uint64_t>(rows.integer(row, 7))};
  }
  return std::nullopt;
}

std::optional<Pass> PgRecount::current_pass() {
  PgTransaction transaction(target_.get());
  const SqlResult rows = transaction.run("current_pass", {});
  if (rows.rows() == 0) return std::nullopt;
  std::optional<Pass> pass = pass_of(rows, 0);
  if (pass) return pass;
  const std::string id(rows.text(0, 0));
  // An aggregate that is no longer declared: what is left of the pass begins again.
  if (!rows.is_null(0, 2)) transaction.run("give_up_ranges", {id});
  transaction.run("end_pass", {id});
  transaction.run("loss_over", {std::string(cause_name(SuspectCause::kDataLoss))});
  transaction.commit();
  return std::nullopt;
}

Pass PgRecount::begin_pass(const std::string& cause, std::span<const AggregateIndex> aggregates) {
  ArrayLiteral names;
  for (std::uint32_t i = 0; i < declaration_.aggregates.size(); ++i) {
    const bool wanted =
        aggregates.empty() || std::ranges::find(aggregates, AggregateIndex(i)) != aggregates.end();
    if (wanted) names.add(declaration_.aggregates[i].name.text());
  }
  const std::string list = names.take();
  const std::optional<std::string> oldest = oldest_running();
  PgTransaction transaction(target_.get());
  if (!take_turn(transaction, kBeginPatience)) {
    throw WorldError(ErrorKind::kRetry, "recount: batches hold the turn for longer than 5 s");
  }
  check_declared(transaction, declaration_hash_);
  transaction.run("suspect_unstarted", {std::string(cause_name(SuspectCause::kStart))});
  const SqlResult begun = transaction.run("begin_pass", {cause, list});
  const std::optional<Pass> pass = pass_of(begun, 0);
  TIDEMARK_CHECK(pass.has_value());
  transaction.run("adopt_ranges", {std::to_string(pass->id), list, oldest});
  if (aggregates.empty()) transaction.run("note_pass", {});
  transaction.commit();
  return *pass;
}

std::optional<Pass> PgRecount::begin_due_pass(std::chrono::milliseconds every) {
  bool due = false;
  std::vector<AggregateIndex> aggregates;
  {
    const std::optional<std::string> oldest = oldest_running();
    PgTransaction transaction(target_.get());
    due = transaction.run("pass_due", {std::to_string(every.count())}).boolean(0, 0);
    const SqlResult whole = transaction.run("whole_due", {oldest});
    for (std::size_t row = 0; row < whole.rows(); ++row) {
      for (std::uint32_t i = 0; i < declaration_.aggregates.size(); ++i) {
        if (declaration_.aggregates[i].name.text() == whole.text(row, 0)) {
          aggregates.emplace_back(i);
        }
      }
    }
  }
  if (due) return begin_pass("schedule", {});
  if (aggregates.empty()) return std::nullopt;
  return begin_pass("suspect", aggregates);
}

// Where the source is another database: the oldest id that runs there.
std::optional<std::string> PgRecount::oldest_running() {
  if (!two_databases_) return std::nullopt;
  PgTransaction transaction(source_.get());
  const SqlResult row = transaction.run_sql({"read the oldest running id", "the source"},
                                            "select pg_snapshot_xmin(pg_current_snapshot())::text");
  transaction.commit();
  return std::string(row.text(0, 0));
}

void PgRecount::end_pass(const Pass& pass) {
  PgTransaction transaction(target_.get());
  transaction.run("end_pass", {std::to_string(pass.id)});
  transaction.run("loss_over", {std::string(cause_name(SuspectCause::kDataLoss))});
  transaction.commit();
}

std::optional<std::string> PgRecount::range_end(AggregateIndex index,
                                                const std::optional<std::string>& from,
                                                std::size_t rows) {
  PgTransaction source(source_.get());
  if (!two_databases_) {
    return find_range_end(source, nullptr, declaration_, index, from, rows);
  }
  PgTransaction cells(target_.get());
  return find_range_end(cells, &source, declaration_, index, from, rows);
}

bool PgRecount::unsettled() {
  PgTransaction transaction(target_.get());
  return transaction.run("unsettled", {}).boolean(0, 0);
}

bool PgRecount::slot_active() {
  PgTransaction transaction(source_.get());
  return transaction
      .run_sql({"look at the slot", slot_},
               "select exists (select from pg_replication_slots"
               " where slot_name = $1::text and active)",
               {slot_})
      .boolean(0, 0);
}

void PgRecount::settle(std::span<const StoredOffset> ends) {
  ArrayLiteral topics;
  ArrayLiteral partitions;
  ArrayLiteral highs;
  for (const StoredOffset& end : ends) {
    topics.add(end.where.topic);
    partitions.add(end.where.partition.value);
    highs.add(end.next.value);
  }
  PgTransaction transaction(target_.get());
  transaction.run("settle", {topics.take(), partitions.take(), highs.take()});
  transaction.run("suspect_all", {std::string(cause_name(SuspectCause::kNewHistory))});
  transaction.commit();
}

// Owners claim again, and so learn of it.
void PgRecount::touch_until(PgTransaction& transaction, const std::vector<std::string>& topics,
                            Lsn until) {
  transaction.run("touch_until", {array_of(topics), std::to_string(until.value)});
  transaction.run("suspect_all", {std::string(cause_name(SuspectCause::kRepartitioned))});
}

std::vector<std::string> PgRecount::note_partitions(
    const std::map<std::string, std::int32_t>& counts, std::chrono::milliseconds producers) {
  ArrayLiteral topics;
  ArrayLiteral partitions;
  for (const auto& [topic, count] : counts) {
    topics.add(topic);
    partitions.add(count);
  }
  PgTransaction transaction(target_.get());
  const std::vector<std::string> grown =
      texts_of(transaction.run("grown_topics", {topics.take(), partitions.take()}));
  if (!grown.empty()) touch_until(transaction, grown, Lsn(kNoLsnYet));
  const std::vector<std::string> known =
      texts_of(transaction.run("known_to_producers", {std::to_string(producers.count())}));
  if (!known.empty()) touch_until(transaction, known, log_end());
  transaction.commit();
  return grown;
}

std::vector<OutstandingFence> PgRecount::fences() {
  PgTransaction transaction(target_.get());
  const SqlResult rows = transaction.run("fence_ends", {});
  return outstanding(rows);
}

std::optional<Lsn> PgRecount::slot_confirmed() {
  PgTransaction transaction(source_.get());
  const SqlResult rows = transaction.run("slot_confirmed", {slot_});
  if (rows.rows() == 0) return std::nullopt;
  return Lsn(static_cast<std::uint64_t>(rows.integer(0, 0)));
}

std::vector<StoredOffset> PgRecount::stored_offsets() {
  PgTransaction transaction(target_.get());
  const SqlResult rows = transaction.run("stored_offsets", {});
  const auto lsn = [](std::int64_t bits) { return Lsn(static_cast<std::uint64_t>(bits)); };
  std::vector<StoredOffset> offsets;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    StoredOffset& stored = offsets.emplace_back(
        TopicPartition{std::string(rows.text(row, 0)),
                       Partition(static_cast<std::int32_t>(rows.integer(row, 1)))},
        Offset(rows.integer(row, 2)));
    if (rows.is_null(row, 4)) continue;
    stored.position = Position{std::nullopt, lsn(rows.integer(row, 4))};
    if (!rows.is_null(row, 3)) stored.position->last_commit = lsn(rows.integer(row, 3));
  }
  return offsets;
}

std::vector<DriftRow> PgRecount::drop_fences(std::span<const std::int64_t> fences) {
  if (fences.empty()) return {};
  PgTransaction transaction(target_.get());
  const SqlResult rows = transaction.run("drop_fences", {array_of(fences)});
  transaction.run("new_version", {new_turn_version()});  // members stop asking them
  transaction.commit();
  return drift_rows(rows);
}

}  // namespace tidemark
