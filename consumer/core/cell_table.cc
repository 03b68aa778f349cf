#include "consumer/core/cell_table.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tidemark {

CellTable::CellTable(const Aggregate& aggregate)
    : text_keys_(!is_integer(aggregate.key_type)), counters_(aggregate.counters.size()) {}

std::size_t CellTable::row(std::int64_t key) {
  if (!keys_.empty() && key == last_key_) return last_row_;
  const auto [it, inserted] = index_.try_emplace(key, static_cast<std::uint32_t>(keys_.size()));
  if (inserted) {
    keys_.push_back(key);
    deltas_.resize(deltas_.size() + counters_, 0);
  }
  last_key_ = key;
  last_row_ = it->second;
  return last_row_;
}

std::size_t CellTable::row(std::string_view key) {
  auto it = interned_.find(key);
  if (it == interned_.end()) {
    it = interned_.emplace(std::string(key), static_cast<std::int64_t>(texts_.size())).first;
    texts_.emplace_back(key);
  }
  return row(it->second);
}

void CellTable::add(std::size_t row, CounterIndex counter, std::int32_t delta) {
  deltas_[row * counters_ + counter.value] += delta;
}

void CellTable::gather(const std::vector<std::uint32_t>& order, AggregateDelta& out) {
  out.deltas.reserve(deltas_.size());
  out.places.resize(order.size());
  std::uint32_t place = 0;
  for (const std::uint32_t row : order) {
    out.places[row] = place++;
    if (text_keys_) {
      out.text_keys.push_back(std::move(texts_[static_cast<std::size_t>(keys_[row])]));
    } else {
      out.integer_keys.push_back(keys_[row]);
    }
    for (std::size_t c = 0; c < counters_; ++c) {
      out.deltas.push_back(deltas_[row * counters_ + c]);
    }
  }
}

AggregateDelta CellTable::take() {
  AggregateDelta out;
  out.counters = counters_;
  std::vector<std::uint32_t> order(keys_.size());
  std::iota(order.begin(), order.end(), 0U);
  if (text_keys_) {
    std::ranges::sort(order, {}, [this](std::uint32_t row) -> const std::string& {
      return texts_[static_cast<std::size_t>(keys_[row])];
    });
    out.text_keys.reserve(order.size());
  } else {
    std::ranges::sort(order, {}, [this](std::uint32_t row) { return keys_[row]; });
    out.integer_keys.reserve(order.size());
  }
  gather(order, out);
  empty_out(index_, keys_.size());
  empty_out(interned_, keys_.size());
  texts_.clear();
  keys_.clear();
  deltas_.clear();
  return out;
}

}  // namespace tidemark
