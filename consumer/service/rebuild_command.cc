#include "consumer/service/rebuild_command.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "consumer/core/fold.h"
#include "consumer/kafka/end_offsets.h"
#include "consumer/kafka/topic_reader.h"
#include "consumer/service/backoff.h"
#include "consumer/service/command_setup.h"
#include "consumer/service/fold_feed.h"
#include "consumer/service/postgres.h"
#include "consumer/service/progress.h"
#include "consumer/service/service.h"
#include "consumer/store/pg_rebuild.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;
using Topics = std::map<std::string, TopicTables>;

constexpr milliseconds kEndsPatience{10'000};
constexpr milliseconds kReadPatience{200};
constexpr milliseconds kRetryFirst{100};
constexpr milliseconds kRetryLongest{2'000};
constexpr std::size_t kBatchRecords = 50'000;  // or fewer, if [batch] says so
constexpr std::size_t kBatchBytes = 64 * 1024 * 1024;

struct Totals {
  std::uint64_t records = 0;
  std::uint64_t changes = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t unknown = 0;  // cells and counters that the stream alone can't tell
  std::uint64_t bad = 0;
};

// Every partition as it ends now. What topics no longer hold can't be counted.
std::vector<EndOffset> whole_history(EndOffsets& offsets, bool incomplete) {
  std::vector<EndOffset> ends = offsets.read(kEndsPatience);
  for (const EndOffset& end : ends) {
    if (end.low.value == 0) continue;
    const std::string text = fmt::format("{} [{}] begins at offset {}: what was before is gone",
                                         end.where.topic, end.where.partition.value, end.low.value);
    if (!incomplete) {
      throw WorldError(ErrorKind::kConfig,
                       text + ", and would be missing from the counts (--incomplete accepts that)");
    }
    spdlog::warn("{}", text);
  }
  return ends;
}

class Rebuild {
 public:
  Rebuild(const Config& config, const Declaration& declaration, const RebuildCommand& command);

  // False: a stop was asked for; what was stored stays.
  bool run();
  const Totals& totals() const { return totals_; }

 private:
  void begin();
  bool read();
  void store();
  std::string progress() const;

  RebuildCommand command_;
  std::size_t batch_records_;
  Topics topics_;
  KafkaOptions kafka_;
  EndOffsets end_offsets_;
  PgRebuild store_;
  FoldFeed feed_;
  Fold fold_;
  std::vector<RebuildPart> parts_;
  std::vector<TopicTables> tables_;  // of the part with the same index
  std::uint64_t bad_in_batch_ = 0;
  Backoff backoff_{kRetryFirst, kRetryLongest};
  Totals totals_;
  Progress said_;
  Steady::time_point begun_ = Steady::now();
};

Rebuild::Rebuild(const Config& config, const Declaration& declaration,
                 const RebuildCommand& command)
    : command_(command),
      batch_records_(std::min(kBatchRecords, config.pipeline.batch.records_max)),
      topics_(resolve_topics(config.topics, declaration)),
      kafka_(kafka_beside_group(config, topics_)),
      end_offsets_(kafka_),
      store_(declaration, pg_options(config, Role::kMigration), group_id(config), command.into),
      feed_(store_.declaration(), config.pipeline.decode),
      fold_(store_.declaration(), NotNewPolicy::kDrop) {}

void Rebuild::begin() {
  std::vector<RebuildPart> asked;
  for (const EndOffset& end : whole_history(end_offsets_, command_.incomplete)) {
    asked.push_back({{end.where, Epoch(0), kNotStarted, {}, {}}, end.high});
  }
  if (std::exchange(command_.restart, false)) store_.restart();
  parts_ = store_.begin(asked);
  tables_.clear();
  std::vector<FoldPartition> partitions;
  for (const RebuildPart& part : parts_) {
    tables_.push_back(topics_.at(part.at.where.topic));
    partitions.push_back(part.at);
    if (part.at.next == kNotStarted) continue;
    spdlog::info("{} [{}]: going on at {}, up to {}", part.at.where.topic,
                 part.at.where.partition.value, part.at.next.value, part.end.value);
  }
  fold_.reset(partitions);
  bad_in_batch_ = 0;
}

// What passes by itself is tried again from what is stored (rule P3).
bool Rebuild::run() {
  while (!stop_was_asked()) {
    try {
      begin();
      const bool done = read();
      said_.end();
      return done;
    } catch (const WorldError& error) {
      said_.end();
      if (parts_.empty() || error.kind() != ErrorKind::kRetry) throw;
      const milliseconds wait = backoff_.next();
      spdlog::warn("trying again in {} ms: {}", wait.count(), error.what());
      std::this_thread::sleep_for(wait);
    }
  }
  return false;
}

bool Rebuild::read() {
  std::vector<ReadRange> ranges;
  for (const RebuildPart& part : parts_) ranges.push_back({part.at.where, part.at.next, part.end});
  TopicReader reader(kafka_, std::move(ranges));
  while (!reader.done()) {
    if (stop_was_asked()) return false;
    const auto record = reader.next(kReadPatience);
    if (record && !feed_.take(*record, tables_[record->slot], fold_)) ++bad_in_batch_;
    if (fold_.records() >= batch_records_ || fold_.bytes() >= kBatchBytes) store();
    if (!record || fold_.empty()) said_.say(progress());
  }
  store();
  store_.finish();
  return true;
}

void Rebuild::store() {
  if (fold_.empty()) return;
  const Delta delta = fold_.take();
  store_.store(delta);
  for (const Advance& advance : delta.advances) {
    const auto same = [&](const RebuildPart& part) { return part.at.where == advance.where; };
    std::ranges::find_if(parts_, same)->at.next = advance.to;
  }
  totals_.records += delta.figures.records;
  totals_.changes += delta.figures.changes;
  totals_.duplicates += delta.figures.duplicates;
  totals_.unknown += delta.suspect_cells.size() + delta.suspect_ranges.size();
  totals_.bad += std::exchange(bad_in_batch_, 0);
  backoff_.reset();
}

std::string Rebuild::progress() const {
  std::uint64_t left = 0;
  for (const RebuildPart& part : parts_) {
    left += static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, part.end.value - std::max<std::int64_t>(0, part.at.next.value)));
  }
  return fmt::format("{} of {} records, {:.0f}/s{}", totals_.records, totals_.records + left,
                     rate_of(totals_.records, begun_),
                     time_left_text(totals_.records, left, begun_));
}

ExitCode in_place(const Config& config, const Declaration& declaration,
                  const RebuildCommand& command) {
  if (config.recount.enabled) {
    throw WorldError(ErrorKind::kConfig,
                     "rebuild in place is for a group without source tables, and [recount] is "
                     "enabled: `tidemark recount --full` sets the cells right, and --into SCHEMA "
                     "rebuilds beside them");
  }
  EndOffsets offsets(kafka_beside_group(config, resolve_topics(config.topics, declaration)));
  whole_history(offsets, command.incomplete);
  if (!command.yes) {
    fmt::print("would set every counter to 0 and read every topic from its beginning: --yes\n");
    return ExitCode::kOk;
  }
  PgConnection connection(pg_options(config, Role::kService));
  const std::size_t rows =
      rebuild_in_place(connection, declaration, {group_id(config), declaration_hash(declaration)});
  fmt::print("{} rows set to 0; the group's members read every topic from its beginning\n", rows);
  return ExitCode::kOk;
}

}  // namespace

ExitCode rebuild_command(const CommonOptions& common, const RebuildCommand& command) {
  install_stop_signals();
  const Config config = read_config(common);
  const Declaration declaration = read_declaration(config);
  if (command.into.empty()) return in_place(config, declaration, command);
  Rebuild rebuild(config, declaration, command);
  const bool done = rebuild.run();
  const Totals& totals = rebuild.totals();
  fmt::print("{} {} records into schema {}: {} changes, {} of them again\n",
             done ? "rebuilt" : "stopped after", totals.records, command.into, totals.changes,
             totals.duplicates);
  if (totals.bad + totals.unknown > 0) {
    fmt::print(
        "{} bad records, and {} cells or counters that the stream alone can't tell "
        "(snapshot rows, TRUNCATE, REPLICA IDENTITY not FULL): not all is right\n",
        totals.bad, totals.unknown);
  }
  if (!done) fmt::print("the same command goes on there\n");
  return done ? ExitCode::kOk : ExitCode::kTryAgain;
}

}  // namespace tidemark
