#include "consumer/service/deriving.h"

#include "consumer/service/postgres.h"

namespace tidemark {

Deriving::Deriving(const Config& config, const Declaration& declaration, DeriveObserver& observer) {
  const PgDeriveOptions store{.pg = pg_options(config, Role::kService),
                              .users_max = config.derive.users_max};
  const DeriverOptions options{.slow = config.derive.slow, .sweep = config.derive.sweep_every};
  for (std::size_t i = 0; i < config.derive.threads; ++i) {
    derivers_.emplace_back(declaration, stores_.emplace_back(declaration, store), observer,
                           options);
  }
}

void Deriving::wake() {
  for (Deriver& deriver : derivers_) deriver.wake();
}

void Deriving::check() {
  for (Deriver& deriver : derivers_) deriver.check();
}

}  // namespace tidemark
