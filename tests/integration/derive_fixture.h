// The shipped application with its rules on a real database, and who is dirty in it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/check.h"
#include "consumer/core/declaration_toml.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_derive.h"
#include "tests/support/pg_fixture.h"

namespace tidemark::testing {

using std::chrono::milliseconds;

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline const std::filesystem::path kRoot = TIDEMARK_SOURCE_DIR;

// The files that ship, and more of them.
inline Declaration shipped_with(const std::vector<DeclarationFile>& more,
                                const ReadStatement& statements) {
  std::vector<DeclarationFile> files = more;
  for (const char* kind : {"tables", "aggregates", "rules"}) {
    for (const auto& entry : std::filesystem::directory_iterator(kRoot / "schemas" / kind)) {
      files.push_back({entry.path().string(), text_of(entry.path())});
    }
  }
  const auto read = [&](const std::filesystem::path& path) -> std::optional<std::string> {
    if (const auto own = statements(path)) return own;
    return std::filesystem::exists(path) ? std::optional(text_of(path)) : std::nullopt;
  };
  auto parsed = parse_declaration(files, read);
  if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&parsed)) {
    ADD_FAILURE() << errors->front().text();
    return {};
  }
  return std::get<Declaration>(std::move(parsed));
}

inline Declaration shipped() {
  return shipped_with({}, [](const auto&) { return std::nullopt; });
}

class StoreDerive : public StoreTest {
 protected:
  explicit StoreDerive(Declaration declaration = shipped()) : app_(std::move(declaration)) {
    sql("drop table public.playlists, public.aggregate_playlist, public.aggregate_tag,"
        " public.aggregate_user, public.aggregate_uuid");
    sql("set search_path = public;" + text_of(kRoot / "ops/app/schema.sql") +
        "set search_path = pg_catalog;");
    // Blocks count from small numbers here.
    sql("update public.challenges set starting_block = 0");
    sql("insert into public.blocks select 'b' || n, n from generate_series(1, 100) n");
  }

  void migrate_app() { migrate({options(), "counters", ""}, app_); }

  RuleIndex rule(std::string_view name) const {
    const auto found = std::ranges::find(app_.rules, name, &Rule::name);
    TIDEMARK_CHECK(found != app_.rules.end());
    return RuleIndex(static_cast<std::uint32_t>(found - app_.rules.begin()));
  }

  // A batch that makes keys of a rule's source dirty, by changes of one block.
  Delta dirty(std::string_view name, std::vector<std::int64_t> keys,
              std::int64_t block = DirtyKeys::kNoBlock, std::uint32_t source = 0) {
    Delta delta = batch();
    const std::vector<std::int64_t> blocks(keys.size(), block);
    delta.dirty.push_back({rule(name), source, std::move(keys), blocks});
    return delta;
  }
  Delta batch() {
    const Epoch mine = epoch();  // sets next_
    ++next_;
    return DeltaBuilder(app_).advance(mine, next_ - 1, next_).build();
  }
  void mark(std::string_view name, std::vector<std::int64_t> keys,
            std::int64_t block = DirtyKeys::kNoBlock, std::uint32_t source = 0) {
    ASSERT_EQ(store_.apply(dirty(name, std::move(keys), block, source)).outcome,
              ApplyOutcome::kApplied);
  }
  Epoch epoch() {
    if (!epoch_) {
      const Claimed claimed = store_.claim(std::vector{at(0)})[0];
      epoch_ = claimed.epoch;
      next_ = claimed.next.value;
    }
    return *epoch_;
  }

  // A mobile user, in that block.
  void installs(int user, const std::string& block = "50") {
    sql("insert into public.user_events (user_id, is_mobile_user, is_current, blocknumber) values "
        "(" +
        std::to_string(user) + ", true, true, " + block + ")");
  }
  void joins(int user, int referrer, const std::string& block = "50") {
    sql("insert into public.user_events (user_id, referrer, is_current, blocknumber) values (" +
        std::to_string(user) + ", " + std::to_string(referrer) + ", true, " + block + ")");
  }
  void profile(int user, bool verified, const std::string& block = "50") {
    sql("insert into public.users (user_id, is_current, handle_lc, is_verified, blocknumber,"
        " created_at, updated_at) values (" +
        std::to_string(user) + ", true, 'h', " + (verified ? "true" : "false") + ", " + block +
        ", now(), now())");
  }

  // Derives until nothing is due.
  std::vector<RuleFailure> derive_all() {
    std::vector<RuleFailure> failures;
    while (true) {
      Derived derived = derive_.derive();
      std::ranges::move(derived.failures, std::back_inserter(failures));
      if (derived.users == 0) return failures;
    }
  }
  void sweep_all() {
    while (derive_.sweep(milliseconds(0))) {
    }
  }
  // As if the rules had been declared for long.
  void forget_sweeps() { sql("update tidemark.sweeps set requested = false"); }

  const Declaration app_;
  PgStore store_{app_, store_options()};
  PgDerive derive_{app_, {.pg = options(), .users_max = 3}};
  std::optional<Epoch> epoch_;
  std::int64_t next_ = 0;
};

}  // namespace tidemark::testing
