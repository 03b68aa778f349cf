#include "tests/support/fake_store.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "consumer/core/check.h"

namespace tidemark::testing {
namespace {

// A test that hangs fails with a message instead.
constexpr std::chrono::seconds kHangMax{120};

// WAL bytes of one transaction: any number does.
constexpr std::uint64_t kTransactionBytes = 100;

}  // namespace

// --- FakeDatabase: what tests see --------------------------------------------------------------

std::optional<std::int64_t> FakeDatabase::cell(std::string_view aggregate, const Key& key,
                                               std::string_view counter) const {
  const std::lock_guard lock(mutex_);
  for (const Aggregate& declared : declaration_.aggregates) {
    if (declared.name.name != aggregate) continue;
    const auto at = std::ranges::find(declared.counters, counter, &Counter::name);
    TIDEMARK_CHECK(at != declared.counters.end());
    const auto row = rows_.find({declared.name.name, key});
    if (row == rows_.end()) return std::nullopt;
    return row->second[static_cast<std::size_t>(at - declared.counters.begin())];
  }
  TIDEMARK_CHECK(false && "the aggregate is declared");
}

std::map<std::string, std::int64_t> FakeDatabase::cells() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::int64_t> out;
  for (const Aggregate& declared : declaration_.aggregates) {
    for (const auto& [name, values] : rows_) {
      if (name.first != declared.name.name) continue;
      for (std::size_t c = 0; c < values.size(); ++c) {
        if (values[c] == 0) continue;
        out[name.first + "." + declared.counters[c].name + "[" + name.second + "]"] = values[c];
      }
    }
  }
  return out;
}

std::map<FakeDatabase::CellName, SuspectCause> FakeDatabase::suspects() const {
  const std::lock_guard lock(mutex_);
  return suspects_;
}

std::map<FakeDatabase::RangeName, SuspectCause> FakeDatabase::suspect_ranges() const {
  const std::lock_guard lock(mutex_);
  return ranges_;
}

std::vector<ParkedRecord> FakeDatabase::parked() const {
  const std::lock_guard lock(mutex_);
  std::vector<ParkedRecord> out;
  for (const auto& [name, record] : parked_) out.push_back(record);
  return out;
}

FakeProgress FakeDatabase::progress(const TopicPartition& where) const {
  const std::lock_guard lock(mutex_);
  const auto found = progress_.find(where);
  return found == progress_.end() ? FakeProgress{} : found->second;
}

std::map<TopicPartition, FakeProgress> FakeDatabase::all_progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

void FakeDatabase::remove_parked(const TopicPartition& where, Offset offset) {
  const std::lock_guard lock(mutex_);
  parked_.erase({where, offset});
}

std::size_t FakeDatabase::commits() const {
  const std::lock_guard lock(mutex_);
  return commits_;
}

std::size_t FakeDatabase::largest_batch() const {
  const std::lock_guard lock(mutex_);
  return largest_batch_;
}

void FakeDatabase::hold_flush() {
  const std::lock_guard lock(mutex_);
  flush_held_ = Lsn(commits_ * kTransactionBytes);
}

void FakeDatabase::flush_all() {
  const std::lock_guard lock(mutex_);
  flush_held_.reset();
}

// --- FakeDatabase: what stores do --------------------------------------------------------------

std::vector<Claimed> FakeDatabase::claim(std::span<const TopicPartition> partitions) {
  const std::lock_guard lock(mutex_);
  std::vector<TopicPartition> wanted(partitions.begin(), partitions.end());
  std::ranges::sort(wanted);
  std::vector<Claimed> claimed;
  for (const TopicPartition& where : wanted) {
    FakeProgress& progress = progress_[where];
    ++progress.epoch.value;
    const auto parked = std::ranges::count_if(
        parked_, [&](const auto& entry) { return entry.first.first == where; });
    claimed.push_back({.where = where,
                       .epoch = progress.epoch,
                       .next = progress.next,
                       .mark = progress.mark,
                       .fingerprint = progress.fingerprint,
                       .parked = static_cast<std::uint64_t>(parked)});
  }
  return claimed;
}

// All partitions or none.
bool FakeDatabase::advance(std::span<const Advance> advances) {
  for (const Advance& advance : advances) {
    const auto found = progress_.find(advance.where);
    if (found == progress_.end() || found->second.epoch != advance.epoch ||
        found->second.next != advance.from) {
      return false;
    }
  }
  for (const Advance& advance : advances) {
    TIDEMARK_CHECK(advance.to > advance.from);
    FakeProgress& progress = progress_[advance.where];
    progress.next = advance.to;
    progress.mark = advance.mark;
    progress.fingerprint = advance.fingerprint;
  }
  return true;
}

bool FakeDatabase::suspect(const Aggregate& aggregate, const Key& key, std::size_t counter,
                           SuspectCause cause) {
  const CounterIndex cell(static_cast<std::uint32_t>(counter));
  return suspects_.try_emplace({aggregate.name.name, key, aggregate.cell_name(cell)}, cause).second;
}

// Gives how many cells are suspect from now on as their value is below zero.
std::size_t FakeDatabase::add_row(const Aggregate& aggregate, const AggregateDelta& delta,
                                  std::size_t row) {
  const Key key =
      delta.text_keys.empty() ? std::to_string(delta.integer_keys[row]) : delta.text_keys[row];
  std::vector<std::int64_t>& values = rows_[{aggregate.name.name, key}];
  values.resize(delta.counters);
  const auto deltas = std::span(delta.deltas).subspan(row * delta.counters, delta.counters);
  if (std::ranges::count(deltas, 0) == std::ranges::ssize(deltas)) return 0;  // not written
  std::size_t negative = 0;
  for (std::size_t c = 0; c < delta.counters; ++c) {
    values[c] += deltas[c];
    const bool passed = delta.changes(CounterIndex(static_cast<std::uint32_t>(c)));
    if (!passed || values[c] >= 0) continue;
    negative += suspect(aggregate, key, c, SuspectCause::kNegative) ? 1U : 0U;
  }
  return negative;
}

std::size_t FakeDatabase::add(const Delta& delta) {
  for (const SuspectCell& cell : delta.suspect_cells) {
    suspect(declaration_.aggregate(cell.aggregate), cell.key, cell.counter.value, cell.cause);
  }
  for (const SuspectRange& range : delta.suspect_ranges) {
    const Aggregate& aggregate = declaration_.aggregate(range.aggregate);
    ranges_.try_emplace({aggregate.name.name, aggregate.cell_name(range.counter)}, range.cause);
  }
  std::size_t negative = 0;
  for (std::size_t a = 0; a < delta.aggregates.size(); ++a) {
    const AggregateDelta& aggregate = delta.aggregates[a];
    for (std::size_t row = 0; row < aggregate.rows(); ++row) {
      negative += add_row(declaration_.aggregates[a], aggregate, row);
    }
  }
  for (const ParkedRecord& record : delta.parked) {
    parked_.try_emplace({record.where, record.offset}, record);
  }
  return negative;
}

ApplyResult FakeDatabase::apply(const Delta& delta) {
  const std::lock_guard lock(mutex_);
  TIDEMARK_CHECK(!delta.advances.empty());
  TIDEMARK_CHECK(delta.aggregates.size() == declaration_.aggregates.size());
  if (!advance(delta.advances)) return {ApplyOutcome::kFenced, 0, 0};
  const std::size_t negative = add(delta);
  ++commits_;
  largest_batch_ = std::max(largest_batch_, delta.figures.records);
  std::size_t rows = 0;
  for (const AggregateDelta& aggregate : delta.aggregates) rows += aggregate.rows();
  return {ApplyOutcome::kApplied, rows, negative};
}

WalPositions FakeDatabase::wal() const {
  const std::lock_guard lock(mutex_);
  const Lsn inserted(commits_ * kTransactionBytes);
  return {inserted, flush_held_.value_or(inserted)};
}

void FakeDatabase::suspect_all(SuspectCause cause) {
  for (const Aggregate& aggregate : declaration_.aggregates) {
    for (std::uint32_t c = 0; c < aggregate.cells(); ++c) {
      ranges_.try_emplace({aggregate.name.name, aggregate.cell_name(CounterIndex(c))}, cause);
    }
  }
}

bool FakeDatabase::record_data_loss(const TopicPartition& where, Epoch epoch,
                                    std::string_view reason) {
  const std::lock_guard lock(mutex_);
  FakeProgress& progress = progress_[where];
  if (progress.epoch != epoch) return false;
  progress.next = kNotStarted;
  progress.fingerprint.reset();
  progress.data_loss = std::string(reason);
  suspect_all(SuspectCause::kDataLoss);
  return true;
}

// --- FakeStore ---------------------------------------------------------------------------------

void FakeStore::fail_next(Call call, const WorldError& error, std::size_t times) {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < times; ++i) failures_[call].push_back(error);
}

void FakeStore::lose_next_reply() {
  const std::lock_guard lock(mutex_);
  lose_reply_ = true;
}

void FakeStore::before_apply(std::function<void(const Delta&)> hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

void FakeStore::hold() {
  const std::lock_guard lock(mutex_);
  gate_closed_ = true;
}

void FakeStore::release() {
  const std::lock_guard lock(mutex_);
  gate_closed_ = false;
  changed_.notify_all();
}

void FakeStore::wait_until_held() {
  std::unique_lock lock(mutex_);
  TIDEMARK_CHECK(changed_.wait_for(lock, kHangMax, [this] { return at_gate_; }));
}

bool FakeStore::held_now() const {
  const std::lock_guard lock(mutex_);
  return at_gate_;
}

std::size_t FakeStore::calls(Call call) const {
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(call);
  return found == calls_.end() ? 0 : found->second;
}

void FakeStore::enter(Call call) {
  const std::lock_guard lock(mutex_);
  ++calls_[call];
  std::deque<WorldError>& failures = failures_[call];
  if (failures.empty()) return;
  const WorldError error = failures.front();
  failures.pop_front();
  throw error;
}

void FakeStore::wait_at_gate() {
  std::unique_lock lock(mutex_);
  if (!gate_closed_) return;
  at_gate_ = true;
  changed_.notify_all();
  TIDEMARK_CHECK(changed_.wait_for(lock, kHangMax, [this] { return !gate_closed_; }));
  at_gate_ = false;
}

std::vector<Claimed> FakeStore::claim(std::span<const TopicPartition> partitions) {
  enter(Call::kClaim);
  return database_.claim(partitions);
}

ApplyResult FakeStore::apply(const Delta& delta) {
  wait_at_gate();
  enter(Call::kApply);
  std::function<void(const Delta&)> hook;
  bool lose_reply = false;
  {
    const std::lock_guard lock(mutex_);
    hook = hook_;
    lose_reply = std::exchange(lose_reply_, false);
  }
  if (hook) hook(delta);
  const ApplyResult result = database_.apply(delta);
  if (lose_reply) throw WorldError(ErrorKind::kRetry, "the reply to COMMIT was lost", "08006");
  return result;
}

WalPositions FakeStore::wal_positions() {
  enter(Call::kWal);
  return database_.wal();
}

bool FakeStore::record_data_loss(const TopicPartition& where, Epoch epoch,
                                 std::string_view reason) {
  enter(Call::kDataLoss);
  return database_.record_data_loss(where, epoch, reason);
}

}  // namespace tidemark::testing
