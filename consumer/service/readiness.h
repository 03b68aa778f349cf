// Whether a member keeps counts, and if not, why: what /readyz says.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "consumer/service/http.h"
#include "consumer/service/metrics.h"
#include "consumer/service/pipeline.h"

namespace tidemark {

// One thing that must be so. Its name is for machines, `why_not` for people; empty: it is so.
struct ReadyCheck {
  std::string name;
  std::string why_not;
};

// Thread-safe.
class Readiness {
 public:
  // The metrics must outlive it.
  explicit Readiness(const Metrics& metrics) : metrics_(metrics) {}

  std::atomic<bool> broker_reachable{true};

  // The pipeline whose state counts, until it is replaced; nullptr: none runs.
  void follow(const Pipeline* pipeline);
  // What the pipeline says now; none runs: nothing.
  PipelineStatus pipeline() const;
  // Always the same checks, in the same order.
  std::vector<ReadyCheck> checks() const;
  // 200 when counts are being kept, else 503 and why, a line each. A verbose answer has a line for
  // each check; one for who is not trusted has names alone, as reasons may name hosts.
  HttpAnswer answer(ReadyQuery query) const;

 private:
  const Metrics& metrics_;
  mutable std::mutex mutex_;
  const Pipeline* pipeline_ = nullptr;
};

// While it lives, the pipeline decides about readiness.
class Followed {
 public:
  Followed(Readiness& readiness, const Pipeline& pipeline) : readiness_(readiness) {
    readiness_.follow(&pipeline);
  }
  ~Followed() { readiness_.follow(nullptr); }
  Followed(const Followed&) = delete;
  Followed& operator=(const Followed&) = delete;

 private:
  Readiness& readiness_;
};

}  // namespace tidemark
