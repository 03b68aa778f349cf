// The running derivers of a member with what they need of Postgres, made from the configuration.
#pragma once

#include <cstddef>
#include <deque>

#include "consumer/service/config.h"
#include "consumer/service/deriver.h"
#include "consumer/store/pg_derive.h"

namespace tidemark {

class Deriving {
 public:
  // Declaration and observer must outlive it.
  Deriving(const Config& config, const Declaration& declaration, DeriveObserver& observer);

  // Users were marked. Thread-safe; doesn't wait.
  void wake();
  // Rethrows what a deriver can't go on with.
  void check();

 private:
  std::deque<PgDerive> stores_;
  std::deque<Deriver> derivers_;  // last: their threads end before what they use
};

}  // namespace tidemark
