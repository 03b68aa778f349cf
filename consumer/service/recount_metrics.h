// The recounter's figures and log lines, in the registry of a member's Metrics.
#pragma once

#include <memory>

#include "consumer/service/recounter.h"

namespace prometheus {
class Registry;
}

namespace tidemark {

// Says something only of drift and of what is tried again: a healthy recounter is silent.
class RecountMetrics final : public RecountObserver {
 public:
  explicit RecountMetrics(prometheus::Registry& registry);
  ~RecountMetrics() override;

  void on_slice(const SliceResult& slice) override;
  void on_pass(const Pass& pass) override;
  // No key: it may be user data. `tidemark drift list` shows it.
  void on_drift(const DriftRow& drift) override;
  void on_repartitioned(const std::string& topic) override;
  void on_slot_behind(bool visible) override;
  void on_fences(std::size_t outstanding) override;
  void on_recount_retry(const WorldError& error, std::chrono::milliseconds wait) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
