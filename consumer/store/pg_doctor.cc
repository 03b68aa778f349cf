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

struct Look {
  const char* name;
  Findings (*look)(const DoctorCase&);
};

constexpr std::array kLooks = {
    Look{"standby", look_at_standby},
    Look{"wal_level", look_at_wal_level},
    Look{"tls", look_at_tls},
    Look{"role", look_at_role},
    Look{"state", look_at_state},
    Look{"declarations", look_at_declarations},
    Look{"replica identity", look_at_replica_identity},
    Look{"publication", look_at_publication},
    Look{"slot", look_at_slot},
    Look{"heartbeats", look_at_heartbeats},
    Look{"counting triggers", look_at_triggers},
    Look{"indexes", look_at_indexes},
    Look{"plans", look_at_plans},
    Look{"connections", look_at_connections},
    Look{"clock", look_at_clock},
};

}  // namespace

SqlResult ask(const DoctorCase& in, const char* what, const std::string& sql,
              const SqlParams& params) {
  PgTransaction transaction(in.connection);
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
      session_(for_looking(options_.pg), [](PgConnection&) {}) {}

std::vector<DoctorCheck> PgDoctor::checks() {
  const auto connect = [this] {
    session_.get();
    return Findings();
  };
  std::vector<DoctorCheck> checks{{"postgres", "connection", connect, true}};
  for (const Look& one : kLooks) {
    checks.push_back({"postgres", one.name, [this, look = one.look] {
                        return look({session_.get(), declaration_, options_});
                      }});
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
