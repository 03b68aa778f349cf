#include "consumer/service/doctor_retention.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "consumer/service/progress.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;

// An outage that begins at night is mended by day.
constexpr milliseconds kKeptMin = std::chrono::hours(24);
// Deleting goes by whole segments, and may come early: what has used up this part of its time, or
// lies in this part of what is kept, is as good as next.
constexpr int kTimePart = 2;
constexpr int kSizePart = 4;

constexpr const char* kLost =
    "what is deleted before it is read is lost: every count is suspect then, until a pass has "
    "recounted it";

Finding error_found(std::string what, std::string why, std::string mend) {
  return {Finding::Level::kError, std::move(what), std::move(why), std::move(mend)};
}

Finding warning_found(std::string what, std::string why, std::string mend) {
  return {Finding::Level::kWarning, std::move(what), std::move(why), std::move(mend)};
}

std::string set_to(std::string_view topic, std::string_view setting) {
  return fmt::format(
      "kafka-configs.sh --bootstrap-server BROKER --alter --entity-type topics --entity-name {} "
      "--add-config {}",
      topic, setting);
}

// A week.
constexpr std::string_view kLongTime = "retention.ms=604800000";
constexpr std::string_view kAnySize = "retention.bytes=-1";

std::string time_text(std::int64_t ms) {
  return duration_text(std::chrono::duration_cast<std::chrono::seconds>(milliseconds(ms)));
}

bool by_time(const TopicSettings& settings) {
  return settings.deletes() && settings.retention_ms >= 0;
}
bool by_size(const TopicSettings& settings) {
  return settings.deletes() && settings.retention_bytes >= 0;
}

class Judge {
 public:
  explicit Judge(const RetentionLook& look) : look_(look) {}

  std::vector<Finding> judge() {
    for (const StartAt& stored : look_.stored) judge(stored);
    for (const auto& [topic, settings] : look_.settings) {
      if (settings) judge_size(topic, *settings);
    }
    return std::move(findings_);
  }

 private:
  void judge(const StartAt& stored) {
    const std::string mend =
        "nothing for the counts: the next member notices, and all is recounted. Give the topics a "
        "retention.ms that outlives your longest outage";
    const std::string partition = name_of(stored.where);
    const auto end = std::ranges::find(look_.ends, stored.where, &EndOffset::where);
    if (end == look_.ends.end()) {
      add(error_found(fmt::format("{} is stored, and is not there", partition),
                      "the topic was deleted, or made anew with fewer partitions: what was not "
                      "read is lost",
                      mend));
    } else if (stored.offset != kNotStarted && stored.offset < end->low) {
      add(error_found(fmt::format("{} begins at {}, and {} is read next", partition, end->low.value,
                                  stored.offset.value),
                      fmt::format("{} records were purged before they were read",
                                  end->low.value - stored.offset.value),
                      mend));
    } else if (stored.offset > end->high) {
      add(error_found(fmt::format("{} ends at {}, and {} is read next", partition, end->high.value,
                                  stored.offset.value),
                      "the topic was deleted and made anew", mend));
    } else if (stored.offset != kNotStarted && stored.offset < end->high) {
      judge_waiting(stored.offset, *end);
    }
  }

  // Records wait to be read: are they deleted soon?
  void judge_waiting(Offset next, const EndOffset& end) {
    const TopicSettings* settings = settings_of(end.where.topic);
    const std::string waiting = fmt::format("{}: {} records wait to be read", name_of(end.where),
                                            end.high.value - next.value);
    const std::string then =
        "; then see why the group is behind: `tidemark status --watch`, and TidemarkLagGrows in "
        "the RUNBOOK";
    if (settings != nullptr && by_time(*settings) &&
        next < since(milliseconds(settings->retention_ms / kTimePart), end.where)) {
      add(warning_found(fmt::format("{}, the oldest for more than half of the {} that the topic "
                                    "keeps them",
                                    waiting, time_text(settings->retention_ms)),
                        kLost, set_to(end.where.topic, kLongTime) + then));
      return;
    }
    const bool may_be = settings == nullptr || by_size(*settings);
    const std::int64_t ahead = next.value - end.low.value;
    if (!may_be || end.low == Offset(0) || ahead >= (end.high.value - end.low.value) / kSizePart) {
      return;
    }
    add(warning_found(
        fmt::format("{}, and {} older ones are left: these are deleted next", waiting, ahead),
        kLost, set_to(end.where.topic, kAnySize) + then));
  }

  // A topic that had to delete by size what is not even old; one partition of it tells.
  void judge_size(const std::string& topic, const TopicSettings& settings) {
    if (!by_size(settings)) return;
    for (const EndOffset& end : look_.ends) {
      if (end.where.topic != topic || end.low == Offset(0) || end.low == end.high) continue;
      if (since(kKeptMin, end.where) != end.low) continue;
      add(warning_found(
          fmt::format("{} keeps less than {} of what is written: retention.bytes = {}",
                      name_of(end.where), time_text(kKeptMin.count()), settings.retention_bytes),
          kLost, set_to(topic, kAnySize) + ", with a retention.ms instead"));
      return;
    }
  }

  Offset since(milliseconds age, const TopicPartition& where) {
    auto asked = since_.find(age);
    if (asked == since_.end()) asked = since_.emplace(age, look_.since(age)).first;
    const auto found = std::ranges::find(asked->second, where, &StartAt::where);
    return found == asked->second.end() ? Offset(0) : found->offset;
  }

  const TopicSettings* settings_of(const std::string& topic) const {
    const auto found = look_.settings.find(topic);
    return found == look_.settings.end() || !found->second ? nullptr : &*found->second;
  }

  static std::string name_of(const TopicPartition& where) {
    return fmt::format("{} [{}]", where.topic, where.partition.value);
  }

  void add(Finding finding) { findings_.push_back(std::move(finding)); }

  const RetentionLook& look_;
  std::map<milliseconds, std::vector<StartAt>> since_;  // what was asked for
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> judge_settings(const TopicSettingsMap& settings) {
  std::vector<Finding> findings;
  std::vector<std::string> denied;
  for (const auto& [topic, told] : settings) {
    if (!told) {
      denied.push_back(topic);
      continue;
    }
    if (told->compacts()) {
      findings.push_back(error_found(
          fmt::format("{} is compacted: cleanup.policy = {}", topic, told->cleanup_policy),
          "of changes of one key that are not read yet only the last may be left: what the others "
          "changed is missing from the counts until the next pass",
          set_to(topic, "cleanup.policy=delete")));
    }
    if (by_time(*told) && told->retention_ms < kKeptMin.count()) {
      findings.push_back(warning_found(
          fmt::format("{} keeps records for {} only: retention.ms = {}", topic,
                      time_text(told->retention_ms), told->retention_ms),
          "an outage of the group that lasts longer loses records: every count is suspect then, "
          "until a pass has recounted it",
          set_to(topic, kLongTime)));
    }
  }
  if (!denied.empty()) {
    findings.push_back(warning_found(
        fmt::format("the user may not describe the configuration of {}", fmt::join(denied, ", ")),
        "whether these topics keep records for long enough could not be looked at",
        "kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:NAME --operation "
        "DescribeConfigs --topic " +
            denied.front()));
  }
  return findings;
}

std::vector<Finding> judge_retention(const RetentionLook& look) { return Judge(look).judge(); }

}  // namespace tidemark
