// A Store in memory. Computes nothing itself: it adds what the delta says, and is as strict about
// offsets and epochs as Postgres is (rule P1).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/core/ports.h"

namespace tidemark::testing {

// What the database holds of one partition.
struct FakeProgress {
  Offset next = kNotStarted;
  Epoch epoch{0};
  Mark mark;
  std::optional<Fingerprint> fingerprint;
  std::optional<std::string> data_loss;
};

// All that is stored. Shared by the stores of all members and lanes; every method locks.
class FakeDatabase {
 public:
  explicit FakeDatabase(const Declaration& declaration) : declaration_(declaration) {}

  using Key = std::string;  // an aggregate row's key, as text
  // (aggregate's name, key, counter's name), (aggregate's name, counter's name).
  using CellName = std::tuple<std::string, Key, std::string>;
  using RangeName = std::pair<std::string, std::string>;

  // The value of a cell, by the aggregate's name without its schema; none: no such row.
  std::optional<std::int64_t> cell(std::string_view aggregate, const Key& key,
                                   std::string_view counter) const;
  // The non-zero cells of everything, "aggregate_user.follower_count[7]" -> value.
  std::map<std::string, std::int64_t> cells() const;
  std::map<CellName, SuspectCause> suspects() const;
  std::map<RangeName, SuspectCause> suspect_ranges() const;
  std::vector<ParkedRecord> parked() const;
  FakeProgress progress(const TopicPartition& where) const;
  std::map<TopicPartition, FakeProgress> all_progress() const;
  // Takes a parked record away, as an operator does.
  void remove_parked(const TopicPartition& where, Offset offset);
  // How many transactions were committed, and how many records the largest of them had.
  std::size_t commits() const;
  std::size_t largest_batch() const;

  // The log is flushed only up to here from now on; flush_all ends that.
  void hold_flush();
  void flush_all();

 private:
  friend class FakeStore;

  std::vector<Claimed> claim(std::span<const TopicPartition> partitions);
  ApplyResult apply(const Delta& delta);
  WalPositions wal() const;
  bool record_data_loss(const TopicPartition& where, Epoch epoch, std::string_view reason);

  // The rest is called with the mutex held.
  bool advance(std::span<const Advance> advances);
  std::size_t add(const Delta& delta);
  std::size_t add_row(const Aggregate& aggregate, const AggregateDelta& delta, std::size_t row);
  bool suspect(const Aggregate& aggregate, const Key& key, std::size_t counter, SuspectCause cause);
  void suspect_all(SuspectCause cause);

  const Declaration& declaration_;
  mutable std::mutex mutex_;
  std::map<TopicPartition, FakeProgress> progress_;
  std::map<std::pair<std::string, Key>, std::vector<std::int64_t>> rows_;
  std::map<CellName, SuspectCause> suspects_;
  std::map<RangeName, SuspectCause> ranges_;
  std::map<std::pair<TopicPartition, Offset>, ParkedRecord> parked_;
  std::size_t commits_ = 0;
  std::size_t largest_batch_ = 0;
  std::optional<Lsn> flush_held_;
};

// One connection to a FakeDatabase. The Store's methods are called from one thread; the test's from
// another.
class FakeStore final : public Store {
 public:
  explicit FakeStore(FakeDatabase& database) : database_(database) {}

  // --- failures, played by the test ---
  enum class Call : std::uint8_t { kClaim, kApply, kWal, kDataLoss };
  // The next call of this sort throws `error` instead, `times` in a row.
  void fail_next(Call call, const WorldError& error, std::size_t times = 1);
  // The next apply commits, and then throws: the reply to COMMIT is lost.
  void lose_next_reply();
  // Called before each apply changes anything; what it throws is the call's failure.
  void before_apply(std::function<void(const Delta&)> hook);
  // From now on each apply waits, before it changes anything, until release(). Times out (CHECK).
  void hold();
  void release();
  // Waits until an apply is waiting. Times out (CHECK).
  void wait_until_held();
  bool held_now() const;
  std::size_t calls(Call call) const;

  std::vector<Claimed> claim(std::span<const TopicPartition> partitions) override;
  ApplyResult apply(const Delta& delta) override;
  WalPositions wal_positions() override;
  bool record_data_loss(const TopicPartition& where, Epoch epoch, std::string_view reason) override;

 private:
  void enter(Call call);
  void wait_at_gate();

  FakeDatabase& database_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Call, std::deque<WorldError>> failures_;
  std::map<Call, std::size_t> calls_;
  std::function<void(const Delta&)> hook_;
  bool lose_reply_ = false;
  bool gate_closed_ = false;
  bool at_gate_ = false;
};

}  // namespace tidemark::testing
