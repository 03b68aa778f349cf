// How many rows a recount slice should take so that it holds the turn for about a goal.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>

namespace tidemark {

// A slice costs something by itself (statements, a scan of a table without a fitting index, a
// machine that is busy) and something a row. Only the second shrinks with the rows. So sizes, all
// powers of two, are compared by what slices of them took of late: a smaller one is taken where the
// turn is held for longer than the goal and the smaller holds it for much less, a larger one where
// it fits the goal or costs little more. And where the turn is long in coming, as beside a
// backlog's long batches, a slice may hold it as long as it waited.
class SliceSizer {
 public:
  explicit SliceSizer(std::chrono::microseconds goal) : goal_(to_double(goal)) {}

  std::size_t rows() const { return std::size_t{1} << size_; }

  // A slice of so many rows, which may be fewer than rows() as there were no more.
  void took(std::size_t rows, std::chrono::microseconds hold, std::chrono::microseconds wait) {
    for (Took& one : took_) ++one.age;
    const std::size_t size = std::min<std::size_t>(std::bit_width(std::max<std::size_t>(rows, 1)),
                                                   kSizes) -
                             1;
    took_[size] = {known(size) ? mix(took_[size].hold, to_double(hold)) : to_double(hold), 0};
    wait_ = mix(wait_, to_double(wait));
    if (known(size_)) choose();
  }
  // It failed because of its size.
  void failed() { size_ -= std::min<std::size_t>(size_, 2); }

 private:
  struct Took {
    double hold = 0;       // microseconds, the newest weigh most
    int age = kForgotten;  // slices since the last of this size
  };
  static constexpr std::size_t kSizes = 15;  // up to 16,384 rows
  static constexpr std::size_t kSizeFirst = 8;
  static constexpr int kForgotten = 16;
  static constexpr double kNewest = 0.3;
  static constexpr double kAround = 1.4;       // sizes double: some are below the goal, some above
  static constexpr double kMuchLess = 0.8;     // for half the rows
  static constexpr double kLittleMore = 1.25;  // for twice the rows

  static double to_double(std::chrono::microseconds time) {
    return static_cast<double>(time.count());
  }
  static double mix(double old, double now) { return old + kNewest * (now - old); }

  bool known(std::size_t size) const { return took_[size].age < kForgotten; }

  void choose() {
    const double hold = took_[size_].hold;
    const double allowed = std::max(goal_, wait_) * kAround;
    const bool more_known = size_ + 1 < kSizes && known(size_ + 1);
    if (more_known && took_[size_ + 1].hold <= std::max(allowed, kLittleMore * hold)) {
      ++size_;
      return;
    }
    const bool less_in_vain =
        size_ == 0 || (known(size_ - 1) && took_[size_ - 1].hold > kMuchLess * hold);
    if (hold > allowed && !less_in_vain) {
      --size_;
      return;
    }
    // To be seen.
    if (!more_known && (hold > allowed || hold <= allowed / 2)) {
      size_ = std::min(size_ + 1, kSizes - 1);
    }
  }

  double goal_;
  double wait_ = 0;
  std::size_t size_ = kSizeFirst;
  std::array<Took, kSizes> took_{};
};

}  // namespace tidemark
