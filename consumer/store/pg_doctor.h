// What `tidemark doctor` looks at in Postgres. Reads only.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/diagnosis.h"
#include "consumer/store/pg.h"

namespace tidemark {

struct PgDoctorOptions {
  PgOptions pg;  // of the running service's role
  std::string group_id;
  std::string slot;                // Debezium's
  bool unverified_allowed = true;  // false: a member refuses hosts that nobody verifies
  bool recounted = true;           // false: there are no source tables, and nobody reads the slot
  std::size_t connections = 10;    // that one more member would open
  std::optional<PgOptions> source = {};  // where the watched tables are, if elsewhere (F10)
  // A slot that is followed confirms something within it, where it lags at all.
  std::chrono::milliseconds confirm_patience{3'000};
};

// One connection; one thread.
class PgDoctor {
 public:
  // `declaration` must outlive it.
  PgDoctor(const Declaration& declaration, PgDoctorOptions options);

  // In the order in which they should be mended; the first one is the gate. They refer to this.
  std::vector<DoctorCheck> checks();
  // Those of them for who takes over from triggers: what counts too, what is missing.
  std::vector<DoctorCheck> take_over_checks();

 private:
  const Declaration& declaration_;
  PgDoctorOptions options_;
  PgSession session_;
  std::optional<PgSession> source_;
};

}  // namespace tidemark
