#include "consumer/service/readiness.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace tidemark {
namespace {

// A transaction takes milliseconds, a very large one seconds. One that takes longer waits for a
// Postgres that is frozen or silent, which no error tells.
constexpr std::chrono::milliseconds kApplySlow{10'000};

}  // namespace

void Readiness::follow(const Pipeline* pipeline) {
  const std::lock_guard lock(mutex_);
  pipeline_ = pipeline;
}

PipelineStatus Readiness::pipeline() const {
  const std::lock_guard lock(mutex_);
  return pipeline_ == nullptr ? PipelineStatus{} : pipeline_->status();
}

std::vector<ReadyCheck> Readiness::checks() const {
  std::string why;
  std::vector<ReadyCheck> checks;
  const auto check = [&](const char* name) { checks.push_back({name, std::exchange(why, {})}); };
  const std::lock_guard lock(mutex_);
  const PipelineStatus status = pipeline_ == nullptr ? PipelineStatus{} : pipeline_->status();
  if (pipeline_ == nullptr) why += "starting, or stopping";
  check("running");
  if (pipeline_ != nullptr && !status.positioned) why += "waiting for: " + status.waiting_for;
  check("partitions");
  if (status.applying > kApplySlow) {
    why += fmt::format("Postgres has not answered a transaction for {} s",
                       status.applying.count() / 1000);
  } else if (metrics_.retrying()) {
    why += "Postgres refuses or can't be reached; trying again";
  }
  check("postgres");
  if (!broker_reachable) why += "no Kafka broker answers";
  check("kafka");
  for (const PartitionStatus& partition : status.partitions) {
    if (!partition.blocked) continue;
    why += why.empty() ? "" : "; ";
    why += fmt::format("{} [{}] stands still at the bound of parked records", partition.where.topic,
                       partition.where.partition.value);
  }
  check("parked");
  return checks;
}

HttpAnswer Readiness::answer(ReadyQuery query) const {
  std::string body;
  bool ready = true;
  for (const ReadyCheck& check : checks()) {
    const bool good = check.why_not.empty();
    ready = ready && good;
    const std::string& said = good || query.trusted ? check.why_not : check.name;
    if (query.verbose) {
      body += fmt::format("[{}] {}{}{}\n", good ? '+' : '-', check.name,
                          good || !query.trusted ? "" : ": ", query.trusted ? said : "");
    } else if (!good) {
      body += said + "\n";
    }
  }
  if (query.verbose || ready) body += ready ? "ready\n" : "not ready\n";
  return {ready ? 200 : 503, body};
}

}  // namespace tidemark
