#include "consumer/store/suspect_table.h"

#include <algorithm>
#include <string>
#include <vector>

#include "consumer/store/array_literal.h"

namespace tidemark {
namespace {

// A cell whose counter waits for a pass in every row is named by that already. What stands in the
// ledger is a repair from now on, and what an operator asked to be recounted no longer drift.
constexpr const char* kSuspectsSql = R"(
with added as (
  insert into tidemark.suspects (aggregate, counter, key, cause)
  select $1::text, $2::text, b.key, b.cause from unnest($3::text[], $4::text[]) as b(key, cause)
   where not exists (select from tidemark.suspect_ranges r
                      where r.aggregate = $1::text and r.counter = $2::text and r.pass is null)
  on conflict do nothing returning cause
), asked as (
  update tidemark.suspects s set cause = b.cause
    from unnest($3::text[], $4::text[]) as b(key, cause)
   where s.aggregate = $1::text and s.counter = $2::text and s.key = b.key
     and s.cause = 'requested'
), repaired as (
  update tidemark.ledger l set suspect = true
   where l.aggregate = $1::text and l.counter = $2::text and not l.suspect
     and l.key in (select unnest($3::text[]))
)
select count(*) from added where cause = $5::text)";

// A pass that is going on began too early for what comes now. A loss is over when nothing is
// suspect for it any more, so its cause stays. Parked records wait until the
// transactions of now have ended: theirs is not known (DESIGN 4.3).
constexpr const char* kRangesSql = R"(
with added as (
  insert into tidemark.suspect_ranges as s (aggregate, counter, cause, not_before)
  select b.aggregate, b.counter, b.cause,
         case when b.cause = $4::text
              then coalesce($5::bigint, pg_current_xact_id()::text::bigint) end
    from unnest($1::text[], $2::text[], $3::text[]) as b(aggregate, counter, cause)
  on conflict (aggregate, counter) do update
     set pass = null, not_before = greatest(s.not_before, excluded.not_before),
         cause = case when excluded.cause = $6::text then excluded.cause else s.cause end
)
update tidemark.ledger l set suspect = true
  from unnest($1::text[], $2::text[]) as b(aggregate, counter)
 where l.aggregate = b.aggregate and l.counter = b.counter and not l.suspect)";

}  // namespace

void prepare_suspects(PgConnection& connection) {
  connection.prepare({"add_suspects", "tidemark.suspects"}, kSuspectsSql);
  connection.prepare({"add_ranges", "tidemark.suspect_ranges"}, kRangesSql);
}

std::size_t add_suspects(PgTransaction& transaction, const Declaration& declaration,
                         std::span<const SuspectCell> cells, SuspectCause counted) {
  std::size_t new_ones = 0;
  const auto same_counter = [](const SuspectCell& a, const SuspectCell& b) {
    return a.aggregate == b.aggregate && a.counter == b.counter;
  };
  while (!cells.empty()) {  // one statement for each counter
    const SuspectCell& first = cells.front();
    const Aggregate& aggregate = declaration.aggregate(first.aggregate);
    ArrayLiteral keys;
    ArrayLiteral causes;
    std::size_t taken = 0;
    for (; taken < cells.size() && same_counter(cells[taken], first); ++taken) {
      keys.add(cells[taken].key);
      causes.add(cause_name(cells[taken].cause));
    }
    const SqlResult added = transaction.run(
        "add_suspects", {aggregate.name.text(), aggregate.cell_name(first.counter), keys.take(),
                         causes.take(), std::string(cause_name(counted))});
    new_ones += static_cast<std::size_t>(added.integer(0, 0));
    cells = cells.subspan(taken);
  }
  return new_ones;
}

void add_ranges(PgTransaction& transaction, const Declaration& declaration,
                std::span<const SuspectRange> ranges, std::optional<std::uint64_t> source_id) {
  if (ranges.empty()) return;
  std::vector<SuspectRange> sorted(ranges.begin(), ranges.end());
  std::ranges::sort(sorted);
  ArrayLiteral aggregates;
  ArrayLiteral counters;
  ArrayLiteral causes;
  for (const SuspectRange& range : sorted) {
    const Aggregate& aggregate = declaration.aggregate(range.aggregate);
    aggregates.add(aggregate.name.text());
    counters.add(aggregate.cell_name(range.counter));
    causes.add(cause_name(range.cause));
  }
  transaction.run("add_ranges",
                  {aggregates.take(), counters.take(), causes.take(),
                   std::string(cause_name(SuspectCause::kParked)),
                   source_id ? std::optional(std::to_string(*source_id)) : std::nullopt,
                   std::string(cause_name(SuspectCause::kDataLoss))});
}

}  // namespace tidemark
