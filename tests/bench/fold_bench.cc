// How many events one core decodes and folds. The goal: 1,000,000 a second of the reposts events of
// 900 bytes that the chain benchmark reads, declared as in schemas/.
//
// Events lie in memory as librdkafka leaves them, one behind the other, more than the caches hold.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "consumer/core/declaration_toml.h"
#include "consumer/core/decode.h"
#include "consumer/core/fold.h"
#include "tests/bench/repost_events.h"

namespace tidemark::bench {
namespace {

constexpr std::size_t kEvents = 200'000;  // 180 MB
constexpr std::size_t kBatch = 100'000;   // events between two calls of Fold::take
constexpr double kZipf = 1.1;
constexpr double kFlat = 0;

Declaration load() {
  auto loaded = load_declaration(TIDEMARK_SOURCE_DIR "/schemas");
  if (auto* errors = std::get_if<std::vector<DeclarationError>>(&loaded)) {
    std::fprintf(stderr, "fold_bench: %s\n", errors->front().text().c_str());
    std::exit(EXIT_FAILURE);
  }
  return std::get<Declaration>(std::move(loaded));
}

// A topic of one partition in memory.
class Topic {
 public:
  explicit Topic(double zipf) {
    EventOptions options;
    options.zipf = zipf;
    RepostEvents events(options);
    std::vector<std::pair<std::size_t, std::size_t>> sizes;
    for (std::size_t i = 0; i < kEvents; ++i) {
      events.next();
      bytes_ += events.key();
      bytes_ += events.value();
      sizes.emplace_back(events.key().size(), events.value().size());
    }
    std::string_view rest = bytes_;
    for (const auto& [key, value] : sizes) {
      Record record;
      record.topic = "bench.public.reposts";
      record.offset = Offset(static_cast<std::int64_t>(records_.size()));
      record.timestamp = KafkaTimestamp(1'795'249'050'799);
      record.key = rest.substr(0, key);
      record.value = rest.substr(key, value);
      rest.remove_prefix(key + value);
      records_.push_back(record);
    }
  }

  const std::vector<Record>& records() const { return records_; }

 private:
  std::string bytes_;
  std::vector<Record> records_;
};

const Topic& topic_of(double zipf) {
  static const Topic skewed(kZipf);
  static const Topic flat(kFlat);
  return zipf > 0 ? skewed : flat;
}

TopicTables reposts_of(const Declaration& declaration) {
  for (std::uint32_t i = 0; i < declaration.tables.size(); ++i) {
    if (declaration.tables[i].name.text() == "public.reposts") return {{TableIndex(i)}, false};
  }
  std::fprintf(stderr, "fold_bench: schemas/ declares no public.reposts\n");
  std::exit(EXIT_FAILURE);
}

void start_again(Fold& fold) {
  const std::vector<FoldPartition> partitions{
      {{"bench.public.reposts", Partition(0)}, Epoch(1), Offset(0), Mark{}}};
  fold.reset(partitions);
}

std::size_t rows_of(const Delta& delta) {
  std::size_t rows = 0;
  for (const AggregateDelta& aggregate : delta.aggregates) rows += aggregate.rows();
  return rows;
}

void decode_only(benchmark::State& state, double zipf) {
  const Declaration declaration = load();
  const TopicTables tables = reposts_of(declaration);
  Decoder decoder(declaration, {});
  Change change;
  const Topic& topic = topic_of(zipf);  // made outside of what is measured
  for (auto _ : state) {
    for (const Record& record : topic.records()) {
      if (!std::holds_alternative<Decoded>(decoder.decode(record, tables, change))) {
        return state.SkipWithError("a record that does not decode");
      }
      benchmark::DoNotOptimize(change.after.data());
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kEvents));
}

// As the pipeline does it: every record is decoded and folded, every batch taken. Each round goes
// over the whole topic with fresh marks, as the events of a second round would be duplicates.
void decode_and_fold(benchmark::State& state, double zipf) {
  const Declaration declaration = load();
  const TopicTables tables = reposts_of(declaration);
  Decoder decoder(declaration, {});
  Fold fold(declaration, NotNewPolicy::kDrop);
  Change change;
  std::size_t rows = 0;
  const Topic& topic = topic_of(zipf);  // made outside of what is measured
  for (auto _ : state) {
    start_again(fold);
    for (const Record& record : topic.records()) {
      if (!std::holds_alternative<Decoded>(decoder.decode(record, tables, change))) {
        return state.SkipWithError("a record that does not decode");
      }
      fold.add_change(record, change);
      if (fold.records() == kBatch) rows += rows_of(fold.take());
    }
  }
  if (rows == 0) return state.SkipWithError("nothing was folded");
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kEvents));
}

BENCHMARK_CAPTURE(decode_and_fold, skewed, kZipf)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode_and_fold, flat, kFlat)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode_only, skewed, kZipf)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tidemark::bench

BENCHMARK_MAIN();
