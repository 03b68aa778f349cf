#include "tests/sim/source.h"

#include <algorithm>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark::sim {
namespace {

constexpr std::uint64_t kRecordBytes = 8;
constexpr std::size_t kOpenMax = 4;
constexpr std::size_t kSlowEnds = 12;  // percent, when it is its turn to end
constexpr std::uint64_t kIdsOfAnEpoch = 1ULL << 32U;

}  // namespace

// Ids begin close below a new epoch, so that they wrap in the run.
Source::Source(Random& random, const Trace& trace, SourceHabits habits)
    : random_(random),
      trace_(trace),
      habits_(habits),
      next_id_(kIdsOfAnEpoch * 3 - random.below(50) - 1),
      newest_completed_(next_id_ - 1) {}

Lsn Source::append(std::uint64_t bytes) {
  const Lsn at(log_end_);
  log_end_ += bytes;
  return at;
}

std::uint64_t Source::take_id() {
  const std::uint64_t id = next_id_++;
  complete(id);
  return id;
}

void Source::complete(std::uint64_t id) { newest_completed_ = std::max(newest_completed_, id); }

void Source::begin() {
  if (open_.size() == kOpenMax) return;
  Transaction tx;
  tx.id = tx.newest_id = next_id_++;
  tx.slow = random_.percent(habits_.slow);
  trace_.say("source    tx {} begins{}", tx.id, tx.slow ? ", for long" : "");
  open_.push_back(std::move(tx));
}

Transaction* Source::any_open(bool ending) {
  if (open_.empty()) return nullptr;
  Transaction& tx = open_[random_.below(open_.size())];
  if (ending && tx.slow && !random_.percent(kSlowEnds)) return nullptr;
  return &tx;
}

std::vector<RowId> Source::free_rows(const Transaction& tx, bool present) const {
  std::vector<RowId> rows;
  for (RowId id = 0; id < kRowIds; ++id) {
    if (lock_[id] && *lock_[id] != tx.id) continue;
    if (newest_[id].has_value() == present) rows.push_back(id);
  }
  return rows;
}

Row Source::any_row() {
  return {random_.below(kUsers), random_.below(kItems), random_.percent(80), random_.percent(50)};
}

void Source::write() {
  Transaction* tx = any_open(false);
  if (tx == nullptr) return;
  const std::vector<RowId> present = free_rows(*tx, true);
  const std::vector<RowId> absent = free_rows(*tx, false);
  if (absent.size() >= 2 && random_.percent(25)) {
    write_copy(*tx, absent);
  } else if (!present.empty() && !absent.empty() && random_.percent(15)) {
    const RowId from = random_.one_of(present);  // not among the arguments: their order is open
    move_row(*tx, from, random_.one_of(absent));
  } else if (!present.empty() && (absent.empty() || random_.percent(60))) {
    write_row(*tx, random_.one_of(present));
  } else if (!absent.empty()) {
    const RowId id = random_.one_of(absent);
    add(*tx, Op::kCreate, id, any_row(), append(kRecordBytes));
  }
}

void Source::write_row(Transaction& tx, RowId id) {
  if (random_.percent(20)) return add(tx, Op::kDelete, id, std::nullopt, append(kRecordBytes));
  Row row = *newest_[id];
  switch (random_.below(5)) {
    case 0:
      row.loud = !row.loud;
      break;
    case 1:
      row = any_row();
      break;
    case 2:
      break;  // an update that changes nothing
    default:
      row.active = !row.active;
  }
  add(tx, Op::kUpdate, id, row, append(kRecordBytes));
  Event& event = tx.events.back();
  event.has_before = !random_.percent(habits_.no_before);
}

// One record of the log holds the rows of one page: they share its LSN.
void Source::write_copy(Transaction& tx, std::vector<RowId> absent) {
  const Lsn lsn = append(kRecordBytes * 3);
  std::size_t rows = 2 + random_.below(3);
  for (; rows > 0 && !absent.empty(); --rows) {
    const std::size_t at = random_.below(absent.size());
    add(tx, Op::kCreate, absent[at], any_row(), lsn);
    absent.erase(absent.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

// A changed key is decoded as a delete and a create at one position.
void Source::move_row(Transaction& tx, RowId from, RowId to) {
  const Lsn lsn = append(kRecordBytes);
  Row row = *newest_[from];
  if (random_.percent(50)) row.active = !row.active;
  add(tx, Op::kDelete, from, std::nullopt, lsn);
  add(tx, Op::kCreate, to, row, lsn);
}

void Source::add(Transaction& tx, Op op, RowId id, std::optional<Row> after, Lsn lsn) {
  if (!tx.first) tx.first = lsn;
  Event event{.op = op, .row = id, .before = newest_[id], .after = after, .lsn = lsn};
  event.has_key = !random_.percent(habits_.no_key);
  trace_.say("source    tx {} writes {} of row {} at {}", tx.id, op_letter(op), id, lsn.value);
  newest_[id] = after;
  if (!lock_[id]) tx.locked.push_back(id);
  lock_[id] = tx.id;
  tx.events.push_back(std::move(event));
}

void Source::write_subtransaction() {
  Transaction* tx = any_open(false);
  if (tx == nullptr) return;
  tx->newest_id = next_id_++;
  if (random_.percent(30)) complete(tx->newest_id);  // rolled back to its savepoint
}

void Source::truncate() {
  if (!random_.percent(habits_.truncate) || open_.size() == kOpenMax) return;
  if (std::ranges::any_of(lock_, [](const auto& lock) { return lock.has_value(); })) return;
  begin();
  Transaction& tx = open_.back();
  tx.slow = false;
  for (RowId id = 0; id < kRowIds; ++id) {
    lock_[id] = tx.id;
    tx.locked.push_back(id);
    newest_[id].reset();
  }
  tx.first = append(kRecordBytes);
  tx.events.push_back({.op = Op::kTruncate, .lsn = *tx.first, .has_key = false});
  trace_.say("source    tx {} truncates at {}", tx.id, tx.first->value);
}

void Source::commit() {
  Transaction* tx = any_open(true);
  if (tx == nullptr) return;
  if (tx->events.empty()) return roll_back(*tx);
  const std::size_t place = commits_.size();
  append(kRecordBytes);
  tx->end = end_of_log();
  trace_.say("source    tx {} commits at {}", tx->id, tx->end.value);
  for (Event& event : tx->events) {
    event.commit = place;
    events_.push_back(event);
  }
  commits_.push_back(std::move(*tx));
  visible_.push_back(false);
  unseen_.push_back(place);
  open_.erase(open_.begin() + (tx - open_.data()));
}

void Source::show() {
  if (unseen_.empty()) return;
  const std::size_t at = random_.below(unseen_.size());
  const std::size_t place = unseen_[at];
  unseen_.erase(unseen_.begin() + static_cast<std::ptrdiff_t>(at));
  make_visible(place);
}

void Source::make_visible(std::size_t commit) {
  const Transaction& tx = commits_[commit];
  trace_.say("source    tx {} is visible", tx.id);
  visible_[commit] = true;
  complete(tx.newest_id);
  for (const Event& event : tx.events) {
    if (event.op == Op::kTruncate) {
      shown_.fill(std::nullopt);
    } else {
      shown_[event.row] = event.after;
    }
  }
  for (const RowId id : tx.locked) lock_[id].reset();
}

void Source::abort() {
  Transaction* tx = any_open(true);
  if (tx != nullptr) roll_back(*tx);
}

void Source::roll_back(Transaction& tx) {
  trace_.say("source    tx {} is rolled back", tx.id);
  complete(tx.newest_id);
  for (const RowId id : tx.locked) {
    newest_[id] = shown_[id];  // nobody else wrote it: it was locked
    lock_[id].reset();
  }
  open_.erase(open_.begin() + (&tx - open_.data()));
}

void Source::log_running() {
  const Lsn at = append(kRecordBytes);
  Lsn from = at;
  for (const Transaction& tx : open_) from = std::min(from, tx.first.value_or(from));
  restarts_.push_back({end_of_log(), from});
}

void Source::confirm(Lsn confirmed) {
  TIDEMARK_CHECK(confirmed >= confirmed_);
  confirmed_ = confirmed;
  std::erase_if(restarts_, [&](const Restart& restart) {
    if (restart.at > confirmed) return false;
    restart_ = std::max(restart_, restart.from);
    return true;
  });
}

bool Source::age() {
  if (!random_.percent(habits_.age) || !quiet()) return false;
  next_id_ += kIdsOfAnEpoch - random_.below(40);
  newest_completed_ = next_id_ - 1;
  trace_.say("source    ids go on at {}", next_id_);
  return true;
}

void Source::crash() {
  while (!open_.empty()) roll_back(open_.back());
  while (!unseen_.empty()) show();
}

SourceSnapshot Source::snapshot() const {
  SourceSnapshot snapshot;
  snapshot.xmax = newest_completed_ + 1;
  const auto note = [&](std::uint64_t id) {
    if (id < snapshot.xmax) snapshot.running.push_back(id);
  };
  for (const Transaction& tx : open_) note(tx.id);
  for (const std::size_t place : unseen_) note(commits_[place].id);
  snapshot.next = snapshot.xmax;
  return snapshot;
}

Counts Source::count() const {
  Counts counts{};
  for (const std::optional<Row>& row : shown_) add_contributions(counts, row, 1);
  return counts;
}

}  // namespace tidemark::sim
