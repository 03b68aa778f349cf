// How many rows a recount slice should take so that it holds the turn for about a goal.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace tidemark {

// A slice costs something by itself (a scan of a table without a fitting index, say) and something
// a row. Only the second shrinks with the rows: where half the rows took about as long, the goal is
// stretched to half as much again as what a slice takes at least. And where the turn is long in
// coming, as beside a backlog's long batches, a slice may hold it as long as it waited.
class SliceSizer {
 public:
  explicit SliceSizer(std::chrono::microseconds goal) : goal_(goal) {}

  std::size_t rows() const { return rows_; }

  void took(std::chrono::microseconds hold, std::chrono::microseconds wait) {
    const bool in_vain = halved_from_ > std::chrono::microseconds(0) && hold > halved_from_ * 4 / 5;
    if (in_vain) least_ = std::max(least_, hold);
    halved_from_ = std::chrono::microseconds(0);
    const auto allowed = std::max({goal_, wait, least_ + least_ / 2});
    if (hold > allowed) {
      if (rows_ > 1) halved_from_ = hold;
      rows_ = std::max<std::size_t>(1, rows_ / 2);
    } else if (hold < allowed - allowed / 4) {
      rows_ = std::min(kRowsMax, rows_ + rows_ / 2 + 1);
    }
    least_ -= least_ / 64;  // tables and plans change
  }
  // It failed because of its size.
  void failed() { rows_ = std::max<std::size_t>(1, rows_ / 4); }

 private:
  static constexpr std::size_t kRowsFirst = 256;
  static constexpr std::size_t kRowsMax = 20'000;

  std::chrono::microseconds goal_;
  std::chrono::microseconds least_{0};        // what a slice takes by itself, as far as is known
  std::chrono::microseconds halved_from_{0};  // the last slice took so long, and was halved
  std::size_t rows_ = kRowsFirst;
};

}  // namespace tidemark
