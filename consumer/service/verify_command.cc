#include "consumer/service/verify_command.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "consumer/core/fold.h"
#include "consumer/core/verification.h"
#include "consumer/kafka/end_offsets.h"
#include "consumer/kafka/topic_reader.h"
#include "consumer/service/arrival.h"
#include "consumer/service/backoff.h"
#include "consumer/service/command_setup.h"
#include "consumer/service/fold_feed.h"
#include "consumer/service/postgres.h"
#include "consumer/service/progress.h"
#include "consumer/service/service.h"
#include "consumer/store/admin.h"
#include "consumer/store/pg_verify.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds kEndsPatience{10'000};
constexpr milliseconds kReadPatience{200};
constexpr milliseconds kSlotLook{100};
constexpr milliseconds kRetryFirst{500};
constexpr milliseconds kRetryLongest{5'000};
constexpr int kTries = 5;
constexpr std::size_t kBatchRecords = 10'000;
constexpr std::size_t kDriftShown = 100;  // without --json

// What was found, and in how much.
struct Outcome {
  Verdict verdict;
  std::vector<SuspectRange> ranges;  // whole counters that wait for their recount
  std::uint64_t rows = 0;
  std::uint64_t cells = 0;
  std::uint64_t records = 0;  // that were read to take the lag out
  std::size_t passing = 0;    // cells that looked wrong once, and not at the second look
};

class Verifier {
 public:
  Verifier(const Config& config, const Declaration& declaration, const VerifyCommand& command);

  // None: a stop was asked for.
  std::optional<Outcome> run();

 private:
  std::optional<Outcome> try_once();
  std::optional<Outcome> look_again(Outcome first);
  bool wait_until_sent();
  std::vector<TopicEnd> ends();
  using ReadPartitions = std::map<TopicPartition, FoldPartition>;  // where each was read to
  static std::vector<ReadRange> ranges_of(const std::vector<TopicEnd>& ends,
                                          const ReadPartitions& read);
  bool read_records(const std::vector<TopicEnd>& ends, ReadPartitions& read,
                    Verification& verification, Outcome& outcome);
  bool read_lag(const VerifyLook& look, Verification& verification, Outcome& outcome);

  const Declaration& declaration_;
  VerifyCommand command_;
  std::vector<AggregateIndex> aggregates_;
  std::map<std::string, TopicTables> topics_;
  std::chrono::milliseconds silence_;
  KafkaOptions kafka_;
  EndOffsets end_offsets_;
  PgVerify store_;
  Admin admin_;
  FoldFeed feed_;
  Progress said_;
};

std::vector<AggregateIndex> chosen(const Declaration& declaration,
                                   const std::vector<std::string>& names) {
  std::vector<AggregateIndex> found = named_aggregates(declaration, names);
  for (std::uint32_t a = 0; names.empty() && a < declaration.aggregates.size(); ++a) {
    found.emplace_back(a);
  }
  return found;
}

Verifier::Verifier(const Config& config, const Declaration& declaration,
                   const VerifyCommand& command)
    : declaration_(declaration),
      command_(command),
      aggregates_(chosen(declaration, command.aggregates)),
      topics_(resolve_topics(config.topics, declaration)),
      silence_(config.recount.silence),
      kafka_(kafka_beside_group(config, topics_)),
      end_offsets_(kafka_),
      store_(declaration, {.pg = pg_options(config, Role::kService),
                           .slot = config.recount.slot,
                           .source = source_options(config)}),
      admin_(pg_options(config, Role::kService)),
      feed_(declaration, config.pipeline.decode) {}

std::optional<Outcome> Verifier::run() {
  Backoff backoff(kRetryFirst, kRetryLongest);
  for (int tries = 1;; ++tries) {
    try {
      std::optional<Outcome> outcome = try_once();
      if (outcome && !outcome->verdict.drift.empty()) outcome = look_again(*std::move(outcome));
      said_.end();
      return outcome;
    } catch (const WorldError& error) {
      said_.end();
      if (error.kind() != ErrorKind::kRetry || tries == kTries || stop_was_asked()) throw;
      const milliseconds wait = backoff.next();
      spdlog::warn("looking again in {} ms: {}", wait.count(), error.what());
      std::this_thread::sleep_for(wait);
    }
  }
}

// Drift stays, by the same amount. What passes by itself was none: a partition was silent although
// Debezium's producer still had records for it.
std::optional<Outcome> Verifier::look_again(Outcome first) {
  std::optional<Outcome> second = try_once();
  if (!second) return std::nullopt;
  const auto stands = [&](const VerifiedDrift& drift) {
    return std::ranges::any_of(second->verdict.drift, [&](const VerifiedDrift& other) {
      return other.aggregate == drift.aggregate && other.counter == drift.counter &&
             other.key == drift.key && other.difference == drift.difference;
    });
  };
  std::vector<VerifiedDrift> standing;
  std::ranges::copy_if(first.verdict.drift, std::back_inserter(standing), stands);
  second->passing = first.verdict.drift.size() - standing.size();
  second->verdict.drift = std::move(standing);
  return second;
}

std::optional<Outcome> Verifier::try_once() {
  const auto begun = Steady::now();
  const std::uint64_t all = admin_.estimated_rows(declaration_, aggregates_);
  std::optional<VerifyLook> look = store_.look(aggregates_, [&](std::uint64_t rows) {
    said_.say(fmt::format("{} rows compared, {:.0f} rows/s{}", rows, rate_of(rows, begun),
                          time_left_text(rows, all - std::min(all, rows), begun)));
    return !stop_was_asked();
  });
  if (!look || !wait_until_sent()) return std::nullopt;
  Verification verification(declaration_, look->snapshot, std::move(look->fences), look->suspects,
                            look->ranges);
  for (CellDifference& difference : look->differences) {
    verification.add_difference(std::move(difference));
  }
  Outcome outcome{.verdict = {}, .ranges = {}, .rows = look->rows, .cells = look->cells};
  if (!read_lag(*look, verification, outcome)) return std::nullopt;
  outcome.verdict = verification.judge();
  const auto wanted = [&](AggregateIndex aggregate) {
    return std::ranges::find(aggregates_, aggregate) != aggregates_.end();
  };
  // The stream names cells of aggregates that were not compared.
  std::erase_if(outcome.verdict.drift,
                [&](const VerifiedDrift& drift) { return !wanted(drift.aggregate); });
  std::erase_if(outcome.verdict.suspect,
                [&](const VerifiedDrift& drift) { return !wanted(drift.aggregate); });
  for (const SuspectRange& range : look->ranges) {
    if (wanted(range.aggregate)) outcome.ranges.push_back(range);
  }
  return outcome;
}

bool Verifier::wait_until_sent() {
  const auto deadline = Steady::now() + command_.patience;
  while (!store_.all_sent()) {
    if (stop_was_asked()) return false;
    if (Steady::now() > deadline) {
      throw WorldError(ErrorKind::kShrink,
                       fmt::format("Debezium has not confirmed within {} s what the database held: "
                                   "it is behind or stands still, or the source is idle and its "
                                   "connector has no heartbeat.action.query (README)",
                                   command_.patience.count()));
    }
    said_.say("waiting until Debezium has sent what was there");
    std::this_thread::sleep_for(kSlotLook);
  }
  return true;
}

std::vector<TopicEnd> Verifier::ends() {
  std::vector<TopicEnd> list;
  for (const EndOffset& end : end_offsets_.read(kEndsPatience)) {
    list.push_back({end.where, end.low, end.high});
  }
  return list;
}

// From where it was read to, to the ends.
std::vector<ReadRange> Verifier::ranges_of(const std::vector<TopicEnd>& ends,
                                           const ReadPartitions& read) {
  std::vector<ReadRange> ranges;
  for (const TopicEnd& end : ends) {
    const Offset next = read.at(end.where).next;
    if (next < end.high && end.low != end.high) ranges.push_back({end.where, next, end.high});
  }
  return ranges;
}

bool Verifier::read_records(const std::vector<TopicEnd>& ends, ReadPartitions& read,
                            Verification& verification, Outcome& outcome) {
  const std::vector<ReadRange> ranges = ranges_of(ends, read);
  if (ranges.empty()) return true;
  std::vector<FoldPartition> partitions;
  for (const ReadRange& range : ranges) partitions.push_back(read.at(range.where));
  Fold fold(declaration_, NotNewPolicy::kSuspect);
  fold.reset(partitions);
  const auto take = [&] {
    const Delta lag = fold.take();
    verification.add_lag(lag);
    for (const Advance& to : lag.advances) read.at(to.where).mark = to.mark;
  };
  TopicReader reader(kafka_, ranges);
  const auto begun = Steady::now();
  while (!reader.done()) {
    if (stop_was_asked()) return false;
    const auto record = reader.next(kReadPatience);
    if (record) {
      feed_.take(*record, topics_.at(std::string(record->topic)), fold);
      ++outcome.records;
    }
    if (fold.records() >= kBatchRecords) take();
    if (!record || fold.empty()) {
      said_.say(fmt::format("{} records of lag, {:.0f}/s", outcome.records,
                            rate_of(outcome.records, begun)));
    }
  }
  if (!fold.empty()) take();
  // Whatever follows the last record: transactions' markers, say.
  for (const ReadRange& range : ranges) read.at(range.where).next = range.to;
  return true;
}

// From the stored offsets on, until all that the look saw has come (rule F9): partitions that
// nobody has claimed yet as a whole.
bool Verifier::read_lag(const VerifyLook& look, Verification& verification, Outcome& outcome) {
  Arrival arrival(look.snapshot.inserted, silence_);
  ReadPartitions read;
  for (const FoldPartition& stored : look.partitions) read.emplace(stored.where, stored);
  const auto deadline = Steady::now() + command_.patience;
  while (true) {
    const Arrival::Look now{Steady::now(), ends(), Steady::now()};
    for (const TopicEnd& end : now.ends) {
      read.try_emplace(end.where, FoldPartition{end.where, Epoch(0), kNotStarted, {}});
    }
    if (!read_records(now.ends, read, verification, outcome)) return false;
    AppliedOffsets applied;
    for (const auto& [where, partition] : read) {
      applied[where] = {partition.next, partition.mark.position};
    }
    if (arrival.complete(now, applied)) return true;
    if (Steady::now() > deadline) {
      throw WorldError(ErrorKind::kRetry,
                       "what the database held when it was looked at is still on its way to "
                       "Kafka, though Debezium has confirmed it");
    }
    if (stop_was_asked()) return false;
    std::this_thread::sleep_for(kSlotLook);
  }
}

// --- what is said -------------------------------------------------------------------------------

bool is_counter(const Aggregate& aggregate, CounterIndex cell) {
  return cell.value < aggregate.counters.size();
}

nlohmann::json json_of(const Declaration& declaration, const std::vector<VerifiedDrift>& cells) {
  auto list = nlohmann::json::array();
  for (const VerifiedDrift& cell : cells) {
    const Aggregate& aggregate = declaration.aggregate(cell.aggregate);
    nlohmann::json entry = {{"aggregate", aggregate.name.text()},
                            {"counter", aggregate.cell_name(cell.counter)},
                            {"key", cell.key}};
    if (is_counter(aggregate, cell.counter)) {
      entry["stored"] = cell.stored;
      entry["expected"] = cell.stored + cell.difference;
      entry["difference"] = cell.difference;
      entry["lag"] = cell.lag;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

void print_json(const Declaration& declaration, const Outcome& outcome) {
  auto ranges = nlohmann::json::array();
  for (const SuspectRange& range : outcome.ranges) {
    const Aggregate& aggregate = declaration.aggregate(range.aggregate);
    ranges.push_back(aggregate.name.text() + "." + aggregate.cell_name(range.counter));
  }
  const nlohmann::json all = {{"rows", outcome.rows},
                              {"cells", outcome.cells},
                              {"records_of_lag", outcome.records},
                              {"lagging_cells", outcome.verdict.lagging},
                              {"passing_cells", outcome.passing},
                              {"drift", json_of(declaration, outcome.verdict.drift)},
                              {"suspect", json_of(declaration, outcome.verdict.suspect)},
                              {"suspect_counters", std::move(ranges)}};
  fmt::print("{}\n", all.dump(2));
}

void print_text(const Declaration& declaration, const Outcome& outcome) {
  const Verdict& verdict = outcome.verdict;
  for (std::size_t i = 0; i < std::min(verdict.drift.size(), kDriftShown); ++i) {
    const VerifiedDrift& cell = verdict.drift[i];
    const Aggregate& aggregate = declaration.aggregate(cell.aggregate);
    fmt::print("{}.{} of {}: ", aggregate.name.text(), aggregate.cell_name(cell.counter), cell.key);
    if (is_counter(aggregate, cell.counter)) {
      fmt::print("{} instead of {}\n", cell.stored, cell.stored + cell.difference);
    } else {
      fmt::print("not what its statement gives\n");
    }
  }
  if (verdict.drift.size() > kDriftShown) {
    fmt::print("... and {} more: --json lists them\n", verdict.drift.size() - kDriftShown);
  }
  for (const SuspectRange& range : outcome.ranges) {
    const Aggregate& aggregate = declaration.aggregate(range.aggregate);
    fmt::print("{}.{} waits for its recount, and was not judged\n", aggregate.name.text(),
               aggregate.cell_name(range.counter));
  }
  fmt::print(
      "{} cells in {} rows: {} wrong, {} suspect; {} differ only by the {} records that are "
      "on their way\n",
      outcome.cells, outcome.rows, verdict.drift.size(), verdict.suspect.size(), verdict.lagging,
      outcome.records);
}

}  // namespace

ExitCode verify_command(const CommonOptions& common, const VerifyCommand& command) {
  install_stop_signals();
  const Config config = read_config(common);
  const Declaration declaration = read_declaration(config);
  if (!config.recount.enabled) {
    throw WorldError(ErrorKind::kConfig,
                     "[recount] enabled is false: there is nothing to verify against");
  }
  const std::optional<Outcome> outcome = Verifier(config, declaration, command).run();
  if (!outcome) {
    fmt::print(stderr, "stopped; nothing was written\n");
    return ExitCode::kTryAgain;
  }
  command.json ? print_json(declaration, *outcome) : print_text(declaration, *outcome);
  if (!outcome->verdict.drift.empty()) return ExitCode::kFound;
  return outcome->ranges.empty() ? ExitCode::kOk : ExitCode::kTryAgain;
}

}  // namespace tidemark
