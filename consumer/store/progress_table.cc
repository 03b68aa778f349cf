#include "consumer/store/progress_table.h"

#include <fmt/format.h>

#include <bit>
#include <string>

namespace tidemark {
namespace {

// One row per (partition, hash): an array in a result would have to be parsed.
constexpr const char* kSeenSql = R"(
select b.at - 1, s.hash from unnest($1::text[], $2::integer[])
    with ordinality as b(topic, partition, at)
  join {} p on p.topic = b.topic and p.partition = b.partition
  cross join lateral unnest(p.seen_at_mark) with ordinality as s(hash, place)
 order by b.at, s.place)";

std::uint64_t unsigned_bits(std::int64_t bits) { return std::bit_cast<std::uint64_t>(bits); }

}  // namespace

Claimed read_claimed(const SqlResult& rows, std::size_t row) {
  Claimed claimed;
  claimed.where = {std::string(rows.text(row, 0)),
                   Partition(static_cast<std::int32_t>(rows.integer(row, 1)))};
  claimed.epoch = Epoch(rows.integer(row, 2));
  claimed.next = Offset(rows.integer(row, 3));
  if (const auto lsn = rows.optional_integer(row, 5)) {
    Position position{std::nullopt, Lsn(unsigned_bits(*lsn))};
    if (const auto commit = rows.optional_integer(row, 4)) {
      position.last_commit = Lsn(unsigned_bits(*commit));
    }
    claimed.mark.position = position;
  }
  if (const auto offset = rows.optional_integer(row, 6)) {
    claimed.fingerprint = Fingerprint{Offset(*offset), KafkaTimestamp(rows.integer(row, 7)),
                                      Hash64(unsigned_bits(rows.integer(row, 8))),
                                      Hash64(unsigned_bits(rows.integer(row, 9)))};
  }
  claimed.touch_only = {Offset(rows.integer(row, 10)), Lsn(unsigned_bits(rows.integer(row, 11)))};
  claimed.parked = unsigned_bits(rows.integer(row, 12));
  return claimed;
}

std::string seen_sql(const std::string& table) { return fmt::format(kSeenSql, table); }

void read_seen(PgTransaction& transaction, const std::string& topics, const std::string& partitions,
               std::vector<Claimed>& claimed) {
  const SqlResult seen = transaction.run("read_seen", {topics, partitions});
  for (std::size_t row = 0; row < seen.rows(); ++row) {
    const auto at = static_cast<std::size_t>(seen.integer(row, 0));
    claimed.at(at).mark.seen.emplace_back(unsigned_bits(seen.integer(row, 1)));
  }
}

}  // namespace tidemark
