#include "consumer/store/pg_parked.h"

#include <utility>

#include "consumer/store/array_literal.h"
#include "consumer/store/parked_rows.h"

namespace tidemark {
namespace {

// $1 to $5: see bounds_params.
constexpr const char* kWithin =
    " ($1::text is null or topic = $1::text)"
    " and ($2::integer is null or partition = $2::integer)"
    " and ($3::bigint is null or \"offset\" >= $3::bigint)"
    " and ($4::bigint is null or \"offset\" <= $4::bigint)"
    " and ($5::text is null or code = $5::text)";

constexpr const char* kAfter =
    " and ($6::text is null or (topic, partition, \"offset\")"
    " > ($6::text collate \"C\", $7::integer, $8::bigint))"
    " order by topic, partition, \"offset\" limit $9::bigint";

constexpr const char* kDropSql = R"(
delete from tidemark.parked k
 using unnest($1::text[], $2::integer[], $3::bigint[]) as b(topic, partition, "offset")
 where k.topic = b.topic and k.partition = b.partition and k."offset" = b."offset")";

PgOptions durable(PgOptions options) {
  options.synchronous_commit = true;
  return options;
}

template <class Number>
std::optional<std::string> text_of(const std::optional<Number>& number) {
  if (!number) return std::nullopt;
  return std::to_string(number->value);
}

SqlParams bounds_params(const ParkedBounds& bounds) {
  return {bounds.topic, text_of(bounds.partition), text_of(bounds.from), text_of(bounds.to),
          bounds.code};
}

}  // namespace

PgParked::PgParked(const Declaration& declaration, PgOptions options, std::string group_id,
                   std::optional<PgOptions> source)
    : declaration_(declaration),
      claim_{std::move(group_id), declaration_hash(declaration)},
      session_(durable(std::move(options)), [this](PgConnection& connection) {
        {
          PgTransaction transaction(connection);
          check_state(transaction, claim_);
          transaction.commit();
        }
        prepare_touch(connection, declaration_);
        connection.prepare({"drop_parked", "tidemark.parked"}, kDropSql);
      }) {
  if (source) source_.emplace(declaration_, *std::move(source));
}

std::uint64_t PgParked::count(const ParkedBounds& bounds) {
  PgTransaction transaction(session_.get());
  const SqlResult rows = transaction.run_sql(
      {"count_parked", "tidemark.parked"},
      std::string("select count(*) from tidemark.parked where") + kWithin, bounds_params(bounds));
  transaction.commit();
  return static_cast<std::uint64_t>(rows.integer(0, 0));
}

std::vector<ParkedDetail> PgParked::read(const ParkedBounds& bounds,
                                         const std::optional<ParkedPlace>& after,
                                         std::size_t limit) {
  SqlParams params = bounds_params(bounds);
  std::optional<std::string> topic;
  std::optional<Partition> partition;
  std::optional<Offset> offset;
  if (after) {
    topic = after->where.topic;
    partition = after->where.partition;
    offset = after->offset;
  }
  params.push_back(topic);
  params.push_back(text_of(partition));
  params.push_back(text_of(offset));
  params.emplace_back(std::to_string(limit));
  PgTransaction transaction(session_.get());
  const SqlResult rows =
      transaction.run_sql({"read_parked", "tidemark.parked"},
                          std::string(kParkedDetailSql) + " where" + kWithin + kAfter, params);
  transaction.commit();
  std::vector<ParkedDetail> parked;
  for (std::size_t row = 0; row < rows.rows(); ++row) parked.push_back(parked_detail(rows, row));
  return parked;
}

Touched PgParked::settle(const Delta& delta, std::span<const ParkedPlace> gone) {
  ArrayLiteral topics;
  ArrayLiteral partitions;
  ArrayLiteral offsets;
  for (const ParkedPlace& place : gone) {
    topics.add(place.where.topic);
    partitions.add(place.where.partition.value);
    offsets.add(place.offset.value);
  }
  PgTransaction transaction(session_.get());
  const Touched touched = touch(transaction, declaration_, delta, source_ ? &*source_ : nullptr);
  transaction.run("drop_parked", {topics.take(), partitions.take(), offsets.take()});
  transaction.commit();
  return touched;
}

}  // namespace tidemark
