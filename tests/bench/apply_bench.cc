// How fast `apply` writes cells, against the bare upsert that it is built around.
//
//   apply_bench --connection "host=... dbname=scratch" [--rounds 9]
//
// Makes schema bench_apply and schema tidemark in that database: give it a scratch one. Prints one
// line of JSON; values are rows per second, medians of alternating rounds.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "consumer/store/apply_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/migrate.h"
#include "consumer/store/pg_store.h"

namespace tidemark {
namespace {

constexpr std::int64_t kTableRows = 1'000'000;
constexpr std::size_t kCounters = 2;

struct Shape {
  const char* name;
  std::size_t rows;  // distinct keys a batch
  bool skewed;       // keys crowd at the low end; else all alike
};

constexpr Shape kShapes[] = {{"flat_20k", 20'000, false},
                             {"skewed_20k", 20'000, true},
                             {"flat_100k", 100'000, false},
                             {"flat_500k", 500'000, false}};

Declaration bench_declaration() {
  Declaration declaration;
  Aggregate cells;
  cells.name = {"bench_apply", "cells"};
  cells.key = "id";
  cells.key_type = ColumnType::kInteger;
  cells.counters = {{"repost_count"}, {"save_count"}};
  declaration.aggregates = {cells};
  return declaration;
}

PgOptions pg_options(const std::string& connection) {
  PgOptions options;
  options.connection = connection;
  options.synchronous_commit = false;
  options.statement_timeout = std::chrono::minutes(10);
  return options;
}

void make_tables(PgConnection& connection) {
  connection.run_alone(
      "tables",
      "drop schema if exists bench_apply cascade; create schema bench_apply;"
      "drop schema if exists tidemark cascade;"
      "create table bench_apply.cells (id integer primary key,"
      " repost_count integer not null default 0,"
      " save_count integer not null default 0) with (fillfactor = 50);"
      // High enough to stay positive: negative cells would be stored as suspects too.
      "insert into bench_apply.cells select n, 1000, 1000 from generate_series(1, " +
          std::to_string(kTableRows) + ") n");
  connection.run_alone("vacuum", "vacuum analyze bench_apply.cells");
}

// Distinct keys in ascending order; about one in a hundred is new to the table at first.
std::vector<std::int64_t> keys_of(const Shape& shape, std::mt19937_64& random) {
  std::uniform_real_distribution<double> unit(0.0, 1.0);
  std::vector<std::int64_t> keys;
  std::vector<bool> taken(static_cast<std::size_t>(kTableRows * 101 / 100) + 1);
  while (keys.size() < shape.rows) {
    const double at = unit(random);
    const double place = shape.skewed ? at * at * at * at : at;
    const auto key = static_cast<std::size_t>(place * static_cast<double>(taken.size() - 1)) + 1;
    if (key >= taken.size() || taken[key]) continue;
    taken[key] = true;
    keys.push_back(static_cast<std::int64_t>(key));
  }
  std::ranges::sort(keys);
  return keys;
}

AggregateDelta delta_of(const Shape& shape, std::mt19937_64& random) {
  AggregateDelta delta;
  delta.counters = kCounters;
  delta.integer_keys = keys_of(shape, random);
  for (std::size_t i = 0; i < shape.rows * kCounters; ++i) {
    // One in eight takes away, so that negative cells are looked for as in a real stream.
    delta.deltas.push_back(random() % 8 == 0 ? -1 : static_cast<std::int32_t>(random() % 4));
  }
  return delta;
}

constexpr const char* kBareSql = R"(
insert into bench_apply.cells as t (id, repost_count, save_count)
select * from unnest($1::integer[], $2::integer[], $3::integer[])
on conflict (id) do update set repost_count = t.repost_count + excluded.repost_count,
                               save_count = t.save_count + excluded.save_count)";

class Bench {
 public:
  Bench(const std::string& connection, int rounds)
      : rounds_(rounds), declaration_(bench_declaration()), bare_(pg_options(connection)) {
    make_tables(bare_);
    migrate({pg_options(connection), "bench", ""}, declaration_);
    store_ = std::make_unique<PgStore>(
        declaration_, PgStoreOptions{pg_options(connection), "bench", "bench", false});
    epoch_ = store_->claim(std::vector{where_})[0].epoch;
    bare_.prepare({"bare", "bench_apply.cells"}, kBareSql);
  }

  std::string run(const Shape& shape) {
    std::vector<double> ours;
    std::vector<double> bare;
    std::vector<double> joined;
    for (int round = 0; round < rounds_; ++round) {
      bare.push_back(time(shape, [&](AggregateDelta& delta) { return bare_upsert(delta); }));
      ours.push_back(time(shape, [&](AggregateDelta& delta) { return apply(delta); }));
      if (shape.rows >= 100'000) {
        joined.push_back(time(shape, [&](AggregateDelta& delta) { return joined_update(delta); }));
      }
    }
    std::string line = result(std::string(shape.name), "bare upsert", median(ours), median(bare));
    if (!joined.empty()) {
      line += ", " + result(fmt::format("{}_joined_update", shape.name), "bare upsert",
                            median(joined), median(bare));
    }
    return line;
  }

 private:
  using Clock = std::chrono::steady_clock;

  // Rows per second of one batch; `work` prepares what isn't measured, and gives what is.
  double time(const Shape& shape,
              const std::function<std::function<void()>(AggregateDelta&)>& work) {
    AggregateDelta delta = delta_of(shape, random_);
    const std::function<void()> measured = work(delta);
    const auto start = Clock::now();
    measured();
    const std::chrono::duration<double> took = Clock::now() - start;
    return static_cast<double>(shape.rows) / took.count();
  }

  std::function<void()> bare_upsert(const AggregateDelta& delta) {
    return [this, params = upsert_params(delta)] {
      PgTransaction transaction(bare_);
      transaction.run("bare", params);
      transaction.commit();
    };
  }

  // With everything that belongs to it: literals, offsets, negative cells.
  std::function<void()> apply(AggregateDelta& delta) {
    auto batch = std::make_shared<Delta>();
    batch->aggregates.push_back(std::move(delta));
    Advance advance;
    advance.where = where_;
    advance.epoch = epoch_;
    advance.from = Offset(offset_);
    advance.to = Offset(++offset_);
    batch->advances.push_back(advance);
    return [this, batch] {
      if (store_->apply(*batch).outcome != ApplyOutcome::kApplied) std::abort();
    };
  }

  // A temporary table and one joined UPDATE in key order, then what is missing.
  std::function<void()> joined_update(const AggregateDelta& delta) {
    return [this, params = upsert_params(delta)] {
      PgTransaction transaction(bare_);
      transaction.run_sql({"temp", ""},
                          "create temporary table d (id integer, a integer, b integer)"
                          " on commit drop; set local enable_hashjoin = off");
      transaction.run_sql(
          {"fill", ""},
          "insert into d select * from unnest($1::integer[], $2::integer[], $3::integer[])",
          params);
      transaction.run_sql({"analyze", ""}, "analyze d");
      transaction.run_sql({"update", ""},
                          "update bench_apply.cells t set repost_count = t.repost_count + d.a,"
                          " save_count = t.save_count + d.b from d where d.id = t.id");
      transaction.run_sql({"insert", ""},
                          "insert into bench_apply.cells select d.* from d where not exists"
                          " (select from bench_apply.cells t where t.id = d.id)"
                          " on conflict do nothing");
      transaction.commit();
    };
  }

  static double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
  }

  static std::string result(const std::string& name, const std::string& peer, double value,
                            double peer_value) {
    return fmt::format(R"({{"name":"{}","value":{:.0f},"unit":"rows/s",)"
                       R"("peer":"{}","peer_value":{:.0f},"ratio":{:.3f}}})",
                       name, value, peer, peer_value, value / peer_value);
  }

  int rounds_;
  Declaration declaration_;
  PgConnection bare_;
  std::unique_ptr<PgStore> store_;
  TopicPartition where_{"bench", Partition(0)};
  Epoch epoch_;
  std::int64_t offset_ = -1;
  std::mt19937_64 random_{42};
};

int run_all(const std::string& connection, int rounds) {
  Bench bench(connection, rounds);
  std::string results;
  for (const Shape& shape : kShapes) {
    results += (results.empty() ? "" : ", ") + bench.run(shape);
  }
  std::printf("{\"name\":\"apply\",\"results\":[%s]}\n", results.c_str());
  return 0;
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  std::string connection;
  int rounds = 9;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--connection") connection = argv[i + 1];
    if (name == "--rounds") rounds = std::max(1, std::atoi(argv[i + 1]));
  }
  if (connection.empty()) {
    std::fprintf(stderr, "apply_bench --connection CONNECTION [--rounds N]\n");
    return 2;
  }
  try {
    return tidemark::run_all(connection, rounds);
  } catch (const tidemark::WorldError& error) {
    std::fprintf(stderr, "apply_bench: %s\n", error.what());
    return 1;
  }
}
