// The looks of PgDoctor, by what they look at. Each is one look of its own, which needs no other.
#pragma once

#include <string>
#include <vector>

#include "consumer/store/pg_doctor.h"

namespace tidemark {

struct DoctorCase {
  PgConnection& connection;  // to the database that is looked at
  const PgOptions& pg;       // how it is reached
  const char* section;       // of the configuration, which says so
  const Declaration& declaration;
  const PgDoctorOptions& options;
  PgConnection& cells;             // to the target
  PgConnection* source = nullptr;  // to the source, where that is another database
};

using Findings = std::vector<Finding>;

inline Finding error_found(std::string what, std::string why, std::string mend) {
  return {Finding::Level::kError, std::move(what), std::move(why), std::move(mend)};
}
inline Finding warning_found(std::string what, std::string why, std::string mend) {
  return {Finding::Level::kWarning, std::move(what), std::move(why), std::move(mend)};
}
// One statement in its own transaction.
SqlResult ask(PgConnection& connection, const char* what, const std::string& sql,
              const SqlParams& params = {});
inline SqlResult ask(const DoctorCase& in, const char* what, const std::string& sql,
                     const SqlParams& params = {}) {
  return ask(in.connection, what, sql, params);
}
// The names of the watched tables, quoted, as text[].
std::string watched_names(const Declaration& declaration);

// pg_doctor_server.cc
Findings look_at_standby(const DoctorCase& in);
Findings look_at_wal_level(const DoctorCase& in);
Findings look_at_tls(const DoctorCase& in);
Findings look_at_role(const DoctorCase& in);
Findings look_at_connections(const DoctorCase& in);
Findings look_at_clock(const DoctorCase& in);
// pg_doctor_stream.cc: the way of a change from a table into Debezium
Findings look_at_replica_identity(const DoctorCase& in);
Findings look_at_publication(const DoctorCase& in);
Findings look_at_slot(const DoctorCase& in);
Findings look_at_heartbeats(const DoctorCase& in);
// pg_doctor_tables.cc
Findings look_at_state(const DoctorCase& in);
Findings look_at_declarations(const DoctorCase& in);
Findings look_at_triggers(const DoctorCase& in);
Findings look_at_indexes(const DoctorCase& in);
Findings look_at_plans(const DoctorCase& in);

}  // namespace tidemark
