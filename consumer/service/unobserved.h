// Benchmarks compare a member with one that notes nothing of what it does. Only in builds with
// TIDEMARK_BENCH, and only with TIDEMARK_UNOBSERVED in the environment; elsewhere it is always
// false and nothing of this is left.
#pragma once

#include <cstdlib>

#include "consumer/service/observer.h"

namespace tidemark {

#ifdef TIDEMARK_BENCH
inline bool is_unobserved() { return std::getenv("TIDEMARK_UNOBSERVED") != nullptr; }
#else
constexpr bool is_unobserved() { return false; }
#endif

// Whom it is all told, and who keeps nothing.
class Unobserved final : public PipelineObserver {
 public:
  void on_applied(const Delta&, const ApplyResult&, const BatchNotes&) override {}
  void on_unknown_commit(UnknownCommitEnd) override {}
  void on_retry(const WorldError&, std::chrono::milliseconds) override {}
  void on_fenced() override {}
  void on_assigned(std::span<const Claimed>) override {}
  void on_revoked(bool) override {}
  void on_data_loss(const TopicPartition&, std::string_view) override {}
  void on_parked_bound(const TopicPartition&) override {}
  void on_shrunk(const WorldError&, std::size_t) override {}
};

}  // namespace tidemark
