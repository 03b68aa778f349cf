#include "consumer/store/pg_store.h"

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/core/kill_point.h"
#include "consumer/store/apply_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/dirty_table.h"
#include "consumer/store/milestones.h"
#include "consumer/store/progress_table.h"
#include "consumer/store/suspect_table.h"

namespace tidemark {
namespace {

// The insert goes in (topic, partition) order, as its arrays do, and waits for a zombie's row locks
// one by one, each at most lock_timeout.
constexpr const char* kClaimSql = R"(
insert into tidemark.progress as p (topic, partition, next_offset, owner, epoch, touch_until)
select b.topic, b.partition, -1, $3::text, 1,
       coalesce((select t.touch_until from tidemark.topics t where t.topic = b.topic), 0)
  from unnest($1::text[], $2::integer[]) as b(topic, partition)
on conflict (topic, partition) do update
   set owner = excluded.owner, epoch = p.epoch + 1, updated_at = now()
returning )";

// What a fence took out of the batch, in key order (rule P2, DESIGN 4.5).
constexpr const char* kSkippedSql = R"(
insert into tidemark.ledger as l (aggregate, counter, key, remaining, suspect, fence)
select $1::text, $2::text, b.key, -b.skipped,
       exists (select from tidemark.suspects s
                where s.aggregate = $1::text and s.counter = $2::text and s.key = b.key
                  and s.cause <> 'requested')
       or exists (select from tidemark.suspect_ranges r
                   where r.aggregate = $1::text and r.counter = $2::text), b.fence
  from unnest($3::text[], $4::bigint[], $5::bigint[]) as b(key, skipped, fence)
on conflict (aggregate, counter, key) do update
   set remaining = l.remaining + excluded.remaining, suspect = l.suspect or excluded.suspect,
       fence = greatest(l.fence, excluded.fence))";

constexpr const char* kParkSql = R"(
insert into tidemark.parked (topic, partition, "offset", record_timestamp, code, reason, key,
                             payload, payload_bytes)
values ($1::text, $2::integer, $3::bigint, $4::bigint, $5::text, $6::text, $7::bytea, $8::bytea,
        $9::bigint)
on conflict do nothing)";

// The mark stays: what is read again below it is not new.
constexpr const char* kDataLossSql = R"(
update tidemark.progress
   set next_offset = -1, fingerprint_offset = null, fingerprint_timestamp = null,
       fingerprint_key = null, fingerprint_value = null, data_loss_at = now(),
       data_loss_reason = $4::text, updated_at = now()
 where topic = $1::text and partition = $2::integer and epoch = $3::bigint)";

constexpr const char* kForgetMarksSql = R"(
with locked as materialized (
  select topic, partition from tidemark.progress order by topic, partition for update
)
update tidemark.progress p
   set mark_commit = null, mark_lsn = null, seen_at_mark = '{}', epoch = p.epoch + 1,
       touch_below = 9223372036854775807
  from locked l where l.topic = p.topic and l.partition = p.partition)";

constexpr const char* kWalSql = R"(
select pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_current_wal_flush_lsn() - '0/0'::pg_lsn)";

// Statements' names, as errors tell them beside the table.
std::string adding_name(std::size_t aggregate) { return "add_" + std::to_string(aggregate); }
std::string checking_name(std::size_t aggregate) { return "change_" + std::to_string(aggregate); }
std::string announcing_name(std::size_t aggregate) { return "cross_" + std::to_string(aggregate); }

std::string number(std::integral auto value) { return std::to_string(value); }

// bytea's text form; at most kPayloadBytesMax of the bytes.
std::optional<std::string> bytea_text(const std::optional<std::string>& bytes) {
  if (!bytes) return std::nullopt;
  constexpr std::string_view kDigits = "0123456789abcdef";
  const std::size_t size = std::min(bytes->size(), ParkedRecord::kPayloadBytesMax);
  std::string text = "\\x";
  text.reserve(size * 2 + 2);
  for (const char c : std::string_view(*bytes).substr(0, size)) {
    const auto byte = static_cast<unsigned char>(c);
    text.push_back(kDigits[byte >> 4U]);
    text.push_back(kDigits[byte & 15U]);
  }
  return text;
}

std::uint64_t unsigned_bits(std::int64_t stored) { return std::bit_cast<std::uint64_t>(stored); }

auto cell_of(const SuspectCell& cell) { return std::tie(cell.aggregate, cell.counter, cell.key); }

// Both in the order of their primary key, so that two members wait in line. A cell that is suspect
// for two reasons keeps the batch's own.
std::vector<SuspectCell> merge_cells(std::span<const SuspectCell> own,
                                     std::vector<SuspectCell> negative) {
  std::vector<SuspectCell> cells(own.begin(), own.end());
  std::move(negative.begin(), negative.end(), std::back_inserter(cells));
  std::ranges::stable_sort(cells,
                           [](const auto& a, const auto& b) { return cell_of(a) < cell_of(b); });
  const auto doubled = std::ranges::unique(
      cells, [](const auto& a, const auto& b) { return cell_of(a) == cell_of(b); });
  cells.erase(doubled.begin(), doubled.end());
  return cells;
}

PgOptions for_apply(PgOptions options) {
  options.synchronous_commit = false;
  return options;
}

}  // namespace

PgStore::PgStore(const Declaration& declaration, PgStoreOptions options)
    : declaration_(declaration),
      claim_{std::move(options.group_id), declaration_hash(declaration)},
      owner_(std::move(options.owner)),
      recounted_(options.recounted),
      on_marked_(std::move(options.on_marked)),
      session_(for_apply(std::move(options.pg)),
               [this](PgConnection& connection) { prepare(connection); }) {
  if (options.source) source_.emplace(declaration_, *std::move(options.source));
}

void PgStore::prepare(PgConnection& connection) {
  fences_.reset();
  {
    PgTransaction transaction(connection);
    check_schema(transaction);
    history_ = read_history(transaction);
    transaction.commit();
  }
  prepare_fences(connection);
  prepare_suspects(connection);
  prepare_milestones(connection, declaration_);
  prepare_marks(connection, declaration_);
  connection.prepare({"read_history", "tidemark.turn"},
                     "select started, history from tidemark.turn");
  connection.prepare({"store_history", "tidemark.turn"},
                     "update tidemark.turn set started = true, history = $1::text,"
                     " version = $2::bigint");
  connection.prepare({"forget_marks", "tidemark.progress"}, kForgetMarksSql);
  connection.prepare({"forget_ledger", "tidemark.ledger"}, "delete from tidemark.ledger");
  connection.prepare({"forget_fences", "tidemark.fences"}, "delete from tidemark.fences");
  connection.prepare({"book_skipped", "tidemark.ledger"}, kSkippedSql);
  connection.prepare({"await_topics", "tidemark.topics"},
                     "select from tidemark.topics where topic = any($1::text[]) order by topic"
                     " for share");
  connection.prepare({"claim", "tidemark.progress"}, std::string(kClaimSql) + kClaimedColumns);
  connection.prepare({"read_seen", "tidemark.progress"}, seen_sql("tidemark.progress"));
  connection.prepare({"advance", "tidemark.progress"}, advance_sql("tidemark.progress"));
  connection.prepare({"park", "tidemark.parked"}, kParkSql);
  connection.prepare({"wal_positions", ""}, kWalSql);
  connection.prepare({"record_data_loss", "tidemark.progress"}, kDataLossSql);
  for (std::uint32_t i = 0; i < declaration_.aggregates.size(); ++i) {
    const UpsertSql sql = upsert_sql(declaration_, AggregateIndex(i), "integer",
                                     source_ ? LookupsFrom::kParameters : LookupsFrom::kTables);
    const std::string table = declaration_.aggregates[i].name.text();
    connection.prepare({adding_name(i), table}, sql.adding);
    connection.prepare({checking_name(i), table}, sql.checking);
    if (!sql.announcing.empty()) connection.prepare({announcing_name(i), table}, sql.announcing);
  }
}

// --- claim --------------------------------------------------------------------------------------

std::vector<Claimed> PgStore::claim(std::span<const TopicPartition> partitions) {
  std::vector<TopicPartition> wanted(partitions.begin(), partitions.end());
  std::ranges::sort(wanted);
  TIDEMARK_CHECK(std::ranges::adjacent_find(wanted) == wanted.end());
  ArrayLiteral topics;
  ArrayLiteral numbers;
  for (const TopicPartition& where : wanted) {
    topics.add(where.topic);
    numbers.add(where.partition.value);
  }
  const SqlParams keys{topics.take(), numbers.take()};

  PgTransaction transaction(session_.get());
  // Before the state is read, in a statement of its own: a migration may be about to change it.
  transaction.run_sql({"wait for migrations", ""},
                      "select pg_advisory_xact_lock_shared(" + number(kStateLock) + ")");
  check_state(transaction, claim_);
  // A partition that is new here begins with what is noted of its topic (rule N3): a note that is
  // being made is waited for.
  transaction.run("await_topics", {keys[0]});
  if (recounted_) note_start(transaction);
  const SqlResult rows = transaction.run("claim", {keys[0], keys[1], owner_});
  TIDEMARK_CHECK(rows.rows() == wanted.size());
  std::vector<Claimed> claimed;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    claimed.push_back(read_claimed(rows, row));
    TIDEMARK_CHECK(claimed.back().where == wanted[row]);  // the identities below go by place
  }
  read_seen(transaction, *keys[0], *keys[1], claimed);
  TIDEMARK_KILL_POINT("X9");
  transaction.commit();
  return claimed;
}

// Before the first claim nothing was counted; and fences and marks belong to one database history
// (rule F8): on another one they say nothing, and neither do changes until the recounter has seen
// where that history begins in Kafka.
void PgStore::note_start(PgTransaction& transaction) {
  if (source_) source_->snapshot();
  const std::string history = this->history();
  const SqlResult turn = transaction.run("read_history", {});
  if (!turn.boolean(0, 0)) add_ranges(transaction, declaration_, all_ranges(SuspectCause::kStart));
  const bool moved = !turn.is_null(0, 1) && turn.text(0, 1) != history;
  if (turn.boolean(0, 0) && !turn.is_null(0, 1) && !moved) return;
  if (moved) {
    transaction.run("forget_marks", {});
    transaction.run("forget_ledger", {});
    transaction.run("forget_fences", {});
    add_ranges(transaction, declaration_, all_ranges(SuspectCause::kNewHistory));
    request_all_sweeps(transaction, declaration_);
  }
  transaction.run("store_history", {history, new_turn_version()});
}

// Of the database whose ids and LSNs marks and fences hold. Of a source only after it answered in
// the same call: a connection to a primary that is gone tells the history before the failover, and
// nothing tells that it is gone until it is used.
std::string PgStore::history() { return source_ ? source_->history() : history_; }

// --- apply --------------------------------------------------------------------------------------

// Rule F3: the fences of this version, which the turn keeps as it is until we commit.
const FenceSet& PgStore::fences_at(PgTransaction& transaction, std::int64_t version) {
  if (!fences_ || fences_version_ != version) {
    fences_.emplace(declaration_, read_fences(transaction, declaration_));
    fences_version_ = version;
  }
  return *fences_;
}

PgStore::Upserted PgStore::upsert(PgTransaction& transaction,
                                  std::span<const AggregateDelta> aggregates) {
  Upserted upserted;
  for (std::uint32_t i = 0; i < aggregates.size(); ++i) {
    const AggregateDelta& aggregate = aggregates[i];
    if (aggregate.rows() == 0) continue;
    std::string statement = takes_away(aggregate) ? checking_name(i) : adding_name(i);
    SqlParams params = upsert_params(aggregate);
    if (source_) source_->add_lookups(AggregateIndex(i), params);
    const bool rises = add_reaches(declaration_.aggregates[i], aggregate, params);
    if (rises) statement = announcing_name(i);
    const SqlResult below = transaction.run(statement, params);
    for (std::size_t row = 0; row < below.rows(); ++row) {
      for (std::uint32_t c = 0; c < aggregate.counters; ++c) {
        if (!below.boolean(row, c + 1)) continue;
        upserted.negative.push_back({AggregateIndex(i), CounterIndex(c),
                                     std::string(below.text(row, 0)), SuspectCause::kNegative});
      }
    }
    if (rises) add_values(below, declaration_, AggregateIndex(i), aggregate, upserted.values);
    TIDEMARK_KILL_POINT("X4");
  }
  return upserted;
}

void PgStore::book_skipped(PgTransaction& transaction, const Delta& delta,
                           std::span<const SkippedDelta> skipped) const {
  while (!skipped.empty()) {  // one statement for each counter
    const SkippedDelta& first = skipped.front();
    const Aggregate& aggregate = declaration_.aggregate(first.aggregate);
    const AggregateDelta& rows = delta.aggregates[first.aggregate.value];
    ArrayLiteral keys;
    ArrayLiteral deltas;
    ArrayLiteral fences;
    std::size_t taken = 0;
    for (; taken < skipped.size(); ++taken) {
      const SkippedDelta& skip = skipped[taken];
      if (skip.aggregate != first.aggregate || skip.counter != first.counter) break;
      keys.add(rows.key_text(skip.row));
      deltas.add(skip.delta);
      fences.add(skip.fence);
    }
    transaction.run("book_skipped",
                    {aggregate.name.text(), aggregate.counters[first.counter.value].name,
                     keys.take(), deltas.take(), fences.take()});
    skipped = skipped.subspan(taken);
  }
}

void PgStore::park(PgTransaction& transaction, std::span<const ParkedRecord> records) const {
  for (const ParkedRecord& record : records) {
    transaction.run(
        "park",
        {record.where.topic, number(record.where.partition.value), number(record.offset.value),
         number(record.timestamp.value), std::string(code_name(record.bad.code)), record.bad.reason,
         bytea_text(record.key), bytea_text(record.payload), number(record.payload_bytes)});
    TIDEMARK_KILL_POINT("X13");
  }
}

ApplyResult PgStore::apply(const Delta& delta) {
  TIDEMARK_CHECK(!delta.advances.empty());
  TIDEMARK_CHECK(delta.aggregates.size() == declaration_.aggregates.size());
  TIDEMARK_KILL_POINT("X2");
  PgTransaction transaction(session_.get());
  const SqlResult advanced = transaction.run("advance", advance_params(delta.advances));
  if (advanced.affected() != delta.advances.size()) {
    transaction.roll_back();
    return {.outcome = ApplyOutcome::kFenced};
  }
  TIDEMARK_KILL_POINT("X3");
  share_turn(transaction);
  const Turn turn = read_turn(transaction);
  const auto look = looks_at(source_ ? &*source_ : nullptr, transaction);
  const SourceSnapshot seen = source_ ? look() : turn.snapshot;
  if (recounted_ && turn.history != history()) {  // the claim sees to it
    transaction.roll_back();
    return {.outcome = ApplyOutcome::kFenced};
  }
  wait_until_visible(delta, seen, look);
  const FencedDelta fenced = fences_at(transaction, turn.version).let_through(delta);
  Upserted upserted =
      upsert(transaction, fenced.aggregates.empty() ? delta.aggregates : fenced.aggregates);
  std::vector<SuspectCell> suspects;
  if (!upserted.negative.empty()) {
    suspects = merge_cells(delta.suspect_cells, std::move(upserted.negative));
  }
  const std::size_t new_negative =
      add_suspects(transaction, declaration_, suspects.empty() ? delta.suspect_cells : suspects,
                   SuspectCause::kNegative);
  add_ranges(transaction, declaration_, delta.suspect_ranges,
             source_ ? std::optional(seen.next) : std::nullopt);
  announce(transaction, declaration_, delta, fenced, upserted.values);
  book_skipped(transaction, delta, fenced.skipped);
  park(transaction, delta.parked);
  const Marked marked = add_marks(transaction, declaration_, delta);
  TIDEMARK_KILL_POINT("X5");
  transaction.commit();
  if (marked.users > 0 && on_marked_) on_marked_();
  std::size_t rows = 0;
  for (const AggregateDelta& aggregate : delta.aggregates) rows += aggregate.rows();
  return {.rows_written = rows,
          .negative_cells = new_negative,
          .skipped_changes = fenced.skipped_changes,
          .suspects = delta.suspect_cells.size() + delta.suspect_ranges.size(),
          .below_checkpoint = marked.below_checkpoint};
}

WalPositions PgStore::wal_positions() {
  PgTransaction transaction(session_.get());
  const SqlResult rows = transaction.run("wal_positions", {});
  transaction.commit();
  return {Lsn(unsigned_bits(rows.integer(0, 0))), Lsn(unsigned_bits(rows.integer(0, 1)))};
}

// --- data loss ----------------------------------------------------------------------------------

std::vector<SuspectRange> PgStore::all_ranges(SuspectCause cause) const {
  std::vector<SuspectRange> ranges;
  for (std::uint32_t a = 0; a < declaration_.aggregates.size(); ++a) {
    for (std::uint32_t c = 0; c < declaration_.aggregates[a].cells(); ++c) {
      ranges.push_back({AggregateIndex(a), CounterIndex(c), cause});
    }
  }
  return ranges;
}

bool PgStore::record_data_loss(const TopicPartition& where, Epoch epoch, std::string_view reason) {
  PgTransaction transaction(session_.get());
  transaction.run_sql({"make the commit durable", ""}, "set local synchronous_commit = on");
  const SqlResult updated = transaction.run(
      "record_data_loss",
      {where.topic, number(where.partition.value), number(epoch.value), std::string(reason)});
  if (updated.affected() == 0) {
    transaction.roll_back();
    return false;
  }
  add_ranges(transaction, declaration_, all_ranges(SuspectCause::kDataLoss));
  request_all_sweeps(transaction, declaration_);
  transaction.commit();
  return true;
}

}  // namespace tidemark
