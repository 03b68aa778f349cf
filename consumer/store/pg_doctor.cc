#include "consumer/store/pg_doctor.h"

#include <array>
#include <utility>

#include "consumer/core/recount_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/pg_doctor_checks.h"

namespace tidemark {
namespace {

PgOptions for_looking(PgOptions options) {
  options.application_name = "tidemark doctor";
  options.read_write = false;  // a standby is a finding
  return options;
}

// Which of two databases a look is at (F10).
enum class Of : std::uint8_t { kSource, kTarget, kBoth };

struct Look {
  const char* name;
  Findings (*look)(const DoctorCase&);
  Of of;
};

constexpr std::array kLooks = {
    Look{"standby", look_at_standby, Of::kBoth},
    Look{"wal_level", look_at_wal_level, Of::kSource},
    Look{"tls", look_at_tls, Of::kBoth},
    Look{"role", look_at_role, Of::kBoth},
    Look{"state", look_at_state, Of::kTarget},
    Look{"declarations", look_at_declarations, Of::kTarget},
    Look{"replica identity", look_at_replica_identity, Of::kSource},
    Look{"publication", look_at_publication, Of::kSource},
    Look{"slot", look_at_slot, Of::kSource},
    Look{"heartbeats", look_at_heartbeats, Of::kSource},
    Look{"counting triggers", look_at_triggers, Of::kSource},
    Look{"indexes", look_at_indexes, Of::kSource},
    Look{"plans", look_at_plans, Of::kSource},
    Look{"connections", look_at_connections, Of::kBoth},
    Look{"clock", look_at_clock, Of::kBoth},
};

}  // namespace

SqlResult ask(PgConnection& connection, const char* what, const std::string& sql,
              const SqlParams& params) {
  PgTransaction transaction(connection);
  SqlResult result = transaction.run_sql({what, ""}, sql, params);
  transaction.commit();
  return result;
}

std::string watched_names(const Declaration& declaration) {
  ArrayLiteral names;
  for (const Table& table : declaration.tables) names.add(quote_name(table.name));
  return names.take();
}

PgDoctor::PgDoctor(const Declaration& declaration, PgDoctorOptions options)
    : declaration_(declaration),
      options_(std::move(options)),
      session_(for_looking(options_.pg), [](PgConnection&) {}) {
  if (options_.source) source_.emplace(for_looking(*options_.source), [](PgConnection&) {});
}

std::vector<DoctorCheck> PgDoctor::checks() {
  const auto gate = [](const char* name, PgSession& session) {
    return DoctorCheck{"postgres", name,
                       [&session] {
                         session.get();
                         return Findings();
                       },
                       true};
  };
  std::vector<DoctorCheck> checks{gate("connection", session_)};
  if (source_) checks.push_back(gate("connection to the source", *source_));
  const auto add = [&](const std::string& name, const Look& one, bool at_source) {
    checks.push_back({"postgres", name, [this, look = one.look, at_source] {
                        PgConnection* const source = source_ ? &source_->get() : nullptr;
                        return look({at_source ? *source : session_.get(),
                                     at_source ? *options_.source : options_.pg,
                                     at_source ? "source" : "postgres", declaration_, options_,
                                     session_.get(), source});
                      }});
  };
  for (const Look& one : kLooks) {
    const bool apart = source_.has_value();
    if (!apart || one.of != Of::kSource) add(one.name, one, false);
    if (apart && one.of == Of::kSource) add(one.name, one, true);
    if (apart && one.of == Of::kBoth) add(std::string(one.name) + " of the source", one, true);
  }
  return checks;
}

std::vector<DoctorCheck> PgDoctor::take_over_checks() {
  std::vector<DoctorCheck> all = checks();
  std::erase_if(all, [](const DoctorCheck& check) {
    return !check.gate && check.name != "counting triggers" && check.name != "indexes";
  });
  return all;
}

}  // namespace tidemark
