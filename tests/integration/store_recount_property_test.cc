// The stream and recounts over a random history, on a real database: few keys and small batches, so
// that a fence often saw a part of what a batch does to a cell, and a batch often sums to 0.
//
// A failure prints rapidcheck's seed; RC_PARAMS="seed=..." plays it again.
#include <gmock/gmock.h>
#include <rapidcheck.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/follows_fixture.h"

namespace tidemark::testing {
namespace {

constexpr int kRows = 4;
constexpr int kFollowees = 2;
constexpr int kBatchMost = 8;

enum class Step : std::uint8_t { kWrite, kApply, kRecountAll, kRecountOne, kDrop };

void showValue(Step step, std::ostream& out) {  // as rapidcheck asks for it
  constexpr std::array kNames = {"write", "apply", "recount all", "recount one", "drop"};
  out << kNames.at(static_cast<std::size_t>(step));
}

// A step and what it is about: a row, a number of changes, a key.
using Steps = std::vector<std::pair<Step, int>>;

class StoreRecountProperty : public FollowsTest {
 protected:
  void begin_anew() {
    sql("truncate public.follows, public.aggregate_user, tidemark.fences, tidemark.ledger");
    live_ = {};
    written_ = {};
    coming_.clear();
  }

  // A row is of one followee, whose cell goes up and down with it.
  void write(int row) {
    const auto at = static_cast<std::size_t>(row);
    const int followee = row % kFollowees;
    if (!std::exchange(written_.at(at), true)) {
      coming_.push_back(follow(row, followee));
    } else {
      coming_.push_back(live_.at(at) ? unfollow(row, followee) : follow_again(row, followee));
    }
    live_.at(at) = !live_.at(at);
  }

  // One batch of what comes first.
  void apply_some(std::size_t changes) {
    for (; changes > 0 && !coming_.empty(); --changes) {
      fold(coming_.front());
      coming_.pop_front();
    }
    if (!fold_.empty()) apply();
  }

  // What the fences saw must have come before (rule F9).
  std::vector<DriftRow> drop() {
    apply_some(coming_.size());
    return drop_all();
  }

  void take(Step step, int choice) {
    switch (step) {
      case Step::kWrite:
        return write(choice % kRows);
      case Step::kApply:
        return apply_some(static_cast<std::size_t>(choice));
      case Step::kRecountAll:
        recount_all();
        return;
      case Step::kRecountOne:
        recount_key(std::to_string(choice % kFollowees));
        return;
      case Step::kDrop:
        RC_ASSERT(drop().empty());
        return;
    }
  }

  std::string counted() {
    return sql("select followee, count(*) from public.follows where live group by 1 order by 1");
  }
  std::string stored() {
    return sql("select user_id, followers from public.aggregate_user where followers <> 0"
               " order by 1");
  }

 private:
  std::array<bool, kRows> live_{};
  std::array<bool, kRows> written_{};
  std::deque<Change> coming_;
};

TEST_F(StoreRecountProperty, EveryCellIsRightAndNoDriftIsFound) {
  settle();
  EXPECT_TRUE(rc::check("the stream and the recounts agree", [this] {
    const auto step = rc::gen::weightedElement<Step>({{6, Step::kWrite},
                                                      {3, Step::kApply},
                                                      {2, Step::kRecountAll},
                                                      {2, Step::kRecountOne},
                                                      {1, Step::kDrop}});
    const auto steps =
        *rc::gen::container<Steps>(rc::gen::pair(step, rc::gen::inRange(0, kBatchMost)));
    begin_anew();
    for (const auto& [what, choice] : steps) take(what, choice);
    RC_ASSERT(drop().empty());
    RC_ASSERT(stored() == counted());
  }));
}

}  // namespace
}  // namespace tidemark::testing
