// When to position librdkafka again by ourselves: at once for a batch that arrived damaged, until
// that has happened too often; later, with doubling waits, for an offset that could not be looked
// up.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "consumer/kafka/slots.h"

namespace tidemark {

class Rereads {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // A batch that arrives damaged so often is damaged where it is stored.
  static constexpr int kDamagedMax = 5;

  // The batch at `next` of this slot arrived damaged. False: too often in a row.
  bool damaged(std::int32_t slot, std::int64_t next);

  // Read again after a wait, when none is under way.
  void later(TimePoint now);
  bool due() const { return at_ && std::chrono::steady_clock::now() >= *at_; }
  void cancel() { at_.reset(); }
  // A broker has answered: the next wait is short again.
  void heard() { wait_ = std::chrono::milliseconds(0); }

 private:
  std::optional<TimePoint> at_;
  std::chrono::milliseconds wait_{0};
  // The last damaged batch, and how often it was read.
  std::int32_t damaged_slot_ = Slots::kNone;
  std::int64_t damaged_next_ = Slots::kNothing;
  int damaged_reads_ = 0;
};

}  // namespace tidemark
