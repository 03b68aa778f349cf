#include "consumer/store/pg_replay.h"

#include <utility>

#include "consumer/store/array_literal.h"

namespace tidemark {
namespace {

constexpr const char* kBeginSql = R"(
insert into tidemark.replays (topic, partition, first_offset, next_offset, end_offset,
                              started_from)
select b.topic, b.partition, b.first_offset, b.next_offset, b.end_offset, $6::text
  from unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[])
    as b(topic, partition, first_offset, next_offset, end_offset)
 order by b.topic, b.partition
on conflict do nothing)";

// A row for each pair that is asked for, in that order.
constexpr const char* kReadSql = R"(
select r.first_offset, r.next_offset, r.end_offset, r.started_from
  from unnest($1::text[], $2::integer[]) with ordinality as b(topic, partition, at)
  join tidemark.replays r on r.topic = b.topic and r.partition = b.partition
 order by b.at)";

// Like a batch's progress (rule P1): two replays of one partition don't both go on. Locked in one
// order.
constexpr const char* kAdvanceSql = R"(
with locked as materialized (
  select r.topic, r.partition, b.to_offset from tidemark.replays r
    join unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
      as b(topic, partition, from_offset, to_offset)
      on r.topic = b.topic and r.partition = b.partition
   where r.next_offset = b.from_offset order by r.topic, r.partition for update of r
)
update tidemark.replays r set next_offset = l.to_offset, updated_at = now()
  from locked l where l.topic = r.topic and l.partition = r.partition)";

constexpr const char* kFinishSql = R"(
delete from tidemark.replays r
 using unnest($1::text[], $2::integer[], $3::bigint[]) as b(topic, partition, next_offset)
 where r.topic = b.topic and r.partition = b.partition and r.next_offset = b.next_offset)";

PgOptions for_batches(PgOptions options) {
  options.synchronous_commit = false;
  return options;
}

void expect_all(PgTransaction& transaction, std::size_t found, std::size_t wanted) {
  if (found == wanted) return;
  transaction.roll_back();
  throw WorldError(ErrorKind::kFatal,
                   "replay: another replay of these topics has gone on, was started anew or has "
                   "ended meanwhile: let one of them run");
}

struct PartArrays {
  explicit PartArrays(std::span<const ReplayPart> parts) {
    for (const ReplayPart& part : parts) {
      topics.add(part.where.topic);
      partitions.add(part.where.partition.value);
      firsts.add(part.first.value);
      nexts.add(part.next.value);
      ends.add(part.end.value);
    }
  }

  ArrayLiteral topics;
  ArrayLiteral partitions;
  ArrayLiteral firsts;
  ArrayLiteral nexts;
  ArrayLiteral ends;
};

SqlParams replay_advance_params(std::span<const Advance> advances) {
  ArrayLiteral topics;
  ArrayLiteral partitions;
  ArrayLiteral from;
  ArrayLiteral to;
  for (const Advance& advance : advances) {
    topics.add(advance.where.topic);
    partitions.add(advance.where.partition.value);
    from.add(advance.from.value);
    to.add(advance.to.value);
  }
  return {topics.take(), partitions.take(), from.take(), to.take()};
}

}  // namespace

PgReplay::PgReplay(const Declaration& declaration, PgReplayOptions options)
    : declaration_(declaration),
      claim_{std::move(options.group_id), declaration_hash(declaration)},
      session_(for_batches(std::move(options.pg)),
               [this](PgConnection& connection) { prepare(connection); }) {
  if (options.source) source_.emplace(declaration_, *std::move(options.source));
}

void PgReplay::prepare(PgConnection& connection) {
  {
    PgTransaction transaction(connection);
    check_schema(transaction);
    transaction.commit();
  }
  prepare_touch(connection, declaration_);
  connection.prepare({"begin_replay", "tidemark.replays"}, kBeginSql);
  connection.prepare({"read_replay", "tidemark.replays"}, kReadSql);
  connection.prepare({"drop_replay", "tidemark.replays"},
                     "delete from tidemark.replays where topic = any($1::text[])");
  connection.prepare({"advance_replay", "tidemark.replays"}, kAdvanceSql);
  connection.prepare({"finish_replay", "tidemark.replays"}, kFinishSql);
}

std::vector<ReplayPart> PgReplay::begin(const std::string& from,
                                        std::span<const ReplayPart> parts) {
  PgTransaction transaction(session_.get());
  check_state(transaction, claim_);
  PartArrays arrays(parts);
  const SqlParams keys{arrays.topics.take(), arrays.partitions.take()};
  transaction.run("begin_replay", {keys[0], keys[1], arrays.firsts.take(), arrays.nexts.take(),
                                   arrays.ends.take(), from});
  const SqlResult rows = transaction.run("read_replay", keys);
  expect_all(transaction, rows.rows(), parts.size());  // another may end just now
  std::vector<ReplayPart> stored;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    if (rows.text(row, 3) != from) {
      throw WorldError(ErrorKind::kConfig,
                       "replay: one of " + parts[row].where.topic + " from " +
                           std::string(rows.text(row, 3)) +
                           " has not ended: go on with it by the same --from, or drop it by "
                           "--restart");
    }
    stored.push_back({parts[row].where, Offset(rows.integer(row, 0)), Offset(rows.integer(row, 1)),
                      Offset(rows.integer(row, 2))});
  }
  transaction.commit();
  return stored;
}

void PgReplay::drop(std::span<const std::string> topics) {
  PgTransaction transaction(session_.get());
  transaction.run("drop_replay", {array_of(topics)});
  transaction.commit();
}

Touched PgReplay::store(const Delta& delta) {
  PgTransaction transaction(session_.get());
  const SqlResult advanced =
      transaction.run("advance_replay", replay_advance_params(delta.advances));
  expect_all(transaction, advanced.affected(), delta.advances.size());
  const Touched touched = touch(transaction, declaration_, delta, source_ ? &*source_ : nullptr);
  transaction.commit();
  return touched;
}

void PgReplay::finish(std::span<const ReplayPart> parts) {
  PgTransaction transaction(session_.get());
  transaction.run_sql({"make the commit durable", ""}, "set local synchronous_commit = on");
  PartArrays arrays(parts);
  const SqlResult gone = transaction.run(
      "finish_replay", {arrays.topics.take(), arrays.partitions.take(), arrays.nexts.take()});
  expect_all(transaction, gone.affected(), parts.size());
  transaction.commit();
}

}  // namespace tidemark
