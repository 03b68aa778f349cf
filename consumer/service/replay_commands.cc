#include "consumer/service/replay_commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <map>
#include <thread>
#include <utility>

#include "consumer/core/decode_time.h"
#include "consumer/core/fold.h"
#include "consumer/kafka/end_offsets.h"
#include "consumer/kafka/topic_reader.h"
#include "consumer/service/backoff.h"
#include "consumer/service/command_setup.h"
#include "consumer/service/fold_feed.h"
#include "consumer/service/postgres.h"
#include "consumer/service/progress.h"
#include "consumer/service/service.h"
#include "consumer/store/pg_replay.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

// For asking the brokers where the topics begin and end.
constexpr milliseconds kEndsPatience{10'000};
// How soon Ctrl-C is noticed while nothing comes.
constexpr milliseconds kReadPatience{200};
constexpr milliseconds kRetryFirst{100};
constexpr milliseconds kRetryLongest{2'000};
// A batch holds the shared turn for some tens of milliseconds, so that recounts come in between.
constexpr std::size_t kBatchRecords = 2'000;
constexpr std::size_t kBatchBytes = 32 * 1024 * 1024;

// Each change proves nothing, whatever its offset: its cells are recounted.
constexpr TouchOnly kTouchAll{.below = Offset(std::numeric_limits<std::int64_t>::max())};

struct Totals {
  std::uint64_t records = 0;
  std::uint64_t changes = 0;
  std::uint64_t cells = 0;
  std::uint64_t ranges = 0;
  std::uint64_t bad = 0;
};

std::uint64_t distance(Offset from, Offset to) {
  const std::int64_t begin = std::max<std::int64_t>(from.value, 0);
  return to.value > begin ? static_cast<std::uint64_t>(to.value - begin) : 0;
}

using Topics = std::map<std::string, TopicTables>;

Topics chosen_topics(Topics all, const std::vector<std::string>& named) {
  if (named.empty()) return all;
  Topics chosen;
  for (const std::string& name : named) {
    const auto found = all.find(name);
    if (found == all.end()) {
      std::vector<std::string> known;
      for (const auto& [topic, tables] : all) known.push_back(topic);
      throw WorldError(ErrorKind::kConfig,
                       fmt::format("topic '{}' is not among those that are read: {}", name,
                                   fmt::join(known, ", ")));
    }
    chosen.insert(*found);
  }
  return chosen;
}

// One run of the command.
class Replay {
 public:
  Replay(const Config& config, const Declaration& declaration, const ReplayCommand& command);

  // False: a stop was asked for; what was stored stays.
  bool run();
  const Totals& totals() const { return totals_; }

 private:
  std::vector<ReplayPart> ask_parts();
  void begin();
  bool read();
  void take(const Record& record);
  void store();
  std::string progress() const;

  Topics topics_;
  ReplayCommand command_;
  ReplayFrom from_;
  KafkaOptions kafka_;
  EndOffsets end_offsets_;
  PgReplay store_;
  FoldFeed feed_;
  Fold fold_;
  std::size_t batch_records_ = kBatchRecords;
  std::vector<ReplayPart> parts_;    // as stored; slots of the reader and the fold
  std::vector<TopicTables> tables_;  // of the part with the same index
  std::uint64_t bad_in_batch_ = 0;
  Backoff backoff_{kRetryFirst, kRetryLongest};
  Totals totals_;
  Progress said_;
  Steady::time_point begun_ = Steady::now();
};

Replay::Replay(const Config& config, const Declaration& declaration, const ReplayCommand& command)
    : topics_(chosen_topics(resolve_topics(config.topics, declaration), command.topics)),
      command_(command),
      from_(parse_replay_from(command.from).value()),
      kafka_(kafka_beside_group(config, topics_)),
      end_offsets_(kafka_),
      store_(declaration, {.pg = pg_options(config, Role::kService),
                           .group_id = group_id(config),
                           .source = source_options(config)}),
      feed_(declaration, config.pipeline.decode),
      fold_(declaration, NotNewPolicy::kSuspect) {}

// All partitions of the topics that exist, from where it was asked for up to where they end now.
std::vector<ReplayPart> Replay::ask_parts() {
  std::vector<ReplayPart> parts;
  for (const EndOffset& end : end_offsets_.read(kEndsPatience)) {
    parts.push_back({end.where, end.low, kNotStarted, end.high});
  }
  if (const auto* offset = std::get_if<Offset>(&from_)) {
    for (ReplayPart& part : parts) {
      if (*offset < part.first) {
        spdlog::warn("{} [{}]: offset {} is gone, the earliest is {}", part.where.topic,
                     part.where.partition.value, offset->value, part.first.value);
      }
      part.first = part.next = std::clamp(*offset, part.first, std::max(part.first, part.end));
    }
  } else if (const auto* time = std::get_if<KafkaTimestamp>(&from_)) {
    std::map<TopicPartition, Offset> starts;
    for (const StartAt& start : end_offsets_.at_time(*time, kEndsPatience)) {
      starts.emplace(start.where, start.offset);
    }
    for (ReplayPart& part : parts) {
      const auto found = starts.find(part.where);  // a partition may have been added meanwhile
      if (found != starts.end()) part.first = part.next = std::min(found->second, part.end);
    }
  }
  return parts;
}

// From where the stored replay stands, or from where it was asked for.
void Replay::begin() {
  const std::vector<ReplayPart> asked = ask_parts();
  for (const auto& [topic, tables] : topics_) {
    const bool there = std::ranges::any_of(
        asked, [&](const ReplayPart& part) { return part.where.topic == topic; });
    if (there) continue;
    const std::string text = fmt::format("topic '{}' is not there", topic);
    if (!command_.topics.empty()) throw WorldError(ErrorKind::kConfig, text);
    spdlog::warn("{}", text);
  }
  if (std::exchange(command_.restart, false)) store_.drop(kafka_.topics);
  parts_ = store_.begin(command_.from, asked);
  tables_.clear();
  std::vector<FoldPartition> partitions;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const ReplayPart& part = parts_[i];
    if (part.next != asked[i].next) {
      spdlog::info("{} [{}]: going on at {}, up to {}", part.where.topic,
                   part.where.partition.value, part.next.value, part.end.value);
    }
    tables_.push_back(topics_.at(part.where.topic));
    partitions.push_back({part.where, Epoch(0), part.next, {}, kTouchAll});
  }
  fold_.reset(partitions);
  bad_in_batch_ = 0;
}

// What passes by itself is tried again from what is stored: also after a commit whose outcome is
// not known (rule P3).
bool Replay::run() {
  while (!stop_was_asked()) {
    try {
      begin();
      const bool done = read();
      said_.end();
      return done;
    } catch (const WorldError& error) {
      said_.end();
      const bool shrinks = error.kind() == ErrorKind::kShrink && batch_records_ > 1;
      if (parts_.empty() || (error.kind() != ErrorKind::kRetry && !shrinks)) throw;
      if (shrinks) batch_records_ /= 2;
      const milliseconds wait = backoff_.next();
      spdlog::warn("trying again in {} ms: {}", wait.count(), error.what());
      std::this_thread::sleep_for(wait);
    }
  }
  return false;
}

bool Replay::read() {
  std::vector<ReadRange> ranges;
  for (const ReplayPart& part : parts_) ranges.push_back({part.where, part.next, part.end});
  TopicReader reader(kafka_, std::move(ranges));
  while (!reader.done()) {
    if (stop_was_asked()) return false;
    const auto record = reader.next(kReadPatience);
    if (record) take(*record);
    if (fold_.records() >= batch_records_ || fold_.bytes() >= kBatchBytes) store();
    if (!record || fold_.empty()) said_.say(progress());
  }
  store();
  store_.finish(parts_);
  return true;
}

void Replay::take(const Record& record) {
  if (!feed_.take(record, tables_[record.slot], fold_)) ++bad_in_batch_;
}

void Replay::store() {
  if (fold_.empty()) return;
  const Delta delta = fold_.take();
  const Touched stored = store_.store(delta);
  for (const Advance& advance : delta.advances) {
    std::ranges::find(parts_, advance.where, &ReplayPart::where)->next = advance.to;
  }
  totals_.records += delta.figures.records;
  totals_.changes += delta.figures.changes;
  totals_.cells += stored.cells;
  totals_.ranges += stored.ranges;
  totals_.bad += std::exchange(bad_in_batch_, 0);
  backoff_.reset();
}

std::string Replay::progress() const {
  std::uint64_t all = 0;
  std::uint64_t left = 0;
  for (const ReplayPart& part : parts_) {
    all += distance(part.first, part.end);
    left += distance(std::max(part.next, part.first), part.end);
  }
  const double part =
      all == 0 ? 100 : 100 * static_cast<double>(all - left) / static_cast<double>(all);
  return fmt::format("{:.1f} % of {} offsets, {:.0f} records/s{}; {} cells suspect, {} bad records",
                     part, all, rate_of(totals_.records, begun_),
                     time_left_text(totals_.records, left, begun_), totals_.cells, totals_.bad);
}

}  // namespace

std::optional<ReplayFrom> parse_replay_from(std::string_view text) {
  if (text == "beginning") return FromBeginning{};
  std::int64_t offset = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), offset);
  if (error == std::errc{} && end == text.data() + text.size() && offset >= 0) {
    return Offset(offset);
  }
  if (const auto micros = micros_from_iso(text)) return KafkaTimestamp(*micros / 1000);
  return std::nullopt;
}

ExitCode replay_command(const CommonOptions& common, const ReplayCommand& command) {
  install_stop_signals();
  const Config config = read_config(common);
  const Declaration declaration = read_declaration(config);
  if (!config.recount.enabled) {
    throw WorldError(ErrorKind::kConfig,
                     "[recount] enabled is false: what a replay makes suspect can't be recounted");
  }
  Replay replay(config, declaration, command);
  const bool done = replay.run();
  const Totals& totals = replay.totals();
  fmt::print("{} {} records: {} changes made {} more cells suspect",
             done ? "replayed" : "stopped after", totals.records, totals.changes, totals.cells);
  if (totals.ranges > 0) fmt::print(", and whole counters {} times", totals.ranges);
  fmt::print("; {} bad records, not parked again\n", totals.bad);
  fmt::print("the running members recount what is suspect: tidemark status\n");
  if (!done) fmt::print("the same command goes on there\n");
  return done ? ExitCode::kOk : ExitCode::kTryAgain;
}

}  // namespace tidemark
