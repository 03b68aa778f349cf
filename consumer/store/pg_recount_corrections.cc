// What sweeps corrected, until changes explain it or it is drift (DESIGN 5, C3).
#include "consumer/store/array_literal.h"
#include "consumer/store/pg_recount.h"

namespace tidemark {
namespace {

// A sweep that something else asked for since repairs what was lost.
constexpr const char* kDropSql = R"(
with closed as (
  delete from tidemark.corrections where id = any($1::bigint[])
  returning id, rule, specifier, was, became, offsets, corrected_at,
            (became->>'current_step_count')::bigint as expected,
            coalesce((was->>'current_step_count')::bigint, 0) as found
)
insert into tidemark.drift (aggregate, counter, key, expected, found, difference, recounted_at,
                            offsets, was, became)
select 'public.user_challenges', c.rule, c.specifier, c.expected, c.found, c.expected - c.found,
       c.corrected_at, c.offsets, c.was, c.became
  from closed as c
 where not exists (select from tidemark.sweeps as s
                    where s.rule = c.rule and (s.requested or s.repair))
 order by c.id
returning id, aggregate, counter, key, expected, found, difference,
          to_char(found_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), was, became)";

}  // namespace

void PgRecount::prepare_corrections(PgConnection& connection) {
  connection.prepare({"correction_ends", "tidemark.corrections"},
                     "select id, inserted from tidemark.corrections order by id");
  connection.prepare({"drop_corrections", "tidemark.corrections"}, kDropSql);
}

std::vector<OutstandingFence> PgRecount::outstanding(const SqlResult& rows) {
  std::vector<OutstandingFence> fences;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    fences.push_back({rows.integer(row, 0), Lsn(static_cast<std::uint64_t>(rows.integer(row, 1)))});
  }
  return fences;
}

std::vector<OutstandingFence> PgRecount::corrections() {
  PgTransaction transaction(target_.get());
  return outstanding(transaction.run("correction_ends", {}));
}

std::vector<DriftRow> PgRecount::drop_corrections(std::span<const std::int64_t> corrections) {
  if (corrections.empty()) return {};
  PgTransaction transaction(target_.get());
  const SqlResult rows = transaction.run("drop_corrections", {array_of(corrections)});
  transaction.commit();
  return drift_rows(rows);
}

}  // namespace tidemark
