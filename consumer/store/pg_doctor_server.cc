// The server and our place in it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>

#include "consumer/store/pg_conninfo.h"
#include "consumer/store/pg_doctor_checks.h"

namespace tidemark {
namespace {

using std::chrono::system_clock;

constexpr double kSkewMaxS = 1;

// What the role may have that the service doesn't need.
constexpr const char* kRoleSql = R"(
select current_user, r.rolsuper,
       (select string_agg(to_regclass(w.name)::text, ', ' order by w.name)
          from unnest($1::text[]) as w(name)
         where has_table_privilege(to_regclass(w.name), 'insert, update, delete, truncate'))
  from pg_roles as r where r.rolname = current_user)";

// Slots that are left, by the tightest of the limits: the server's, the database's, the role's.
constexpr const char* kConnectionsSql = R"(
with clients as (
  select datname, usename from pg_stat_activity where backend_type = 'client backend'
), limits as (
  select 'max_connections' as name,
         current_setting('max_connections')::integer
           - current_setting('superuser_reserved_connections')::integer as most,
         (select count(*) from clients) as used
  union all
  select 'the connection limit of database ' || datname, datconnlimit,
         (select count(*) from clients where clients.datname = d.datname)
    from pg_database as d where d.datname = current_database() and d.datconnlimit >= 0
  union all
  select 'the connection limit of role ' || rolname, rolconnlimit,
         (select count(*) from clients where clients.usename = r.rolname)
    from pg_roles as r where r.rolname = current_user and r.rolconnlimit >= 0
)
select name, most, used from limits order by most - used limit 1)";

double epoch_s(system_clock::time_point at) {
  return std::chrono::duration<double>(at.time_since_epoch()).count();
}

}  // namespace

Findings look_at_standby(const DoctorCase& in) {
  if (!ask(in, "look for recovery", "select pg_is_in_recovery()").boolean(0, 0)) return {};
  return {error_found("the database is a standby",
                      "its snapshots miss running transactions, and nothing can be written: a "
                      "member refuses to start on it",
                      fmt::format("name the primary in [{}] connection, or all hosts: libpq finds "
                                  "the primary among \"host=a,b\"",
                                  in.section))};
}

Findings look_at_wal_level(const DoctorCase& in) {
  const SqlResult level = ask(in, "read wal_level", "select current_setting('wal_level')");
  if (level.text(0, 0) == "logical") return {};
  return {error_found(fmt::format("wal_level is {}, not logical", level.text(0, 0)),
                      "Debezium can't decode the log: no change arrives",
                      "psql -c \"alter system set wal_level = logical\", then restart the server")};
}

Findings look_at_tls(const DoctorCase& in) {
  const std::vector<std::string> hosts = unverified_hosts(in.pg.connection);
  if (hosts.empty()) return {};
  const bool encrypted =
      ask(in, "look at TLS", "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
          .boolean(0, 0);
  return {
      {in.options.unverified_allowed ? Finding::Level::kWarning : Finding::Level::kError,
       fmt::format("the connection to {} is {}", fmt::join(hosts, ", "),
                   encrypted ? "encrypted, and nobody verifies to whom" : "not encrypted"),
       "whoever stands between can read the password and the rows, and answer in the server's "
       "place",
       fmt::format("sslmode=verify-full sslrootcert=FILE in [{}] connection; without it a member "
                   "starts only with [postgres] allow_unverified_hosts = true",
                   in.section)}};
}

Findings look_at_role(const DoctorCase& in) {
  const SqlResult role =
      ask(in, "read the role's rights", kRoleSql, {watched_names(in.declaration)});
  const std::string name(role.text(0, 0));
  const std::string why =
      "the service needs to read watched tables and to write counters, no "
      "more; what it may do, who takes it over may do, too";
  const std::string mend = fmt::format(
      "a role of its own, as sql/roles.sql makes it, in [{}] connection; then `tidemark migrate "
      "--print-grants | psql`",
      in.section);
  if (role.boolean(0, 1)) return {warning_found(name + " is a superuser", why, mend)};
  if (role.is_null(0, 2)) return {};
  return {warning_found(fmt::format("{} may write watched tables: {}", name, role.text(0, 2)), why,
                        mend)};
}

Findings look_at_connections(const DoctorCase& in) {
  const SqlResult limit = ask(in, "count connections", kConnectionsSql);
  const std::int64_t left = limit.integer(0, 1) - limit.integer(0, 2);
  if (left >= static_cast<std::int64_t>(in.options.connections)) return {};
  return {warning_found(
      fmt::format("{} of {} connections are left, by {}", std::max<std::int64_t>(left, 0),
                  limit.integer(0, 1), limit.text(0, 0)),
      fmt::format("one more member opens up to {}: it would wait, and so may a restarted one",
                  in.options.connections),
      "raise that limit, close idle sessions (select * from pg_stat_activity where state = "
      "'idle'), or lower [batch] lanes")};
}

Findings look_at_clock(const DoctorCase& in) {
  const double before = epoch_s(system_clock::now());
  const SqlResult asked =
      ask(in, "ask for the time", "select extract(epoch from clock_timestamp())::double precision");
  const double after = epoch_s(system_clock::now());
  const double theirs = std::stod(std::string(asked.text(0, 0)));
  // It was between the two: only what is outside is skew.
  const double skew = theirs > after ? theirs - after : std::min(theirs - before, 0.0);
  if (std::abs(skew) <= kSkewMaxS) return {};
  return {warning_found(
      fmt::format("the database's clock is {:.1f} s {} of this machine's", std::abs(skew),
                  skew > 0 ? "ahead" : "behind"),
      "counts don't depend on clocks, but freshness and ages in metrics and alerts are off by it",
      "synchronise both by NTP: `chronyc tracking` or `timedatectl` on each")};
}

}  // namespace tidemark
