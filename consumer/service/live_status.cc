#include "consumer/service/live_status.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <utility>

#include "consumer/core/ports.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::system_clock;

// Of partitions in order.
std::vector<std::string> topics_of(const std::vector<ProgressRow>& partitions) {
  std::vector<std::string> topics;
  for (const ProgressRow& row : partitions) {
    if (topics.empty() || topics.back() != row.where.topic) topics.push_back(row.where.topic);
  }
  return topics;
}

}  // namespace

LiveStatus::LiveStatus(LiveStatusOptions options)
    : options_(std::move(options)), reader_(options_.pg) {
  if (options_.source) slot_.emplace(*options_.source, options_.slot);
}

StatusLook LiveStatus::read() {
  StatusLook look;
  look.overview = reader_.read();
  look.at = Steady::now();
  look.time = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                          fmt::gmtime(system_clock::to_time_t(system_clock::now())));
  read_ends(look);
  if (slot_) look.source = slot_->look();
  return look;
}

void LiveStatus::read_ends(StatusLook& look) {
  try {
    std::vector<std::string> topics = topics_of(look.overview.partitions);
    if (!ends_ || ends_->topics() != topics) ends_.emplace(options_.kafka, std::move(topics));
    look.ends = ends_->read();
  } catch (const WorldError& error) {
    look.kafka_trouble = error.what();
  }
}

std::vector<std::string> LiveStatus::look() {
  std::string trouble;
  try {
    StatusLook look = read();
    before_ = std::exchange(now_, std::move(look));
  } catch (const WorldError& error) {
    if (!now_) throw;
    trouble = error.what();
  }
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(Steady::now() - now_->at);
  return status_lines({.group = options_.group,
                       .interval = options_.interval,
                       .now = *now_,
                       .before = before_ ? &*before_ : nullptr,
                       .trouble = std::move(trouble),
                       .age = age});
}

}  // namespace tidemark
