// The stored state as lines for people: what `tidemark status --watch` shows at each look. Numbers
// and names; no key, no payload.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/types.h"
#include "consumer/store/overview.h"
#include "consumer/store/slot_look.h"

namespace tidemark {

// What one look found.
struct StatusLook {
  std::chrono::steady_clock::time_point at;
  std::string time;  // when that was, for people
  Overview overview;
  std::map<TopicPartition, Offset> ends;  // where topics end; partitions may be missing
  std::string kafka_trouble;              // why none is known; empty: they were asked for
  std::optional<SourceView> source;       // where it is a second database
};

struct StatusFrame {
  std::string group;
  std::chrono::seconds interval{};
  const StatusLook& now;
  const StatusLook* before = nullptr;  // none: no rate is known yet
  std::string trouble;                 // why a later look failed; empty: `now` is the last one
  std::chrono::seconds age{};          // of `now`, when a later look failed
};

// No line is empty, and none holds a control character.
std::vector<std::string> status_lines(const StatusFrame& frame);

// In characters; 0: without bound.
struct TerminalSize {
  std::size_t columns = 0;
  std::size_t rows = 0;
};
// Cut to what fits: what is left out of a line or below is told by an ellipsis.
std::vector<std::string> fitted(std::vector<std::string> lines, TerminalSize size);

// As people read it: a number, or "earliest".
std::string offset_text(Offset offset);
// What stands below a partition whose data was lost; empty: none was.
std::string data_loss_text(const ProgressRow& row);

}  // namespace tidemark
