// Who runs `tidemark verify`: one look at the target and the source, then only the stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "consumer/core/verification.h"
#include "tests/sim/connector.h"
#include "tests/sim/target.h"

namespace tidemark::sim {

class Verifier {
 public:
  Verifier(const Source& source, const Connector& connector, const Target& target,
           const Trace& trace, const Rules& rules);

  // One step: looks; reads L and n; waits for the slot and reads the ends; judges. A crash of the
  // database on the way ends it. Throws Broken when what it finds isn't what was done by hand.
  void step(Source& source);
  bool looking() const { return look_.has_value(); }

 private:
  enum class Stage : std::uint8_t { kLooked, kHasLsn, kHasNext };
  struct Look {
    Stored stored;
    Counts counts{};
    SourceSnapshot snapshot;
    std::uint64_t life = 0;
    Stage stage = Stage::kLooked;
  };

  bool arrived() const;
  Verification verification() const;
  void add_lag(Verification& verification) const;
  void judge() const;

  const Source& source_;
  const Connector& connector_;
  const Target& target_;
  const Trace& trace_;
  const Rules& rules_;
  std::optional<Look> look_;
};

}  // namespace tidemark::sim
