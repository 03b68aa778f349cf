#include "consumer/core/fence.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <unordered_map>
#include <utility>

#include "consumer/core/check.h"

namespace tidemark {

SeenTest::SeenTest(const SourceSnapshot& snapshot)
    : xmax_(static_cast<std::uint32_t>(snapshot.xmax)),
      window_(static_cast<std::uint32_t>(snapshot.next - snapshot.xmax)),
      inserted_(snapshot.inserted),
      restart_(snapshot.restart) {
  TIDEMARK_CHECK(snapshot.next >= snapshot.xmax);
  for (const std::uint64_t id : snapshot.running) {
    running_.push_back(static_cast<std::uint32_t>(id));
  }
  std::ranges::sort(running_);
}

bool SeenTest::running_contains(std::uint32_t tx_id) const {
  return std::ranges::binary_search(running_, tx_id);
}

bool saw_all(const SourceSnapshot& snapshot, const Delta& delta) {
  const SeenTest seen(snapshot);
  return std::ranges::none_of(delta.transactions,
                              [&](std::uint32_t tx_id) { return seen.unfinished(tx_id); });
}

namespace {

// Fences of one aggregate, found by key. K: std::int64_t or std::string.
template <class K>
class KeyIndex {
 public:
  // To be called with the newest fence first: what is covered already stays.
  void add_range(const std::optional<K>& from, const std::optional<K>& to, std::size_t fence) {
    ranges_.push_back({from, to, fence});
  }
  void add_key(K key, std::size_t fence) { listed_.try_emplace(std::move(key), fence); }
  void add_except(K key, std::size_t fence) { except_[std::move(key)].push_back(fence); }
  // Fences of repairs, which newer ones don't hide from covered_by_repair().
  void add_repair_range(const std::optional<K>& from, const std::optional<K>& to,
                        std::size_t fence) {
    repair_ranges_.push_back({from, to, fence});
  }
  void add_repair_key(K key, std::size_t fence) { repair_keys_[std::move(key)].push_back(fence); }

  // Sorted by their beginning, and cut so that no two overlap.
  void finish() {
    std::map<Bound, std::size_t> painted;  // from here on, this fence (or kNone)
    painted[Bound{}] = kNone;
    for (const Range& range : ranges_) paint(painted, range);
    for (auto& [from, fence] : painted) pieces_.push_back({from, fence});
  }

  // The newest fence over the key; kNone.
  std::size_t find(const K& key) const {
    std::size_t found = kNone;
    const auto after = std::ranges::upper_bound(pieces_, Bound{key}, {}, &Piece::from);
    if (after != pieces_.begin()) found = std::prev(after)->fence;
    if (found != kNone && excepted(key, found)) found = next_older(key, found);
    const auto listed = listed_.find(key);
    if (listed != listed_.end() && (found == kNone || listed->second < found)) {
      found = listed->second;  // indexes count from the newest fence
    }
    return found;
  }

  // Whether one of the repairs' fences over the key is as `wanted`.
  template <class Wanted>
  bool covered_by_repair(const K& key, const Wanted& wanted) const {
    const bool in_range = std::ranges::any_of(repair_ranges_, [&](const Range& range) {
      return wanted(range.fence) && range.holds(key) && !excepted(key, range.fence);
    });
    if (in_range) return true;
    const auto listed = repair_keys_.find(key);
    return listed != repair_keys_.end() && std::ranges::any_of(listed->second, wanted);
  }

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

 private:
  struct Range {
    std::optional<K> from;
    std::optional<K> to;
    std::size_t fence;

    bool holds(const K& key) const { return !(from && key < *from) && !(to && key >= *to); }
  };
  using Bound = std::optional<K>;  // none sorts first: before all keys
  struct Piece {
    Bound from;
    std::size_t fence;
  };

  bool excepted(const K& key, std::size_t fence) const {
    const auto it = except_.find(key);
    return it != except_.end() && std::ranges::find(it->second, fence) != it->second.end();
  }

  // A key that a recount left out is still under the fence of the one before.
  std::size_t next_older(const K& key, std::size_t newer) const {
    for (const Range& range : ranges_) {
      if (range.fence <= newer || !range.holds(key)) continue;
      if (!excepted(key, range.fence)) return range.fence;
    }
    return kNone;
  }

  // Cuts at both ends, then paints what no newer fence has painted.
  void paint(std::map<Bound, std::size_t>& painted, const Range& range) {
    cut(painted, range.from);
    if (range.to) cut(painted, range.to);
    for (auto it = painted.find(range.from); it != painted.end(); ++it) {
      if (range.to && it->first == range.to) break;
      if (it->second == kNone) it->second = range.fence;
    }
  }
  void cut(std::map<Bound, std::size_t>& painted, const Bound& at) {
    painted.try_emplace(at, std::prev(painted.upper_bound(at))->second);
  }

  std::vector<Range> ranges_;  // newest fence first
  std::vector<Piece> pieces_;
  std::unordered_map<K, std::size_t> listed_;
  std::unordered_map<K, std::vector<std::size_t>> except_;
  std::vector<Range> repair_ranges_;
  std::unordered_map<K, std::vector<std::size_t>> repair_keys_;
};

std::int64_t integer_of(const std::string& key) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
  TIDEMARK_CHECK(error == std::errc{} && end == key.data() + key.size());
  return number;
}

template <class K>
K key_of(const std::string& text) {
  if constexpr (std::is_same_v<K, std::int64_t>) {
    return integer_of(text);
  } else {
    return text;
  }
}

template <class K>
std::optional<K> bound_of(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  return key_of<K>(*text);
}

template <class K>
void add_keys(KeyIndex<K>& index, const KeySet& keys, std::size_t fence, bool repairs) {
  if (!keys.listed) {
    index.add_range(bound_of<K>(keys.from), bound_of<K>(keys.to), fence);
    if (repairs) index.add_repair_range(bound_of<K>(keys.from), bound_of<K>(keys.to), fence);
    for (const std::string& key : keys.except) index.add_except(key_of<K>(key), fence);
    return;
  }
  for (const std::string& key : *keys.listed) {
    index.add_key(key_of<K>(key), fence);
    if (repairs) index.add_repair_key(key_of<K>(key), fence);
  }
}

}  // namespace

struct FenceSet::Impl {
  std::vector<Fence> fences;  // newest first
  std::vector<SeenTest> tests;
  struct Keys {
    bool any = false;
    bool repairs = false;  // some of its fences repaired
    KeyIndex<std::int64_t> integers;
    KeyIndex<std::string> texts;
  };
  std::vector<Keys> aggregates;

  // A recount that repaired the cell saw the change: its correction, which no ledger holds, has it
  // already. `newest` is the fence over the cell.
  bool repaired(const LoggedDelta& logged, const AggregateDelta& delta, std::size_t row,
                std::size_t newest) const {
    const auto saw = [&](std::size_t fence) {
      return fence >= newest && fences[fence].repairs[logged.counter] &&
             tests[fence].saw(logged.tx_id, logged.lsn);
    };
    const Keys& keys = aggregates[logged.aggregate];
    if (!keys.repairs) return false;
    if (!delta.integer_keys.empty()) {
      return keys.integers.covered_by_repair(delta.integer_keys[row], saw);
    }
    return keys.texts.covered_by_repair(delta.text_keys[row], saw);
  }

  // Per row of the delta the fence over it.
  std::vector<std::size_t> fences_of(std::size_t aggregate, const AggregateDelta& delta) const {
    const Keys& keys = aggregates[aggregate];
    std::vector<std::size_t> found;
    found.reserve(delta.rows());
    for (const std::int64_t key : delta.integer_keys) found.push_back(keys.integers.find(key));
    for (const std::string& key : delta.text_keys) found.push_back(keys.texts.find(key));
    return found;
  }
};

FenceSet::FenceSet(const Declaration& declaration, std::vector<Fence> fences)
    : impl_(std::make_unique<Impl>()) {
  std::ranges::sort(fences, std::ranges::greater{}, &Fence::id);
  impl_->aggregates.resize(declaration.aggregates.size());
  for (std::size_t i = 0; i < fences.size(); ++i) {
    const AggregateIndex aggregate = fences[i].aggregate;
    Impl::Keys& keys = impl_->aggregates[aggregate.value];
    keys.any = true;
    const bool repairs = std::ranges::find(fences[i].repairs, true) != fences[i].repairs.end();
    keys.repairs = keys.repairs || repairs;
    if (is_integer(declaration.aggregate(aggregate).key_type)) {
      add_keys(keys.integers, fences[i].keys, i, repairs);
    } else {
      add_keys(keys.texts, fences[i].keys, i, repairs);
    }
    impl_->tests.emplace_back(fences[i].snapshot);
  }
  for (Impl::Keys& keys : impl_->aggregates) {
    keys.integers.finish();
    keys.texts.finish();
  }
  impl_->fences = std::move(fences);
}
FenceSet::~FenceSet() = default;
FenceSet::FenceSet(FenceSet&&) noexcept = default;
FenceSet& FenceSet::operator=(FenceSet&&) noexcept = default;

bool FenceSet::empty() const { return impl_->fences.empty(); }
std::size_t FenceSet::size() const { return impl_->fences.size(); }

FencedDelta FenceSet::let_through(const Delta& delta) const {
  FencedDelta out;
  if (empty()) return out;
  constexpr std::size_t kNone = KeyIndex<std::int64_t>::kNone;
  std::vector<std::vector<std::size_t>> fence_of(delta.aggregates.size());
  for (std::size_t a = 0; a < delta.aggregates.size(); ++a) {
    if (impl_->aggregates[a].any) fence_of[a] = impl_->fences_of(a, delta.aggregates[a]);
  }
  // Skipped so far by cell: (aggregate, counter, row). Ordered as rule P2 wants the ledger's rows.
  std::map<std::tuple<std::uint32_t, std::uint32_t, std::size_t>, std::int64_t> skipped;
  for (std::size_t place = 0; place < delta.log.size(); ++place) {
    const LoggedDelta& logged = delta.log[place];
    if (fence_of[logged.aggregate].empty()) continue;
    const std::size_t row = delta.aggregates[logged.aggregate].places[logged.row];
    const std::size_t fence = fence_of[logged.aggregate][row];
    if (fence == kNone || !impl_->tests[fence].saw(logged.tx_id, logged.lsn)) continue;
    if (out.aggregates.empty()) {
      out.aggregates = delta.aggregates;
      out.skips.resize(delta.log.size());
    }
    out.skips[place] = true;
    AggregateDelta& aggregate = out.aggregates[logged.aggregate];
    aggregate.deltas[row * aggregate.counters + logged.counter] -= logged.delta;
    ++out.skipped_changes;
    if (impl_->repaired(logged, delta.aggregates[logged.aggregate], row, fence)) continue;
    skipped[{logged.aggregate, logged.counter, row}] += logged.delta;
  }
  for (const auto& [cell, sum] : skipped) {
    const auto [aggregate, counter, row] = cell;
    if (sum == 0) continue;
    out.skipped.push_back({AggregateIndex(aggregate), CounterIndex(counter), row, sum,
                           impl_->fences[fence_of[aggregate][row]].id});
  }
  return out;
}

}  // namespace tidemark
