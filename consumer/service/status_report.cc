#include "consumer/service/status_report.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace tidemark {
namespace {

using nlohmann::json;

json optional(const auto& value) { return value ? json(*value) : json(nullptr); }

json checks_json(const std::vector<ReadyCheck>& checks) {
  auto list = json::array();
  for (const ReadyCheck& check : checks) {
    list.push_back({{"name", check.name}, {"why_not", check.why_not}});
  }
  return list;
}

json member_json(const StatusParts& parts) {
  const MemberFigures& figures = parts.figures;
  const bool ready = std::ranges::all_of(
      parts.checks, [](const ReadyCheck& check) { return check.why_not.empty(); });
  return {{"name", parts.member},
          {"version", parts.version},
          {"declaration", parts.declaration},
          {"ready", ready},
          {"checks", checks_json(parts.checks)},
          {"records", figures.records},
          {"changes", figures.changes},
          {"rebalances", figures.rebalances},
          {"freshness",
           {{"mean_seconds", optional(figures.freshness_mean)},
            {"max_seconds", optional(figures.freshness_max)},
            {"over_seconds", MemberFigures::kOverSeconds}}}};
}

// The end that its reader heard last, or else what Kafka said.
std::optional<Offset> end_of(const TopicPartition& where, const PartitionStatus* mine,
                             const StateView& view) {
  std::optional<Offset> end = mine != nullptr ? mine->high : std::nullopt;
  const auto asked = view.ends.find(where);
  if (asked != view.ends.end()) end = std::max(end.value_or(asked->second), asked->second);
  return end;
}

json partition_json(const ProgressRow& row, const StatusParts& parts) {
  const auto& ours = parts.pipeline.partitions;
  const auto found = std::ranges::find(ours, row.where, &PartitionStatus::where);
  const PartitionStatus* mine = found == ours.end() ? nullptr : &*found;
  const Offset next = mine != nullptr ? std::max(row.next, mine->next) : row.next;
  const std::optional<Offset> end = end_of(row.where, mine, *parts.view);
  const auto seconds = parts.figures.lag_seconds.find(row.where);
  json entry = {{"topic", row.where.topic},
                {"partition", row.where.partition.value},
                {"next_offset", next.value},
                {"end_offset", end ? json(end->value) : json(nullptr)},
                {"lag", nullptr},
                {"lag_seconds", nullptr},
                {"epoch", row.epoch.value},
                {"owner", row.owner},
                {"mine", mine != nullptr},
                {"blocked", mine != nullptr && mine->blocked},
                {"parked", row.parked},
                {"updated_at", row.updated_at}};
  if (end)
    entry["lag"] = std::max<std::int64_t>(0, end->value - std::max<std::int64_t>(0, next.value));
  if (mine != nullptr && seconds != parts.figures.lag_seconds.end()) {
    entry["lag_seconds"] = seconds->second;
  }
  if (row.data_loss_at) {
    entry["data_loss"] = {{"since", *row.data_loss_at}, {"reason", row.data_loss_reason}};
  }
  return entry;
}

json pass_json(const std::optional<PassRow>& pass) {
  if (!pass) return nullptr;
  return {{"id", pass->id},
          {"cause", pass->cause},
          {"cells", pass->cells},
          {"corrected", pass->corrected},
          {"started_seconds_ago", pass->started_seconds},
          {"ended_seconds_ago", optional(pass->ended_seconds)}};
}

// Numbers alone: which row it was, `tidemark drift list` tells.
json drift_json(const std::vector<DriftEvidence>& rows) {
  auto list = json::array();
  for (const DriftEvidence& row : rows) {
    list.push_back({{"id", row.id},
                    {"aggregate", row.aggregate},
                    {"counter", row.counter},
                    {"expected", optional(row.expected)},
                    {"found", optional(row.found)},
                    {"difference", row.difference},
                    {"fence", row.fence},
                    {"recounted_at", row.recounted_at},
                    {"found_at", row.found_at},
                    {"offsets", row.offsets.empty() ? json(nullptr)
                                                    : json::parse(row.offsets, nullptr, false)}});
  }
  return list;
}

// By name; also rules that nobody waits for, and rules that only another member knows.
json rules_json(const std::vector<std::string>& declared, const std::vector<WaitingRow>& waiting) {
  std::map<std::string, WaitingRow> rules;
  for (const std::string& rule : declared) rules[rule] = {.rule = rule};
  for (const WaitingRow& row : waiting) rules[row.rule] = row;
  auto list = json::array();
  for (const auto& [name, row] : rules) {
    list.push_back({{"rule", name},
                    {"users", row.users},
                    {"failed", row.failed},
                    {"oldest_seconds", row.oldest_seconds}});
  }
  return list;
}

// What isn't known is null, also before the first look.
json source_json(const StatusParts& parts) {
  if (!parts.second_database) return nullptr;
  const SourceView seen = parts.view && parts.view->source ? *parts.view->source : SourceView();
  json out = {{"slot", seen.slot_name}, {"trouble", seen.trouble},  {"there", nullptr},
              {"active", nullptr},      {"confirmed_lsn", nullptr}, {"behind_bytes", nullptr}};
  if (!seen.slot) return out;
  out["there"] = seen.slot->there;
  out["active"] = seen.slot->active;
  out["behind_bytes"] = optional(seen.slot->behind_bytes);
  if (!seen.slot->confirmed.empty()) out["confirmed_lsn"] = seen.slot->confirmed;
  return out;
}

void add_view(json& out, const StatusParts& parts) {
  const Overview& seen = parts.view->overview;
  auto partitions = json::array();
  std::size_t lost = 0;
  for (const ProgressRow& row : seen.partitions) {
    partitions.push_back(partition_json(row, parts));
    lost += row.data_loss_at ? 1 : 0;
  }
  const auto age = std::chrono::steady_clock::now() - parts.view->at;
  out["state"]["age_seconds"] = std::chrono::duration<double>(age).count();
  out["partitions"] = std::move(partitions);
  out["suspect_cells"] = seen.counts.suspect_cells;
  out["suspect_oldest_seconds"] = optional(seen.suspect_oldest_seconds);
  out["suspect_ranges"] = seen.counts.suspect_ranges;
  out["parked"] = seen.counts.parked;
  out["fences"] = seen.counts.fences;
  out["drift"] = seen.counts.drift;
  out["dirty_users"] = seen.counts.dirty;
  out["failed_users"] = seen.counts.failed;
  out["data_loss_partitions"] = lost;
  out["pass"] = {{"last", pass_json(seen.last)}, {"going", pass_json(seen.going)}};
  out["drift_rows"] = drift_json(seen.drift);
  out["rules"] = rules_json(parts.rules, seen.waiting);
}

}  // namespace

std::string status_json(const StatusParts& parts) {
  json out = {{"member", member_json(parts)},
              {"state", {{"age_seconds", nullptr}, {"trouble", parts.trouble}}},
              {"source", source_json(parts)},
              {"counted_up_to", OverviewReader::kCountMax}};
  if (parts.view) add_view(out, parts);
  return out.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace tidemark
