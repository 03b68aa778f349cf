#include "tests/cases/case_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "consumer/core/check.h"
#include "tests/support/envelope.h"

namespace tidemark::testing {
namespace {

using nlohmann::json;

// Records are read again after a refused batch; one more refusal is a bug.
constexpr int kTriesMax = 3;

}  // namespace

CaseRunner::CaseRunner(const Declaration& declaration, CaseWorld& world, CaseBatches batches)
    : declaration_(declaration),
      world_(world),
      batches_(batches),
      decoder_(declaration, {}),
      fold_(declaration, NotNewPolicy::kDrop),
      expected_{{"suspects", json::object()},
                {"ranges", json::object()},
                {"parked", json::object()},
                {"milestones", json::object()}} {}

void CaseRunner::run(const CaseFile& file) {
  const std::string path = "tests/cases/" + file.name + ".txt";
  for (const CaseStep& step : file.steps) {
    const ::testing::ScopedTrace trace(path.c_str(), step.line, step.verb);
    try {
      play(step);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
      return;
    }
  }
  const ::testing::ScopedTrace trace(path.c_str(), 0, "at the end");
  apply_all();
  EXPECT_EQ(world_.suspects(), expected_["suspects"]);
  EXPECT_EQ(world_.ranges(), expected_["ranges"]);
  EXPECT_EQ(world_.parked(), expected_["parked"]);
  check_milestones();
}

void CaseRunner::play(const CaseStep& step) {
  if (step.verb == "declaration") return;  // read before
  if (step.verb == "usual") {
    usual_[step.name] = step.value;
  } else if (step.verb == "with") {
    with_ = step.value;
  } else if (!play_event(step) && !play_trouble(step) && !play_question(step)) {
    throw std::runtime_error("unknown verb '" + step.verb + "'");
  }
}

bool CaseRunner::play_event(const CaseStep& step) {
  if (step.verb == "c" || step.verb == "r") {
    add_event(step, nullptr, filled(step.name, step.value));
  } else if (step.verb == "d") {
    add_event(step, filled(step.name, step.value), nullptr);
  } else if (step.verb == "t") {
    with_["key"] = nullptr;
    add_event(step, nullptr, nullptr);
  } else if (step.verb == "u") {
    const json& before = step.value.at(0);
    json after = filled(step.name, before.is_null() ? json::object() : before);
    after.update(step.value.at(1));
    add_event(step, before.is_null() ? before : filled(step.name, before), after);
  } else if (step.verb == "tombstone") {
    add_message(step, key_of(step.name, filled(step.name, step.value)), std::nullopt);
  } else if (step.verb == "record") {
    add_message(step, "{}",
                step.value.is_string() ? step.value.get<std::string>() : step.value.dump());
  } else if (step.verb == "gap") {
    partitions_[partition_of(step.name)].high.value += step.value.get<std::int64_t>();
  } else {
    return false;
  }
  return true;
}

bool CaseRunner::play_trouble(const CaseStep& step) {
  if (step.verb == "redeliver") {
    redeliver(step.value.get<std::size_t>());
  } else if (step.verb == "batch") {
    apply_all();
  } else if (step.verb == "restart") {
    claim();
  } else if (step.verb == "fence") {
    if (!claimed_) claim();
    std::vector<TopicPartition> all;
    for (const PartitionLog& log : partitions_) all.push_back(log.where);
    world_.store().claim(all);
    fenced_ = true;
  } else if (step.verb == "lose" && step.name == "reply") {
    lose_reply_ = true;
  } else if (step.verb == "source") {
    world_.add_source_row({"public", step.name}, filled(step.name, step.value));
  } else if (step.verb == "recount") {
    recount(step);
  } else {
    return false;
  }
  return true;
}

bool CaseRunner::play_question(const CaseStep& step) {
  apply_all();
  if (step.verb == "rows") {
    check_rows(step);
  } else if (step.verb == "absent") {
    EXPECT_EQ(world_.row(aggregate(step.name), step.value.dump()), json(nullptr));
  } else if (step.verb == "duplicates") {
    EXPECT_EQ(duplicates_, step.value.get<std::size_t>());
  } else if (step.verb == "suspects") {
    expected_[step.verb] = step.value;
    EXPECT_EQ(world_.suspects(), step.value);
  } else if (step.verb == "ranges") {
    expected_[step.verb] = step.value;
    EXPECT_EQ(world_.ranges(), step.value);
  } else if (step.verb == "parked") {
    expected_[step.verb] = step.value;
    EXPECT_EQ(world_.parked(), step.value);
  } else if (step.verb == "milestones") {
    expected_[step.verb] = step.value;
    check_milestones();
  } else if (step.verb == "progress") {
    EXPECT_EQ(world_.progress(), step.value);
  } else {
    return false;
  }
  return true;
}

void CaseRunner::check_rows(const CaseStep& step) {
  const Aggregate& declared = aggregate(step.name);
  for (const json& wanted : step.value) {
    const json& key = wanted.at(declared.key);
    const json row = world_.row(declared, key.is_string() ? key.get<std::string>() : key.dump());
    ASSERT_FALSE(row.is_null()) << step.name << " has no row " << key;
    for (const auto& [column, value] : wanted.items()) {
      const bool looked_up = std::ranges::any_of(
          declared.lookups, [&](const Lookup& lookup) { return lookup.column == column; });
      if (looked_up && !row.contains(column)) continue;  // a store that can't look up
      EXPECT_EQ(row.at(column), value) << step.name << " " << key << " " << column;
    }
  }
}

void CaseRunner::check_milestones() {
  const json found = world_.milestones();
  if (found.is_null()) return;
  EXPECT_EQ(found, expected_["milestones"]);
}

void CaseRunner::recount(const CaseStep& step) {
  apply_all();
  std::vector<std::string> keys;
  for (const json& key : step.value) keys.push_back(key.dump());
  world_.recount(aggregate_index(step.name), keys);
}

// --- records -----------------------------------------------------------------------------------

void CaseRunner::add_event(const CaseStep& step, const json& before, const json& after) {
  if (with_.contains("position") && with_["position"] == "same") {
    // As it was.
  } else if (with_.contains("position")) {
    const json& pair = with_["position"];
    commit_.reset();
    if (!pair.at(0).is_null()) commit_ = pair[0].get<std::uint64_t>();
    lsn_ = pair.at(1).get<std::uint64_t>();
  } else {
    commit_ = lsn_;
    lsn_ += 8;
  }
  const char op = step.verb.front();
  const EventSource source{.schema = declaration_.table(table_index(step.name)).name.schema,
                           .table = step.name,
                           .last_commit = commit_,
                           .lsn = lsn_,
                           .snapshot = op == 'r'};
  std::string value = envelope(source, op, before, after);
  if (with_.value("schema", false)) {
    value = R"({"schema":{"type":"struct"},"payload":)" + value + "}";
  }
  add_message(step, key_of(step.name, after.is_null() ? before : after), std::move(value));
}

void CaseRunner::add_message(const CaseStep& step, std::optional<std::string> key,
                             std::optional<std::string> value) {
  if (with_.contains("key")) {
    key.reset();
    if (!with_["key"].is_null()) key = with_["key"].dump();
  }
  const std::size_t partition = partition_of(step.name);
  log_.push_back({partition, partitions_[partition].high, std::move(key), std::move(value)});
  ++partitions_[partition].high.value;
  with_ = json::object();
}

void CaseRunner::redeliver(std::size_t count) {
  const std::size_t first = log_.size() - count;
  for (std::size_t i = first; i < first + count; ++i) {
    Message again = log_.at(i);
    again.offset = partitions_[again.partition].high;
    ++partitions_[again.partition].high.value;
    log_.push_back(std::move(again));
  }
}

json CaseRunner::filled(const std::string& table, const json& row) const {
  const auto usual = usual_.find(table);
  json out = usual == usual_.end() ? json::object() : usual->second;
  if (!row.is_null()) out.update(row);
  return out;
}

std::optional<std::string> CaseRunner::key_of(const std::string& table, const json& row) const {
  const Table& declared = declaration_.table(table_index(table));
  json key = json::object();
  for (const ColumnIndex column : declared.primary_key) {
    const std::string& name = declared.columns[column.value].name;
    key[name] = row.is_null() ? json(nullptr) : row.value(name, json(nullptr));
  }
  if (key.empty()) return std::nullopt;
  return key.dump();
}

std::size_t CaseRunner::partition_of(const std::string& table) {
  const TopicPartition where{table, Partition(with_.value("partition", 0))};
  const auto found = std::ranges::find(partitions_, where, &PartitionLog::where);
  if (found != partitions_.end()) return static_cast<std::size_t>(found - partitions_.begin());
  claimed_ = false;  // what was not applied is fed again
  partitions_.push_back({where, table_index(table)});
  return partitions_.size() - 1;
}

TableIndex CaseRunner::table_index(const std::string& name) const {
  for (std::uint32_t i = 0; i < declaration_.tables.size(); ++i) {
    if (declaration_.tables[i].name.name == name) return TableIndex(i);
  }
  throw std::runtime_error("no table '" + name + "' is declared");
}

AggregateIndex CaseRunner::aggregate_index(const std::string& name) const {
  for (std::uint32_t i = 0; i < declaration_.aggregates.size(); ++i) {
    if (declaration_.aggregates[i].name.name == name) return AggregateIndex(i);
  }
  throw std::runtime_error("no aggregate '" + name + "' is declared");
}

const Aggregate& CaseRunner::aggregate(const std::string& name) const {
  return declaration_.aggregate(aggregate_index(name));
}

// --- batches -----------------------------------------------------------------------------------

// Starts from what is stored: what was fed and not applied is fed again.
void CaseRunner::claim() {
  std::vector<TopicPartition> wanted;
  for (const PartitionLog& log : partitions_) wanted.push_back(log.where);
  const std::vector<Claimed> claims = world_.store().claim(wanted);
  std::vector<FoldPartition> starts;
  for (const PartitionLog& log : partitions_) {
    const auto claim = std::ranges::find(claims, log.where, &Claimed::where);
    TIDEMARK_CHECK(claim != claims.end());
    starts.push_back({claim->where, claim->epoch, claim->next, claim->mark});
  }
  fold_.reset(starts);
  fed_ = 0;
  claimed_ = true;
  fenced_ = false;
}

void CaseRunner::apply_all() {
  for (int tries = 0; tries < kTriesMax; ++tries) {
    if (partitions_.empty()) return;
    if (!claimed_) claim();
    while (claimed_ && fed_ < log_.size()) {
      feed(log_[fed_++]);
      if (batches_ == CaseBatches::kOneByOne) apply_batch();
    }
    if (claimed_) apply_batch();
    if (claimed_) return;
  }
  ADD_FAILURE() << "the batch was refused again and again";
}

void CaseRunner::feed(const Message& message) {
  const auto slot = static_cast<std::uint32_t>(message.partition);
  if (message.offset < fold_.next(slot)) return;
  const PartitionLog& log = partitions_[message.partition];
  Record record;
  record.slot = slot;
  record.topic = log.where.topic;
  record.partition = log.where.partition;
  record.offset = message.offset;
  record.timestamp = KafkaTimestamp(1'767'225'600'000 + message.offset.value);
  if (message.key) record.key = *message.key;
  if (message.value) record.value = *message.value;
  const TopicTables tables{{log.table}, false};
  DecodeResult result = decoder_.decode(record, tables, change_);
  if (std::holds_alternative<Decoded>(result)) {
    fold_.add_change(record, change_);
  } else if (const auto* reason = std::get_if<SkipReason>(&result)) {
    fold_.add_skip(record, *reason);
  } else {
    fold_.add_bad(record, std::move(std::get<BadRecord>(result)), tables.tables);
  }
}

void CaseRunner::apply_batch() {
  if (fold_.empty()) return;
  const Delta delta = fold_.take();
  const ApplyResult result = world_.store().apply(delta);
  if (fenced_) {
    EXPECT_EQ(result.outcome, ApplyOutcome::kFenced);
    claimed_ = false;
    return;
  }
  ASSERT_EQ(result.outcome, ApplyOutcome::kApplied);
  duplicates_ += delta.figures.duplicates;
  if (!lose_reply_) return;
  lose_reply_ = false;
  EXPECT_EQ(world_.store().apply(delta).outcome, ApplyOutcome::kFenced);
  claimed_ = false;
}

}  // namespace tidemark::testing
