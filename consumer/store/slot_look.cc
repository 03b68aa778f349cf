#include "consumer/store/slot_look.h"

#include <utility>

#include "consumer/store/overview.h"

namespace tidemark {
namespace {

constexpr const char* kSlotSql = R"(
select active, coalesce(confirmed_flush_lsn::text, ''),
       pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint
  from pg_replication_slots where slot_name = $1::text)";

SlotState read_slot(PgTransaction& transaction, const std::string& name) {
  const SqlResult row = transaction.run_sql({"look at the slot", name}, kSlotSql, {name});
  if (row.rows() == 0) return {};
  return {.there = true,
          .active = row.boolean(0, 0),
          .confirmed = std::string(row.text(0, 1)),
          .behind_bytes = row.optional_integer(0, 2)};
}

}  // namespace

SlotLook::SlotLook(PgOptions source, std::string slot)
    : slot_(std::move(slot)), session_(for_looking(std::move(source)), [](PgConnection&) {}) {}

SourceView SlotLook::look() {
  SourceView view{.slot_name = slot_, .slot = std::nullopt, .trouble = ""};
  try {
    PgTransaction transaction(session_.get());
    view.slot = read_slot(transaction, slot_);
    transaction.commit();
  } catch (const WorldError& error) {
    view.trouble = error.what();
  }
  return view;
}

}  // namespace tidemark
