// How long one record takes to decode. The goal: at most 0.6 us for a reposts update of 900 bytes.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "consumer/core/decode.h"
#include "tests/support/captures.h"
#include "tests/support/declarations.h"

namespace tidemark::testing {
namespace {

// The records of one op (a letter) and table in a capture.
std::vector<CapturedRecord> captured(const char* file, std::string_view table, char op) {
  const std::string op_field = std::string("\"op\":\"") + op + "\"";
  std::vector<CapturedRecord> found;
  for (CapturedRecord& record : read_capture(file)) {
    if (record.table() != table || !record.value) continue;
    if (record.value->find(op_field) != std::string::npos) found.push_back(std::move(record));
  }
  return found;
}

void decode_all(benchmark::State& state, const std::vector<CapturedRecord>& records,
                std::string_view table) {
  const Declaration declaration = music_declaration();
  const TopicTables tables{{table_named(declaration, table)}, false};
  Decoder decoder(declaration, {});
  Change change;
  std::size_t bytes = 0;
  std::size_t next = 0;
  for (auto _ : state) {
    const Record record = records[next].record();
    if (++next == records.size()) next = 0;
    bytes += record.value->size();
    if (!std::holds_alternative<Decoded>(decoder.decode(record, tables, change))) {
      state.SkipWithError("a record that does not decode");
      break;
    }
    benchmark::DoNotOptimize(change.after.data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  state.SetItemsProcessed(state.iterations());
}

void decode_update(benchmark::State& state) {
  decode_all(state, captured("b-schemas-false.jsonl", "reposts", 'u'), "reposts");
}
BENCHMARK(decode_update);

void decode_insert(benchmark::State& state) {
  decode_all(state, captured("b-schemas-false.jsonl", "reposts", 'c'), "reposts");
}
BENCHMARK(decode_insert);

void decode_update_with_schema(benchmark::State& state) {
  decode_all(state, captured("a-schemas-true.jsonl", "reposts", 'u'), "reposts");
}
BENCHMARK(decode_update_with_schema);

}  // namespace
}  // namespace tidemark::testing

BENCHMARK_MAIN();
