// The recounter: slices in the steps in which others come between, passes, and the fences' end.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/connector.h"
#include "tests/sim/target.h"

namespace tidemark::sim {

class Recounter {
 public:
  Recounter(Source& source, const Connector& connector, Target& target, Random& random,
            const Trace& trace, const Rules& rules);

  void begin_pass();
  void next_step();    // of the slice in hand; else begins one, if there is something to recount
  void drop_fences();  // rule F9, for one fence
  void restart();
  bool in_slice() const { return slice_.has_value(); }
  bool has_work() const;

  std::size_t pass_first = 50;  // percent: a slice of the pass, though there are suspects
  std::size_t keys_held = 0;    // by another writer, in percent of the keys of a slice

 private:
  enum class Stage : std::uint8_t { kCounted, kHasLsn, kHasNext };
  struct Work {
    Slice slice;
    Stage stage = Stage::kCounted;
    std::optional<std::string> pass_to;  // where the pass goes on; none: with the next aggregate
    bool of_pass = false;
  };

  bool connected();
  void begin_slice();
  void choose_listed(Work& work);
  void choose_range(Work& work);
  void count(Work& work);
  void commit_slice();
  void raise_floor(Stored& stored);
  void read_ends();
  bool all_seen_consumed(const Fence& fence) const;
  bool rows_locked(std::int64_t fence) const;
  void advance_pass(Stored& stored) const;

  Source& source_;
  const Connector& connector_;
  Target& target_;
  Random& random_;
  const Trace& trace_;
  const Rules& rules_;
  std::uint64_t life_ = 0;
  std::optional<Work> slice_;
  std::map<std::int64_t, std::vector<std::size_t>> ends_;  // by fence: F9's end offsets
};

}  // namespace tidemark::sim
