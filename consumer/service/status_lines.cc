#include "consumer/service/status_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "consumer/service/progress.h"

namespace tidemark {
namespace {

using Lines = std::vector<std::string>;
// None: it isn't known.
using Number = std::optional<std::int64_t>;
using Rate = std::optional<double>;

constexpr std::string_view kUnknown = "-";
constexpr std::string_view kEllipsis = "…";

std::string line_of(std::string_view name, std::string_view text) {
  return fmt::format("{:<12}  {}", name, text);
}

std::string ago(std::int64_t seconds) { return duration_text(std::chrono::seconds(seconds)); }

// What is counted up to a bound only.
std::string bounded(std::uint64_t count) {
  return fmt::format("{}{}", count, count >= OverviewReader::kCountMax ? " or more" : "");
}

std::string number_text(const Number& number) {
  return number ? std::to_string(*number) : std::string(kUnknown);
}

std::string rate_text(const Rate& rate) {
  if (!rate) return std::string(kUnknown);
  return fmt::format("{:.{}f}", *rate, *rate < 10 && *rate > 0 ? 1 : 0);
}

double seconds_between(const StatusFrame& frame) {
  return std::chrono::duration<double>(frame.now.at - frame.before->at).count();
}

// What is still to be applied; what was never read counts from the topic's beginning.
Number lag_of(const ProgressRow& row, const StatusLook& look) {
  const auto end = look.ends.find(row.where);
  if (end == look.ends.end()) return std::nullopt;
  return std::max<std::int64_t>(0, end->second.value - std::max<std::int64_t>(0, row.next.value));
}

Number lag_of(const StatusLook& look) {
  Number sum;
  for (const ProgressRow& row : look.overview.partitions) {
    if (const Number lag = lag_of(row, look)) sum = sum.value_or(0) + *lag;
  }
  return sum;
}

// What was applied since the look before. Offsets that were set back, or begin somewhere, tell
// nothing.
Number applied_of(const ProgressRow& row, const StatusFrame& frame) {
  if (frame.before == nullptr) return std::nullopt;
  const auto& rows = frame.before->overview.partitions;
  const auto before = std::ranges::find(rows, row.where, &ProgressRow::where);
  if (before == rows.end() || before->next == kNotStarted || row.next < before->next) {
    return std::nullopt;
  }
  return row.next.value - before->next.value;
}

Rate per_second(const Number& count, const StatusFrame& frame) {
  if (!count || frame.before == nullptr) return std::nullopt;
  return static_cast<double>(*count) / seconds_between(frame);
}

std::string applied_text(const StatusFrame& frame) {
  Number sum;
  for (const ProgressRow& row : frame.now.overview.partitions) {
    if (const Number applied = applied_of(row, frame)) sum = sum.value_or(0) + *applied;
  }
  return rate_text(per_second(sum, frame)) + " records/s";
}

std::string lag_text(const StatusFrame& frame) {
  if (!frame.now.kafka_trouble.empty()) return "not known: " + frame.now.kafka_trouble;
  const Number lag = lag_of(frame.now);
  if (!lag) return "not known: no topic that was read is there";
  std::string text = fmt::format("{} records", *lag);
  const Number before = frame.before == nullptr ? std::nullopt : lag_of(*frame.before);
  if (!before || *before == *lag) return text;
  return text + fmt::format(", {} by {}/s", *lag > *before ? "growing" : "shrinking",
                            rate_text(per_second(std::abs(*lag - *before), frame)));
}

std::string last_pass_text(const std::optional<PassRow>& last) {
  if (!last) return "none has ended yet";
  return fmt::format("ended {} ago: {} rows compared, {} cells written",
                     ago(last->ended_seconds.value_or(0)), last->cells, last->corrected);
}

std::string going_pass_text(const PassRow& going, const StatusFrame& frame) {
  Number rows;
  if (frame.before != nullptr && frame.before->overview.going &&
      frame.before->overview.going->id == going.id) {
    rows = going.cells - frame.before->overview.going->cells;
  }
  return fmt::format("{}, for {}: {} rows compared, {} rows/s, {} cells written", going.cause,
                     ago(going.started_seconds), going.cells, rate_text(per_second(rows, frame)),
                     going.corrected);
}

std::string source_text(const SourceView& source) {
  if (!source.slot) return "not known: " + source.trouble;
  if (!source.slot->there) return fmt::format("there is no slot {}", source.slot_name);
  const double mib = static_cast<double>(source.slot->behind_bytes.value_or(0)) / (1 << 20);
  return fmt::format("slot {} {}, {:.1f} MiB behind, confirmed {}", source.slot_name,
                     source.slot->active ? "is followed" : "IS NOT FOLLOWED", mib,
                     source.slot->confirmed);
}

std::string suspects_text(const Overview& seen) {
  std::string text = bounded(seen.counts.suspect_cells) + " cells";
  if (seen.suspect_oldest_seconds) text += ", the oldest for " + ago(*seen.suspect_oldest_seconds);
  return text + fmt::format("; {} whole counters", seen.counts.suspect_ranges);
}

std::size_t lost_partitions(const Overview& seen) {
  const auto lost = std::ranges::count_if(
      seen.partitions, [](const ProgressRow& row) { return row.data_loss_at.has_value(); });
  return static_cast<std::size_t>(lost);
}

void add_counts(const StatusFrame& frame, Lines& lines) {
  const Overview& seen = frame.now.overview;
  lines.push_back(line_of("applied", applied_text(frame)));
  lines.push_back(line_of("lag", lag_text(frame)));
  if (frame.now.source) lines.push_back(line_of("source", source_text(*frame.now.source)));
  lines.push_back(line_of("last pass", last_pass_text(seen.last)));
  if (seen.going) lines.push_back(line_of("pass now", going_pass_text(*seen.going, frame)));
  lines.push_back(line_of("drift found", bounded(seen.counts.drift)));
  lines.push_back(line_of("suspect", suspects_text(seen)));
  lines.push_back(line_of("fences", bounded(seen.counts.fences) + " outstanding"));
  lines.push_back(line_of("parked", bounded(seen.counts.parked) + " records"));
  lines.push_back(line_of("lost data", fmt::format("{} partitions", lost_partitions(seen))));
  lines.push_back(
      line_of("dirty users", fmt::format("{}, {} after a failure", bounded(seen.counts.dirty),
                                         bounded(seen.counts.failed))));
}

void add_rules(const std::vector<WaitingRow>& waiting, Lines& lines) {
  if (waiting.empty()) return;
  std::size_t width = 4;
  for (const WaitingRow& row : waiting) width = std::max(width, row.rule.size());
  lines.push_back(
      fmt::format("{:{}}  {:>9}  {:>9}  {}", "rule", width, "users", "failed", "oldest mark"));
  for (const WaitingRow& row : waiting) {
    lines.push_back(fmt::format("{:{}}  {:>9}  {:>9}  {}", row.rule, width, row.users, row.failed,
                                ago(row.oldest_seconds)));
  }
}

void add_partitions(const StatusFrame& frame, Lines& lines) {
  constexpr std::string_view kRow = "{:{}}  {:>9}  {:>14}  {:>10}  {:>9}  {:>6}  {:20}  {}";
  const std::vector<ProgressRow>& rows = frame.now.overview.partitions;
  if (rows.empty()) {
    lines.emplace_back("no partition was claimed yet");
    return;
  }
  std::size_t width = 5;
  for (const ProgressRow& row : rows) width = std::max(width, row.where.topic.size());
  lines.push_back(fmt::format(kRow, "topic", width, "partition", "next offset", "lag", "records/s",
                              "parked", "updated", "owner"));
  for (const ProgressRow& row : rows) {
    lines.push_back(fmt::format(kRow, row.where.topic, width, row.where.partition.value,
                                offset_text(row.next), number_text(lag_of(row, frame.now)),
                                rate_text(per_second(applied_of(row, frame), frame)), row.parked,
                                row.updated_at, row.owner));
    if (row.data_loss_at) lines.push_back(data_loss_text(row));
  }
}

// A driver's text may have several lines, and nothing that is shown may steer a terminal.
void make_plain(std::string& line) {
  std::ranges::replace_if(
      line, [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, ' ');
}

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

// Characters, not bytes: those of UTF-8, each taken for one column.
std::string cut(std::string line, std::size_t columns) {
  if (columns == 0) return line;
  std::size_t seen = 0;
  std::size_t keep = 0;  // bytes of all characters but the last that would fit
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (!begins_character(line[at])) continue;
    if (seen == columns - 1) keep = at;
    if (++seen > columns) return line.substr(0, keep).append(kEllipsis);
  }
  return line;
}

}  // namespace

std::string offset_text(Offset offset) {
  return offset == kNotStarted ? "earliest" : std::to_string(offset.value);
}

std::string data_loss_text(const ProgressRow& row) {
  if (!row.data_loss_at) return {};
  return fmt::format("  DATA_LOSS since {}: {}", *row.data_loss_at, row.data_loss_reason);
}

Lines status_lines(const StatusFrame& frame) {
  Lines lines{fmt::format("group {}, {}, every {}", frame.group, frame.now.time,
                          duration_text(frame.interval))};
  if (!frame.trouble.empty()) {
    lines.push_back(fmt::format("NO LOOK AT POSTGRES for {}, trying again: {}",
                                duration_text(frame.age), frame.trouble));
  }
  add_counts(frame, lines);
  add_rules(frame.now.overview.waiting, lines);
  add_partitions(frame, lines);
  std::ranges::for_each(lines, make_plain);
  return lines;
}

Lines fitted(Lines lines, TerminalSize size) {
  if (size.rows != 0 && lines.size() > size.rows) {
    const std::size_t left_out = lines.size() - size.rows + 1;
    lines.resize(size.rows - 1);
    lines.push_back(fmt::format("{} {} more lines", kEllipsis, left_out));
  }
  for (std::string& line : lines) line = cut(std::move(line), size.columns);
  return lines;
}

}  // namespace tidemark
