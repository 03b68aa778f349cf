// Stream, recounts and verify over random schedules, on a real database. After each step, every
// cell that is not suspect is what the application wrote in a known set of transactions: those that
// its last recount saw, and those whose changes were applied. In the end all is right, and drift is
// what was done by hand, to the last one.
//
// Few rows and small batches, so that a fence often saw a part of what a batch does to a cell, and
// a batch often sums to 0. A failure prints rapidcheck's seed; RC_PARAMS="seed=..." plays it again.
#include <gmock/gmock.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/follows_fixture.h"

namespace tidemark::testing {
namespace {

constexpr int kRows = 6;
constexpr int kCells = 3;  // followees; a row is of one, whose cell goes up and down with it
constexpr int kMembers = 2;
constexpr std::chrono::milliseconds kPatience{2'000};

enum class Step : std::uint8_t {
  kWrite,
  kBegin,
  kCommit,
  kRollBack,
  kFold,
  kApply,
  kClaim,
  kSendAgain,
  kReadRow,
  kRecountAll,
  kRecountRange,
  kRecountOne,
  kRecountWhileHeld,
  kRecountSuspects,
  kSuspectAll,
  kPass,
  kDrop,
  kByHand,
  kVerify,
};

void showValue(Step step, std::ostream& out) {  // as rapidcheck asks for it
  constexpr std::array kNames = {
      "write",       "begin",         "commit",      "roll back",          "fold",
      "apply",       "claim",         "send again",  "read a row",         "recount all",
      "recount range", "recount one", "recount while held", "recount suspects", "suspect all",
      "pass",        "drop",          "by hand",     "verify"};
  out << kNames.at(static_cast<std::size_t>(step));
}

// A step, and the row, cell, member or number that it is about.
using Steps = std::vector<std::pair<Step, int>>;

// What one committed change does to its cell.
struct Effect {
  std::size_t cell = 0;
  int delta = 0;
  std::uint64_t commit = 0;  // counts up
  bool applied = false;
};

struct Sent {
  Change change;
  std::shared_ptr<Effect> effect;  // none: a row that a snapshot read
};

struct Member {
  Member(const Declaration& declaration, PgStoreOptions options, TopicPartition partition)
      : store(declaration, std::move(options)),
        fold(declaration, NotNewPolicy::kSuspect),
        where(std::move(partition)) {}

  PgStore store;
  Fold fold;
  TopicPartition where;
  std::int64_t next = 0;
  std::deque<Sent> coming;
  std::vector<Sent> folded;
  std::vector<Sent> past;  // applied
};

struct Writer {
  std::unique_ptr<PgTransaction> transaction;
  std::vector<std::pair<int, Sent>> written;  // by row
};

struct Cell {
  std::uint64_t recounted = 0;  // the last commit that its recount saw
  int by_hand = 0;              // since then
  int by_hand_in_all = 0;
  int drift = 0;  // as it was told
  bool ever_suspect = false;
};

// What all schedules came across: one in which nothing happens proves nothing.
struct Seen {
  std::size_t looks = 0;
  std::size_t judged = 0;  // of the looks, those at cells that were not suspect
  std::size_t skipped = 0;
  std::size_t drift = 0;     // told when fences went
  std::size_t verified = 0;  // cells that hands made wrong, and verify found
};

class StoreRecountProperty : public FollowsTest {
 protected:
  StoreRecountProperty() {
    settle();
    for (int i = 0; i < kMembers; ++i) {
      PgStoreOptions options = store_options();
      options.recounted = true;
      members_.push_back(std::make_unique<Member>(follows_, std::move(options), at(i)));
      connections_.push_back(std::make_unique<PgConnection>(this->options()));
    }
    holder_ = std::make_unique<PgConnection>(options());
  }

  void play(const Steps& steps) {
    begin_anew();
    for (const auto& [step, choice] : steps) {
      take(step, static_cast<std::size_t>(choice));
      check();
    }
    end();
  }

  Seen seen_;

 private:
  // --- the schedule ---
  void begin_anew() {
    writers_.clear();
    writers_.resize(kMembers);
    sql("truncate public.follows, public.aggregate_user, tidemark.fences, tidemark.ledger,"
        " tidemark.suspects, tidemark.suspect_ranges, tidemark.drift, tidemark.progress");
    sql("update tidemark.passes set ended_at = now() where ended_at is null");
    live_ = {};
    cells_ = {};
    effects_.clear();
    fences_.clear();
    for (const auto& member : members_) {
      member->coming.clear();
      member->folded.clear();
      member->past.clear();
      claim(*member);
    }
  }

  void take(Step step, std::size_t choice) {
    Member& member = *members_[choice % kMembers];
    Writer& writer = writers_[choice % kMembers];
    const std::size_t cell = choice % kCells;
    switch (step) {
      case Step::kWrite:
        return write_alone(choice);
      case Step::kBegin:
        return write(writer, choice);
      case Step::kCommit:
        return commit(writer);
      case Step::kRollBack:
        writer = {};
        return;
      case Step::kFold:
        return fold_some(member, choice);
      case Step::kApply:
        fold_some(member, choice);
        return apply_folded(member);
      case Step::kClaim:
        return claim(member);
      case Step::kSendAgain:
        return send_again(member, choice);
      case Step::kReadRow:
        return read_row(choice % kRows);
      case Step::kRecountAll:
        return recounted({});
      case Step::kRecountRange:
        return recounted({.from = std::to_string(cell), .to = std::to_string(cell + 2)});
      case Step::kRecountOne:
        return recounted({.listed = {{std::to_string(cell)}}});
      case Step::kRecountWhileHeld:
        return recount_while_held(cell);
      case Step::kRecountSuspects:
        return recount_suspects();
      case Step::kSuspectAll:
        sql("insert into tidemark.suspect_ranges (aggregate, counter, cause) values"
            " ('public.aggregate_user', 'followers', 'parked') on conflict do nothing");
        return;
      case Step::kPass:
        return pass();
      case Step::kDrop:
        return drop();
      case Step::kByHand:
        return by_hand(cell, 1 + static_cast<int>(choice % 2));
      case Step::kVerify:
        return verify();
    }
  }

  // --- the application ---
  bool taken(std::size_t row) const {
    return std::ranges::any_of(writers_, [&](const Writer& writer) {
      return std::ranges::any_of(writer.written, [&](const auto& one) {
        return one.first == static_cast<int>(row);
      });
    });
  }

  // Its event stands where the log ends before it; no two stand at one place.
  void write(Writer& writer, std::size_t choice) {
    const std::size_t row = choice % kRows;
    if (taken(row)) return;
    if (!writer.transaction) {
      const auto at = static_cast<std::size_t>(&writer - writers_.data());
      writer.transaction = std::make_unique<PgTransaction>(*connections_[at]);
    }
    const int id = static_cast<int>(row);
    const int followee = id % kCells;
    const std::optional<bool>& was = live_[row];
    const SqlResult place = writer.transaction->run_sql(
        {"look", ""},
        "select pg_current_xact_id()::xid, pg_current_wal_insert_lsn() - '0/0'::pg_lsn");
    Change change;
    change.table = TableIndex(0);
    change.tx_id = static_cast<std::uint64_t>(place.integer(0, 0));
    change.position = Position{{}, Lsn(static_cast<std::uint64_t>(place.integer(0, 1)))};
    change.op = was ? Op::kUpdate : Op::kCreate;
    const bool live = !was.value_or(false);
    if (was) change.before = {std::int64_t{id}, std::int64_t{followee}, *was};
    change.after = {std::int64_t{id}, std::int64_t{followee}, live};
    writer.transaction->run_sql(
        {"write", ""}, "insert into public.follows values (" + std::to_string(id) + ", " +
                           std::to_string(followee) + ", " + (live ? "true" : "false") +
                           ") on conflict (id) do update set live = excluded.live");
    auto effect = std::make_shared<Effect>();
    effect->cell = static_cast<std::size_t>(followee);
    effect->delta = live ? 1 : -1;
    writer.written.push_back({id, {change, effect}});
  }

  // Debezium sends transactions whole, in the order of their commits.
  void commit(Writer& writer) {
    if (!writer.transaction) return;
    writer.transaction->commit();
    ++commits_;
    for (auto& [row, sent] : writer.written) {
      sent.change.position->last_commit = last_commit_;
      sent.effect->commit = commits_;
      effects_.push_back(sent.effect);
      bool& live = live_[static_cast<std::size_t>(row)].emplace();
      live = sent.effect->delta > 0;
      members_[static_cast<std::size_t>(row) % kMembers]->coming.push_back(std::move(sent));
    }
    last_commit_ = Lsn(std::stoull(sql("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn")));
    writer = {};
  }

  void write_alone(std::size_t choice) {
    for (Writer& writer : writers_) {
      if (writer.transaction) continue;
      write(writer, choice);
      return commit(writer);
    }
  }

  void by_hand(std::size_t cell, int more) {
    const std::string was = sql("update public.aggregate_user set followers = followers + " +
                                std::to_string(more) + " where user_id = " + std::to_string(cell) +
                                " returning user_id");
    if (was.empty()) return;
    cells_[cell].by_hand += more;
    cells_[cell].by_hand_in_all += more;
  }

  // --- the stream ---
  void claim(Member& member) {
    while (!member.folded.empty()) {
      member.coming.push_front(std::move(member.folded.back()));
      member.folded.pop_back();
    }
    const Claimed claimed = member.store.claim(std::vector{member.where})[0];
    member.fold.reset(std::vector<FoldPartition>{
        {member.where, claimed.epoch, claimed.next, claimed.mark, claimed.touch_only}});
    member.next = std::max<std::int64_t>(0, claimed.next.value);
  }

  void fold_some(Member& member, std::size_t count) {
    for (; count > 0 && !member.coming.empty(); --count) {
      Record record;
      record.topic = "t";
      record.partition = member.where.partition;
      record.offset = Offset(member.next++);
      member.fold.add_change(record, member.coming.front().change);
      member.folded.push_back(std::move(member.coming.front()));
      member.coming.pop_front();
    }
  }

  void apply_folded(Member& member) {
    if (member.folded.empty()) return;
    const ApplyResult result = member.store.apply(member.fold.take());
    RC_ASSERT(result.outcome == ApplyOutcome::kApplied);
    seen_.skipped += result.skipped_changes;
    for (Sent& sent : member.folded) {
      if (sent.effect) sent.effect->applied = true;
      member.past.push_back(std::move(sent));
    }
    member.folded.clear();
  }

  // The connector crashed: what was sent last comes again, at new offsets, before what is new.
  void send_again(Member& member, std::size_t count) {
    std::deque<Sent> again(member.coming);
    const auto from = member.past.size() - std::min(count, member.past.size());
    again.insert(again.begin(), member.past.begin() + static_cast<std::ptrdiff_t>(from),
                 member.past.end());
    if (member.folded.empty()) member.coming = std::move(again);
  }

  // As an incremental snapshot sends it.
  void read_row(std::size_t row) {
    if (!live_[row]) return;
    Change change;
    change.table = TableIndex(0);
    change.op = Op::kRead;
    change.after = {static_cast<std::int64_t>(row), static_cast<std::int64_t>(row % kCells),
                    *live_[row]};
    members_[row % kMembers]->coming.push_back({change, nullptr});
  }

  // --- recounts ---
  void note_recount(std::size_t cell) {
    cells_[cell].recounted = commits_;
    cells_[cell].by_hand = 0;
  }

  void note_fences() {
    for (const OutstandingFence& fence : recount_.fences()) {
      const bool known = !fences_.empty() && fence.id <= fences_.back().first;
      if (!known) fences_.emplace_back(fence.id, commits_);
    }
  }

  void recounted(const KeySet& keys, std::optional<std::size_t> held = {}) {
    RC_ASSERT(recount_.recount(AggregateIndex(kUsers), keys, kPatience, nullptr).taken);
    note_fences();
    for (std::size_t cell = 0; cell < kCells; ++cell) {
      const std::string key = std::to_string(cell);  // one digit: in the order of its text
      const bool meant =
          keys.listed ? std::ranges::count(*keys.listed, key) > 0
                      : !(keys.from && key < *keys.from) && !(keys.to && key >= *keys.to);
      if (meant && held != cell) note_recount(cell);
    }
  }

  // The row is held by somebody else: where it differs, it becomes suspect.
  void recount_while_held(std::size_t cell) {
    PgTransaction transaction(*holder_);
    transaction.run_sql({"hold", ""}, "select from public.aggregate_user where user_id = " +
                                          std::to_string(cell) + " for update");
    recounted({}, cell);
    if (!is_suspect(cell)) note_recount(cell);
  }

  void recount_suspects() {
    while (const auto suspects = recount_.suspect_keys(2)) {
      recounted({.listed = suspects->keys});
    }
  }

  void pass() {
    sql("update tidemark.turn set pass_at = null");  // one is due
    while (const auto pass = pass_in_hand()) move(*pass);
    note_fences();
    for (std::size_t cell = 0; cell < kCells; ++cell) note_recount(cell);
  }

  // Those whose every change was applied (rule F9).
  void drop() {
    std::uint64_t below = commits_ + 1;  // the first commit that is not applied in whole
    for (const auto& effect : effects_) {
      if (!effect->applied) below = std::min(below, effect->commit);
    }
    std::vector<std::int64_t> gone;
    std::erase_if(fences_, [&](const auto& fence) {
      if (fence.second >= below) return false;
      gone.push_back(fence.first);
      return true;
    });
    for (const DriftRow& row : recount_.drop_fences(gone)) {
      cells_.at(std::stoul(row.key)).drift += static_cast<int>(row.difference);
      ++seen_.drift;
    }
  }

  // --- what must hold ---
  bool is_suspect(std::size_t cell) {
    return sql("select exists (select from tidemark.suspect_ranges) or exists (select from"
               " tidemark.suspects where key = '" +
               std::to_string(cell) + "')") == "t";
  }

  int expected(std::size_t cell) const {
    int value = cells_[cell].by_hand;
    for (const auto& effect : effects_) {
      const bool counted = effect->applied || effect->commit <= cells_[cell].recounted;
      if (effect->cell == cell && counted) value += effect->delta;
    }
    return value;
  }

  void check() {
    for (std::size_t cell = 0; cell < kCells; ++cell) {
      ++seen_.looks;
      if (is_suspect(cell)) {
        cells_[cell].ever_suspect = true;
        continue;
      }
      ++seen_.judged;
      const std::string stored = sql("select coalesce((select followers from public.aggregate_user"
                                     " where user_id = " +
                                     std::to_string(cell) + "), 0)");
      RC_ASSERT(stored == std::to_string(expected(cell)));
    }
  }

  // Finds what was done by hand and not recounted since, and nothing else.
  void verify() {
    std::vector<std::vector<Change>> on_the_way;
    for (const auto& member : members_) {
      std::vector<Change>& changes = on_the_way.emplace_back();
      for (const Sent& sent : member->folded) changes.push_back(sent.change);
      for (const Sent& sent : member->coming) changes.push_back(sent.change);
    }
    const Verification verification = verification_of(look(verify_), on_the_way);
    std::array<int, kCells> found{};
    for (const auto& drift : verification.judge().drift) {
      found.at(std::stoul(drift.key)) = static_cast<int>(-drift.difference);
    }
    for (std::uint32_t cell = 0; cell < kCells; ++cell) {
      const bool judged =
          verification.judges(AggregateIndex(kUsers), CounterIndex(0), std::to_string(cell));
      RC_ASSERT(found[cell] == (judged ? cells_[cell].by_hand : 0));
      if (judged && found[cell] != 0) ++seen_.verified;
    }
  }

  // All comes, all is recounted.
  void end() {
    for (Writer& writer : writers_) commit(writer);
    for (const auto& member : members_) take(Step::kApply, 1'000 + (member == members_[1] ? 1 : 0));
    check();
    pass();
    recount_suspects();
    recounted({});
    check();
    drop();
    RC_ASSERT(fences_.empty());
    for (std::size_t cell = 0; cell < kCells; ++cell) {
      RC_ASSERT(!is_suspect(cell));
      const Cell& one = cells_[cell];
      const bool told = !one.ever_suspect || one.by_hand_in_all == 0;
      if (told) RC_ASSERT(one.drift == -one.by_hand_in_all);
    }
    RC_ASSERT(sql("select count(*) from tidemark.ledger") == "0");
    const std::string stored =
        sql("select user_id, followers from public.aggregate_user where followers <> 0 order by 1");
    const std::string live =
        sql("select followee, count(*) from public.follows where live group by 1 order by 1");
    RC_ASSERT(stored == live);
  }

  std::vector<std::unique_ptr<Member>> members_;
  std::vector<std::unique_ptr<PgConnection>> connections_;
  std::unique_ptr<PgConnection> holder_;
  PgVerify verify_{follows_, {options(), "no_such_slot"}};
  std::vector<Writer> writers_;
  std::array<std::optional<bool>, kRows> live_{};
  std::array<Cell, kCells> cells_{};
  std::vector<std::shared_ptr<Effect>> effects_;
  std::vector<std::pair<std::int64_t, std::uint64_t>> fences_;  // and the last commit that it saw
  std::uint64_t commits_ = 0;
  Lsn last_commit_;
};

TEST_F(StoreRecountProperty, EachCellIsAKnownSetOfTransactionsAndDriftIsWhatWasDoneByHand) {
  EXPECT_TRUE(rc::check("stream, recounts and verify agree", [this] {
    const auto step = rc::gen::weightedElement<Step>({{12, Step::kWrite},
                                                      {5, Step::kBegin},
                                                      {4, Step::kCommit},
                                                      {1, Step::kRollBack},
                                                      {2, Step::kFold},
                                                      {8, Step::kApply},
                                                      {1, Step::kClaim},
                                                      {1, Step::kSendAgain},
                                                      {1, Step::kReadRow},
                                                      {3, Step::kRecountAll},
                                                      {3, Step::kRecountRange},
                                                      {3, Step::kRecountOne},
                                                      {1, Step::kRecountWhileHeld},
                                                      {3, Step::kRecountSuspects},
                                                      {1, Step::kSuspectAll},
                                                      {3, Step::kPass},
                                                      {3, Step::kDrop},
                                                      {5, Step::kByHand},
                                                      {5, Step::kVerify}});
    play(*rc::gen::container<Steps>(rc::gen::pair(step, rc::gen::inRange(0, 12))));
  }));
  std::printf("%zu of %zu looks at cells that were not suspect; %zu changes met a fence, %zu times"
              " drift was told, %zu times verify found some\n",
              seen_.judged, seen_.looks, seen_.skipped, seen_.drift, seen_.verified);
  EXPECT_GT(3 * seen_.judged, seen_.looks);
  EXPECT_GT(seen_.skipped, 0U);
  EXPECT_GT(seen_.drift, 0U);
  EXPECT_GT(seen_.verified, 0U);
}

}  // namespace
}  // namespace tidemark::testing
