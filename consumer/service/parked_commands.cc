#include "consumer/service/parked_commands.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <limits>
#include <map>
#include <span>
#include <vector>

#include "consumer/core/fold.h"
#include "consumer/kafka/topic_reader.h"
#include "consumer/service/command_setup.h"
#include "consumer/service/postgres.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

// At 64 KiB each, what is held at a time.
constexpr std::size_t kBatchRecords = 200;
constexpr milliseconds kReadPatience{10'000};

// Each change proves nothing: its cells are recounted.
constexpr TouchOnly kTouchAll{.below = Offset(std::numeric_limits<std::int64_t>::max())};

enum class What : std::uint8_t { kReplay, kDrop };

// One run of a command.
class ParkedSettler {
 public:
  ParkedSettler(const Config& config, const Declaration& declaration, What what)
      : what_(what),
        topics_(resolve_topics(config.topics, declaration)),
        kafka_(kafka_beside_group(config, topics_)),
        store_(declaration, pg_options(config, Role::kService), group_id(config),
               source_options(config)),
        decoder_(declaration, config.pipeline.decode),
        fold_(declaration, NotNewPolicy::kSuspect) {}

  std::uint64_t count(const ParkedBounds& bounds) { return store_.count(bounds); }
  void run(const ParkedBounds& bounds);

  std::uint64_t gone() const { return gone_; }
  const Touched& touched() const { return touched_; }
  // Why the others stay: how many of each code.
  const std::map<std::string, std::uint64_t>& stay() const { return stay_; }

 private:
  void settle(std::span<const ParkedDetail> parked);
  bool take(const ParkedDetail& parked, std::uint32_t slot);
  std::optional<std::string> whole_payload(const ParkedDetail& parked);

  What what_;
  std::map<std::string, TopicTables> topics_;
  KafkaOptions kafka_;
  PgParked store_;
  Decoder decoder_;
  Fold fold_;
  Change change_;
  std::uint64_t gone_ = 0;
  Touched touched_;
  std::map<std::string, std::uint64_t> stay_;
};

void ParkedSettler::run(const ParkedBounds& bounds) {
  std::optional<ParkedPlace> after;
  while (true) {
    const std::vector<ParkedDetail> parked = store_.read(bounds, after, kBatchRecords);
    if (parked.empty()) return;
    after = ParkedPlace{parked.back().row.where, parked.back().row.offset};
    settle(parked);
  }
}

void ParkedSettler::settle(std::span<const ParkedDetail> parked) {
  std::vector<FoldPartition> partitions;
  for (const ParkedDetail& one : parked) {
    if (partitions.empty() || partitions.back().where != one.row.where) {
      partitions.push_back({one.row.where, Epoch(0), kNotStarted, {}, kTouchAll});
    }
  }
  fold_.reset(partitions);
  std::vector<ParkedPlace> gone;
  std::uint32_t slot = 0;
  for (const ParkedDetail& one : parked) {
    while (partitions[slot].where != one.row.where) ++slot;
    if (take(one, slot)) gone.push_back({one.row.where, one.row.offset});
  }
  const Touched touched = store_.settle(fold_.take(), gone);
  touched_.cells += touched.cells;
  touched_.ranges += touched.ranges;
  gone_ += gone.size();
}

// False: it stays.
bool ParkedSettler::take(const ParkedDetail& parked, std::uint32_t slot) {
  const auto tables = topics_.find(parked.row.where.topic);
  if (tables == topics_.end()) {  // nothing that is declared comes from there any more
    if (what_ == What::kReplay) ++stay_["a topic that is not read"];
    return what_ == What::kDrop;
  }
  const std::optional<std::string> payload = whole_payload(parked);
  Record record{.slot = slot,
                .topic = parked.row.where.topic,
                .partition = parked.row.where.partition,
                .offset = parked.row.offset,
                .timestamp = parked.row.timestamp,
                .key = parked.key,
                .value = payload};
  DecodeResult result = decoder_.decode(record, tables->second, change_);
  if (std::holds_alternative<Decoded>(result)) {
    fold_.add_change(record, change_);
  } else if (const auto* reason = std::get_if<SkipReason>(&result)) {
    fold_.add_skip(record, *reason);
  } else if (what_ == What::kDrop) {
    fold_.add_bad(record, std::move(std::get<BadRecord>(result)), tables->second.tables);
  } else {
    ++stay_[std::string(code_name(std::get<BadRecord>(result).code))];
    return false;
  }
  return true;
}

// What was kept; when that was cut, the record as Kafka still has it. A cut one can't be decoded,
// and is dealt with as such.
std::optional<std::string> ParkedSettler::whole_payload(const ParkedDetail& parked) {
  const bool cut = parked.payload && parked.payload->size() < parked.row.payload_bytes;
  if (!cut || what_ == What::kDrop) return parked.payload;
  const Offset offset = parked.row.offset;
  try {
    TopicReader reader(kafka_, {{parked.row.where, offset, Offset(offset.value + 1)}});
    const auto until = Steady::now() + kReadPatience;
    while (!reader.done() && Steady::now() < until) {
      const auto record = reader.next(milliseconds(200));
      if (record && record->offset == offset && record->value) return std::string(*record->value);
    }
  } catch (const WorldError& error) {
    if (error.kind() != ErrorKind::kFatal) throw;  // purged: what was kept must do
  }
  return parked.payload;
}

void say(const ParkedSettler& settler, const char* done) {
  fmt::print("{} {} parked record{}: {} more cells suspect", done, settler.gone(),
             settler.gone() == 1 ? "" : "s", settler.touched().cells);
  if (settler.touched().ranges > 0) {
    fmt::print(", and whole counters {} times", settler.touched().ranges);
  }
  fmt::print("\n");
  for (const auto& [code, count] : settler.stay()) fmt::print("{} stay: {}\n", count, code);
  fmt::print("the running members recount what is suspect: tidemark status\n");
}

ExitCode nothing_meant() {
  fmt::print(stderr,
             "tidemark: no parked record is within these bounds; see tidemark parked list\n");
  return ExitCode::kData;
}

}  // namespace

ExitCode parked_replay_command(const CommonOptions& common, const ParkedSettleCommand& command) {
  const Config config = read_config(common);
  const Declaration declaration = read_declaration(config);
  if (!config.recount.enabled) {
    throw WorldError(ErrorKind::kConfig,
                     "[recount] enabled is false: what a parked record names can't be recounted");
  }
  ParkedSettler settler(config, declaration, What::kReplay);
  if (settler.count(command.bounds) == 0) return nothing_meant();
  settler.run(command.bounds);
  say(settler, "replayed");
  return settler.stay().empty() ? ExitCode::kOk : ExitCode::kData;
}

ExitCode parked_drop_command(const CommonOptions& common, const ParkedSettleCommand& command) {
  const Config config = read_config(common);
  const Declaration declaration = read_declaration(config);
  ParkedSettler settler(config, declaration, What::kDrop);
  const std::uint64_t meant = settler.count(command.bounds);
  if (meant == 0) return nothing_meant();
  if (!command.yes) {
    fmt::print("{} parked records would be dropped, and what they name recounted\n", meant);
    fmt::print("nothing was changed; --yes does it\n");
    return ExitCode::kOk;
  }
  settler.run(command.bounds);
  say(settler, "dropped");
  if (!config.recount.enabled) {
    fmt::print("[recount] enabled is false: what these records changed stays missing\n");
  }
  return ExitCode::kOk;
}

}  // namespace tidemark
