// Tells "the brokers are down", which passes by itself, from "the brokers refuse us", which a
// person must mend. librdkafka reports a failure that repeats only every 30 seconds, so silence
// after an error says nothing: a probe asks. Pure: time comes in, and the caller probes.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace tidemark {

class ConnectionWatch {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  enum class Verdict : std::uint8_t {
    kSame,     // nothing changed
    kUp,       // a broker answers again
    kRefused,  // refused for longer than the patience: see why()
  };

  explicit ConnectionWatch(std::chrono::milliseconds patience) : patience_(patience) {}

  // A broker refused the log-in, or the TLS handshake failed.
  void refused(std::string why, TimePoint now);
  // No broker is reachable. True: this is news.
  bool all_down(TimePoint now);
  // A broker could not be reached for another reason than a refusal: it may simply be down.
  void unreachable() { refused_since_.reset(); }
  // Something came from a broker. True: that is news.
  bool heard();

  // Is it time to ask for a sign of life? Every second while something is wrong.
  bool probe_due(TimePoint now) const { return troubled() && now >= next_probe_; }
  // What the probe said.
  Verdict probed(bool answered, TimePoint now);

  // The last refusal.
  const std::string& why() const { return why_; }

 private:
  bool troubled() const { return down_ || refused_since_.has_value(); }

  std::chrono::milliseconds patience_;
  bool down_ = false;
  std::optional<TimePoint> refused_since_;
  std::string why_;
  TimePoint next_probe_{};
};

}  // namespace tidemark
