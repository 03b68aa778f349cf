#include "tests/sim/world.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <vector>

namespace tidemark::sim {
namespace {

constexpr std::size_t kStepsMin = 60;
constexpr std::size_t kEndRoundsMax = 20'000;

class World {
 public:
  World(std::uint64_t seed, const Rules& rules, bool verbose, Reached& reached);

  void run();
  std::size_t steps_done() const { return steps_done_; }

 private:
  struct Step {
    std::size_t weight;
    std::function<void()> act;
  };

  std::size_t now_and_then(std::size_t most) {
    return random_.percent(50) ? random_.below(most + 1) : 0;
  }
  // What makes cells suspect: not in calm runs, or the ledger would only know repairs.
  std::size_t unless_calm(std::size_t most) { return calm_ ? 0 : now_and_then(most); }
  void plan();
  void step(const std::function<void()>& act);
  void rebalance();
  void touch_by_hand();
  void note_drift();
  void commit();
  void age();
  void crash();
  void end_source();
  void deliver();
  void recount(bool everything);
  void drop_fences();
  Member& any_member() { return *members_[random_.below(members_.size())]; }

  Random random_;
  Trace trace_;
  Rules rules_;
  bool calm_;
  std::size_t partitions_;
  bool one_database_;
  Source source_;
  Connector connector_;
  Target target_;
  Recounter recounter_;
  Verifier verifier_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<Step> steps_;
  std::size_t steps_done_ = 0;
};

World::World(std::uint64_t seed, const Rules& rules, bool verbose, Reached& reached)
    : random_(seed),
      trace_{verbose, &reached},
      rules_(rules),
      calm_(random_.percent(40)),
      partitions_(2 + random_.below(2)),
      one_database_(random_.percent(50)),
      source_(random_, trace_,
              {.no_before = unless_calm(10),
               .no_key = unless_calm(4),
               .slow = random_.below(40),
               .truncate = unless_calm(30),
               .age = now_and_then(60)}),
      connector_(source_, random_, trace_, partitions_,
                 {.prompt = random_.percent(30) ? 100 : random_.below(100),
                  .null_after_restart = now_and_then(100),
                  .null_stays = rules.has(Rule::kNullStays)}),
      target_(random_, trace_, partitions_),
      recounter_(source_, connector_, target_, random_, trace_, rules_),
      verifier_(source_, connector_, target_, trace_, rules_) {
  const std::size_t members = 2 + random_.below(2);
  for (std::size_t i = 0; i < members; ++i) {
    members_.push_back(
        std::make_unique<Member>(i, source_, connector_, target_, random_, trace_, rules_));
  }
  recounter_.pass_first = random_.below(101);
  recounter_.keys_held = unless_calm(50);
  rebalance();
  plan();
}

// Each run has its own pace for everybody: some lag far behind, some have nothing to do.
void World::plan() {
  const auto one_of = [&](std::initializer_list<std::size_t> paces) {
    return std::data(paces)[random_.below(paces.size())];
  };
  const std::size_t writes = one_of({1, 2, 4});
  const std::size_t sends = one_of({1, 3, 6});
  const std::size_t applies = one_of({1, 3, 6});
  const std::size_t recounts = one_of({1, 3, 8});
  steps_ = {
      {20 * writes, [&] { source_.begin(); }},
      {40 * writes, [&] { source_.write(); }},
      {now_and_then(20), [&] { source_.write_subtransaction(); }},
      {25 * writes, [&] { commit(); }},
      {30 * writes, [&] { source_.show(); }},
      {now_and_then(15), [&] { source_.abort(); }},
      {now_and_then(10), [&] { source_.truncate(); }},
      {now_and_then(30), [&] { source_.log_running(); }},
      {now_and_then(40), [&] { age(); }},
      {40 * sends, [&] { connector_.emit(); }},
      {one_of({5, 20, 60}), [&] { connector_.deliver(); }},
      {one_of({2, 10, 40}), [&] { connector_.confirm(); }},
      {unless_calm(12), [&] { connector_.restart(); }},
      {unless_calm(6), [&] { connector_.snapshot_row(); }},
      {now_and_then(10), [&] { rebalance(); }},
      {now_and_then(6), [&] { any_member().restart(); }},
      {20 * applies, [&] { any_member().claim(); }},
      {20 * applies, [&] { any_member().poll(); }},
      {30 * applies, [&] { any_member().begin(); }},
      {30 * applies, [&] { any_member().look(); }},
      {one_of({3, 30}) * applies, [&] { any_member().commit(); }},
      {now_and_then(10), [&] { any_member().roll_back(); }},
      {one_of({0, 3, 10}) * recounts, [&] { recounter_.begin_pass(); }},
      {15 * recounts, [&] { recounter_.next_step(); }},
      {one_of({5, 30, 120}), [&] { recounter_.drop_fences(); }},
      {now_and_then(5), [&] { recounter_.restart(); }},
      {now_and_then(8), [&] { touch_by_hand(); }},
      {now_and_then(30), [&] { verifier_.step(source_); }},
      {now_and_then(6), [&] { crash(); }},
      {now_and_then(20), [&] { target_.flush(); }},
  };
}

void World::step(const std::function<void()>& act) {
  act();
  ++steps_done_;
  if (target_.take_changed()) check_cells(target_.stored(), source_, connector_);
}

// The group gives each partition to a member. Some of the others learn of it only later: zombies.
void World::rebalance() {
  std::vector<std::vector<std::size_t>> assigned(members_.size());
  for (std::size_t p = 0; p < partitions_; ++p) {
    assigned[random_.below(members_.size())].push_back(p);
  }
  for (std::size_t m = 0; m < members_.size(); ++m) {
    if (steps_done_ > 0 && assigned[m].empty() && random_.percent(70)) continue;
    if (steps_done_ > 0 && random_.percent(25)) continue;
    members_[m]->assign(assigned[m]);
  }
  trace_.say("group     rebalances");
}

void World::touch_by_hand() {
  const std::size_t cell = random_.below(kCells);
  constexpr std::int64_t kAmounts[] = {-2, -1, 1, 3};
  const std::int64_t amount = kAmounts[random_.below(4)];
  trace_.say("vandal    adds {} to {}", amount, cell_name(cell).text());
  target_.commit(false, [&](Stored& stored) {
    stored.cells[cell] += amount;
    stored.by_hand[cell] -= amount;
    stored.touched_by_hand[cell] = true;
  });
}

void World::note_drift() {
  const Stored& stored = target_.stored();
  for (std::size_t i = 0; i < stored.drift.size(); ++i) trace_.note(Happened::kDriftBooked);
  for (std::size_t cell = 0; cell < kCells; ++cell) {
    if (!stored.touched_by_hand[cell] || stored.ever_suspect[cell]) continue;
    trace_.note(Happened::kCleanDrift);
  }
}

void World::commit() {
  source_.commit();
  if (one_database_) target_.flush();  // a synchronous commit flushes what is before it
}

// In the days that this takes, slices have raised the floor, and the slot has kept up: PostgreSQL
// stops long before a slot is 2^32 ids behind.
void World::age() {
  if (recounter_.in_slice() || verifier_.looking() || !connector_.emitted_all() || !source_.age())
    return;
  connector_.deliver_all();
  trace_.note(Happened::kIdsCameAgain);
  source_.log_running();
  connector_.confirm();
  target_.commit(true, [&](Stored& stored) { stored.floor = source_.end_of_log(); });
}

void World::crash() {
  target_.crash();
  if (one_database_) source_.crash();
}

void World::run() {
  std::size_t weights = 0;
  for (const Step& one : steps_) weights += one.weight;
  const std::size_t spread = random_.percent(50) ? 800 : 6'000;
  const std::size_t steps = kStepsMin + random_.below(spread);
  while (steps_done_ < steps) {
    std::size_t at = random_.below(weights);
    std::size_t i = 0;
    while (at >= steps_[i].weight) at -= steps_[i++].weight;
    step(steps_[i].act);
  }
  trace_.say("--- the end: all is delivered, applied and recounted");
  end_source();
  deliver();
  recount(false);
  check_truth(target_.stored(), source_);
  recount(true);
  drop_fences();
  check_truth(target_.stored(), source_);
  check_drift(target_.stored());
  note_drift();
}

void World::end_source() {
  for (std::size_t i = 0; i < kEndRoundsMax && !source_.quiet(); ++i) {
    step([&] { source_.commit(); });
    step([&] { source_.show(); });
  }
  while (!connector_.emitted_all()) connector_.emit();
  connector_.deliver_all();
  connector_.confirm();
}

// One member takes everything; the recounter's slice in hand ends meanwhile.
void World::deliver() {
  std::vector<std::size_t> all;
  for (std::size_t p = 0; p < partitions_; ++p) all.push_back(p);
  for (auto& member : members_) member->assign({});
  members_[0]->assign(all);
  const auto all_applied = [&] {
    for (std::size_t p = 0; p < partitions_; ++p) {
      const auto next = static_cast<std::size_t>(target_.stored().progress[p].next.value);
      if (next < connector_.partitions()[p].size()) return false;
    }
    return members_[0]->idle();
  };
  for (std::size_t i = 0; !all_applied() || recounter_.in_slice(); ++i) {
    if (i == kEndRoundsMax) throw Broken("the stream stands still");
    if (recounter_.in_slice()) step([&] { recounter_.next_step(); });
    for (auto& member : members_) {
      step([&] { member->claim(); });
      step([&] { member->poll(); });
      step([&] { member->begin(); });
      step([&] { member->look(); });
      step([&] { member->commit(); });
    }
  }
}

void World::recount(bool everything) {
  recounter_.keys_held = 0;
  const Stored& stored = target_.stored();
  for (std::size_t i = 0; everything || recounter_.has_work(); ++i) {
    if (i == kEndRoundsMax) throw Broken("suspects stay");
    const bool ranges =
        std::ranges::any_of(stored.ranges, [](const auto& range) { return range.has_value(); });
    if (!stored.pass && (everything || ranges)) {
      recounter_.begin_pass();
      everything = everything && !stored.pass;
    }
    step([&] { recounter_.next_step(); });
  }
}

void World::drop_fences() {
  source_.log_running();
  connector_.confirm();
  for (std::size_t i = 0; !target_.stored().fences.empty(); ++i) {
    if (i == kEndRoundsMax) throw Broken("fences stay");
    step([&] { recounter_.drop_fences(); });
  }
}

}  // namespace

void play(std::uint64_t seed, const Rules& rules, bool verbose, Reached& reached) {
  World world(seed, rules, verbose, reached);
  try {
    world.run();
  } catch (const Broken& broken) {
    throw Broken(fmt::format("step {}: {}", world.steps_done(), broken.what()));
  }
}

}  // namespace tidemark::sim
