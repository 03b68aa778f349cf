#include "consumer/store/milestones.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "consumer/core/milestone_sql.h"
#include "consumer/core/recount_sql.h"
#include "consumer/store/apply_sql.h"
#include "consumer/store/array_literal.h"
#include "consumer/store/key_condition.h"

namespace tidemark {
namespace {

std::string announcing_name(AggregateIndex i) { return "announce_" + std::to_string(i.value); }
std::string suspecting_name(AggregateIndex i) { return "suspect_risen_" + std::to_string(i.value); }
std::string first_name(AggregateIndex i) { return "first_recounts_" + std::to_string(i.value); }

// --- what is suspect ----------------------------------------------------------------------------

// Why the counter b.counter is suspect in the row b.key as one of all rows; null when it isn't, or
// the pass that recounts all has been there already.
std::string range_cause_sql(const Aggregate& aggregate) {
  const std::string name = quote_literal(aggregate.name.text());
  return fmt::format(
      "(select r.cause from tidemark.suspect_ranges as r"
      " left join tidemark.passes as p on p.id = r.pass"
      " cross join lateral (select array_position(p.aggregates, {0}) as place) as a"
      " where r.aggregate = {0} and r.counter = b.counter and (p.id is null"
      " or p.at_aggregate < a.place or (p.at_aggregate = a.place"
      " and (p.next_key is null or {1} >= {2}))))",
      name, stored_key_sql(aggregate, "b.key"), stored_key_sql(aggregate, "p.next_key"));
}

// The causes of ranges whose cells were never recounted.
std::string first_causes() {
  return fmt::format("({}, {})", quote_literal(cause_name(SuspectCause::kStart)),
                     quote_literal(cause_name(SuspectCause::kNewCounter)));
}

// $1: counters, $2: keys, $3: values before the batch. Gives those that are suspect, and keeps from
// where they rose. What an operator asked to be recounted is right as far as is known.
std::string suspecting_sql(const Aggregate& aggregate) {
  const std::string name = quote_literal(aggregate.name.text());
  return fmt::format(
      "with risen as materialized ("
      " select b.counter, b.key, b.value, {1} as ranged,"
      " exists (select from tidemark.suspects as s where s.aggregate = {0}"
      "  and s.counter = b.counter and s.key = b.key and s.cause <> {2}) as listed"
      " from unnest($1::text[], $2::text[], $3::bigint[]) as b(counter, key, value)"
      "), kept as ("
      " insert into tidemark.unannounced as u (aggregate, counter, key, value)"
      " select {0}, counter, key, value from risen"
      " where (ranged is not null or listed) and coalesce(ranged, '') not in {3}"
      " on conflict (aggregate, counter, key) do update"
      " set value = least(u.value, excluded.value)"
      ") select counter, key from risen where ranged is not null or listed",
      name, range_cause_sql(aggregate), quote_literal(cause_name(SuspectCause::kRequested)),
      first_causes());
}

// $1: counters, $2: keys. Gives those that were never recounted.
std::string first_sql(const Aggregate& aggregate) {
  return fmt::format(
      "select b.counter, b.key from unnest($1::text[], $2::text[]) as b(counter, key)"
      " where {} in {}",
      range_cause_sql(aggregate), first_causes());
}

using CellName = std::pair<std::string, std::string>;  // counter, key

std::set<CellName> cells_of(const SqlResult& rows) {
  std::set<CellName> cells;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    cells.emplace(rows.text(row, 0), rows.text(row, 1));
  }
  return cells;
}

// --- the statement's parameters -----------------------------------------------------------------

// As Postgres writes it. Beyond its range: infinity, as Debezium sends it.
std::string timestamp_text(Detail micros) {
  using std::chrono::days;
  using std::chrono::microseconds;
  constexpr Detail kMax = 9'223'372'036'825'199'999;  // what pgjdbc has above it is infinity
  constexpr Detail kMin = -210'866'803'200'000'000;   // 4714-11-24 BC
  if (micros > kMax) return "infinity";
  if (micros < kMin) return "-infinity";
  const std::chrono::sys_time<microseconds> time{microseconds(micros)};
  const auto day = std::chrono::floor<days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  const int year = static_cast<int>(date.year());
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}{}", year > 0 ? year : 1 - year,
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count(), year > 0 ? "" : " BC");
}

std::optional<std::string> detail_text(ColumnType type, Detail detail) {
  if (detail == kNullDetail) return std::nullopt;
  return type == ColumnType::kTimestamp ? timestamp_text(detail) : std::to_string(detail);
}

// The arrays of the application's statement, one crossing after the other.
class Announcement {
 public:
  explicit Announcement(std::size_t details) : details_(details) {}

  bool empty() const { return size_ == 0; }
  void add(std::string_view key, const std::string& name, std::int64_t threshold,
           std::span<const std::optional<std::string>> details) {
    ++size_;
    keys_.add(key);
    names_.add(std::string_view(name));
    thresholds_.add(threshold);
    for (std::size_t i = 0; i < details_.size(); ++i) {
      if (details[i]) {
        details_[i].add(std::string_view(*details[i]));
      } else {
        details_[i].add_null();
      }
    }
  }
  SqlParams take() {
    SqlParams params{keys_.take(), names_.take(), thresholds_.take()};
    for (ArrayLiteral& detail : details_) params.emplace_back(detail.take());
    return params;
  }

 private:
  std::size_t size_ = 0;
  ArrayLiteral keys_;
  ArrayLiteral names_;
  ArrayLiteral thresholds_;
  std::vector<ArrayLiteral> details_;
};

// --- a batch ------------------------------------------------------------------------------------

const Milestone& milestone_of(const Aggregate& aggregate, const Crossing& crossing) {
  return aggregate.milestones.counters[crossing.milestone];
}

CellName cell_name(const Aggregate& aggregate, const AggregateDelta& rows,
                   const Crossing& crossing) {
  const CounterIndex counter = milestone_of(aggregate, crossing).counter;
  return {aggregate.counters[counter.value].name, rows.key_text(crossing.row)};
}

std::set<CellName> find_suspects(PgTransaction& transaction, AggregateIndex index,
                                 const Aggregate& aggregate, const AggregateDelta& rows,
                                 std::span<const Crossing> crossings) {
  std::map<CellName, std::int64_t> cells;
  for (const Crossing& crossing : crossings) {
    cells.emplace(cell_name(aggregate, rows, crossing), crossing.before);
  }
  ArrayLiteral counters;
  ArrayLiteral keys;
  ArrayLiteral values;
  for (const auto& [name, before] : cells) {
    counters.add(std::string_view(name.first));
    keys.add(std::string_view(name.second));
    values.add(before);
  }
  return cells_of(
      transaction.run(suspecting_name(index), {counters.take(), keys.take(), values.take()}));
}

// All of one aggregate.
void announce_crossings(PgTransaction& transaction, const Declaration& declaration,
                        const AggregateDelta& rows, std::span<const Crossing> crossings) {
  const AggregateIndex index = crossings.front().aggregate;
  const Aggregate& aggregate = declaration.aggregate(index);
  const std::vector<ColumnType> types = detail_types(declaration, index);
  const std::set<CellName> suspects = find_suspects(transaction, index, aggregate, rows, crossings);
  Announcement announcement(types.size());
  std::vector<std::optional<std::string>> details(types.size());
  for (const Crossing& crossing : crossings) {
    const CellName cell = cell_name(aggregate, rows, crossing);
    if (suspects.contains(cell)) continue;
    for (std::size_t i = 0; i < types.size(); ++i) {
      details[i] = detail_text(types[i], crossing.details[i]);
    }
    announcement.add(cell.second, milestone_of(aggregate, crossing).name, crossing.threshold,
                     details);
  }
  if (!announcement.empty()) transaction.run(announcing_name(index), announcement.take());
}

// The row of a key as Postgres wrote it; none: it writes it otherwise (citext).
std::optional<std::size_t> row_of(const AggregateDelta& delta, std::string_view key) {
  if (!delta.integer_keys.empty()) {
    const std::int64_t number = std::stoll(std::string(key));
    const auto found = std::ranges::lower_bound(delta.integer_keys, number);
    if (found == delta.integer_keys.end() || *found != number) return std::nullopt;
    return static_cast<std::size_t>(found - delta.integer_keys.begin());
  }
  const auto found = std::ranges::lower_bound(delta.text_keys, key);
  if (found == delta.text_keys.end() || *found != key) return std::nullopt;
  return static_cast<std::size_t>(found - delta.text_keys.begin());
}

}  // namespace

void prepare_milestones(PgConnection& connection, const Declaration& declaration) {
  for (std::uint32_t i = 0; i < declaration.aggregates.size(); ++i) {
    const Aggregate& aggregate = declaration.aggregates[i];
    if (aggregate.milestones.counters.empty()) continue;
    const AggregateIndex index(i);
    const std::string table = aggregate.name.text();
    connection.prepare({announcing_name(index), "milestones of " + table},
                       aggregate.milestones.sql);
    connection.prepare({suspecting_name(index), "tidemark.suspects"}, suspecting_sql(aggregate));
    connection.prepare({first_name(index), "tidemark.suspect_ranges"}, first_sql(aggregate));
  }
}

bool add_reaches(const Aggregate& aggregate, const AggregateDelta& delta, SqlParams& params) {
  const std::vector<std::int64_t> most = reaches(aggregate, delta);
  if (std::ranges::all_of(most, [](std::int64_t reach) { return reach == 0; })) return false;
  for (const std::int64_t reach : most) params.emplace_back(std::to_string(reach));
  return true;
}

void add_values(const SqlResult& result, const Declaration& declaration, AggregateIndex index,
                const AggregateDelta& delta, std::vector<CellValue>& values) {
  const std::size_t milestones = declaration.aggregate(index).milestones.counters.size();
  const std::size_t first = delta.counters + 1;
  for (std::size_t r = 0; r < result.rows(); ++r) {
    const std::optional<std::size_t> row = row_of(delta, result.text(r, 0));
    for (std::size_t m = 0; row && m < milestones; ++m) {
      values.push_back({index, *row, m, result.integer(r, first + m)});
    }
  }
}

void announce(PgTransaction& transaction, const Declaration& declaration, const Delta& delta,
              const FencedDelta& fenced, std::span<const CellValue> values) {
  if (values.empty()) return;
  const std::vector<Crossing> found = find_crossings(declaration, delta, fenced, values);
  std::span<const Crossing> crossings = found;
  while (!crossings.empty()) {  // one statement for each aggregate
    const AggregateIndex index = crossings.front().aggregate;
    const auto end = std::ranges::find_if(
        crossings, [&](const Crossing& crossing) { return crossing.aggregate != index; });
    const auto taken = static_cast<std::size_t>(end - crossings.begin());
    announce_crossings(transaction, declaration, delta.aggregates[index.value],
                       crossings.first(taken));
    crossings = crossings.subspan(taken);
  }
}

// --- a slice ------------------------------------------------------------------------------------

namespace {

struct Rise {
  std::int64_t before;
  std::int64_t after;
};
using Rises = std::map<CellName, Rise>;

// What suspect cells crossed before, taken off the list, with the values that they have now.
void take_unannounced(PgTransaction& transaction, const Aggregate& aggregate, const KeySet& keys,
                      Rises& rises) {
  const KeyCondition condition(aggregate, keys);
  std::string values;
  for (const Milestone& milestone : aggregate.milestones.counters) {
    const std::string& counter = aggregate.counters[milestone.counter.value].name;
    values += " when " + quote_literal(counter) + " then t." + quote_identifier(counter);
  }
  const SqlResult rows = transaction.run_sql(
      {"take what is unannounced", "tidemark.unannounced"},
      "with taken as (delete from tidemark.unannounced as u where u.aggregate = " +
          quote_literal(aggregate.name.text()) + " and " +
          condition.sql(stored_key_sql(aggregate, "u.key")) +
          " returning u.counter, u.key, u.value) select u.counter, u.key, u.value, case u.counter" +
          values + " end from taken as u join " + quote_name(aggregate.name) + " as t on t." +
          quote_identifier(aggregate.key) +
          " = u.key::" + std::string(type_name(aggregate.key_type)),
      condition.params());
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const CellName cell{rows.text(row, 0), rows.text(row, 1)};
    const Rise rise{rows.integer(row, 2), rows.integer(row, 3)};
    Rise& known = rises.try_emplace(cell, rise).first->second;
    known.before = std::min(known.before, rise.before);
  }
}

void leave_out_first(PgTransaction& transaction, AggregateIndex index, Rises& rises) {
  ArrayLiteral counters;
  ArrayLiteral keys;
  for (const auto& [cell, rise] : rises) {
    counters.add(std::string_view(cell.first));
    keys.add(std::string_view(cell.second));
  }
  const std::set<CellName> first =
      cells_of(transaction.run(first_name(index), {counters.take(), keys.take()}));
  for (const CellName& cell : first) rises.erase(cell);
}

// By key: the details of the newest row behind the counter.
using Newest = std::map<std::string, std::vector<std::optional<std::string>>, std::less<>>;

Newest read_newest(PgTransaction& transaction, const Declaration& declaration, AggregateIndex index,
                   const Milestone& milestone, std::span<const std::string> keys) {
  const SqlResult rows =
      transaction.run_sql({"find the newest rows behind", declaration.aggregate(index).name.text()},
                          newest_row_sql(declaration, index, milestone), {array_of(keys)});
  Newest newest;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    auto& details = newest[std::string(rows.text(row, 0))];
    for (std::size_t i = 1; i < rows.columns(); ++i) {
      details.push_back(rows.optional_text(row, i));
    }
  }
  return newest;
}

// A key whose rows have all gone meanwhile has nothing to tell, and is left out.
void add_risen(PgTransaction& transaction, const Declaration& declaration, AggregateIndex index,
               const Milestone& milestone, const Rises& rises, Announcement& announcement) {
  const std::string& counter = declaration.aggregate(index).counters[milestone.counter.value].name;
  std::vector<std::string> keys;
  for (const auto& [cell, rise] : rises) {
    if (cell.first != counter) continue;
    if (!thresholds_between(milestone, rise.before, rise.after).empty())
      keys.push_back(cell.second);
  }
  if (keys.empty()) return;
  const Newest newest = read_newest(transaction, declaration, index, milestone, keys);
  for (const std::string& key : keys) {
    const auto details = newest.find(key);
    if (details == newest.end()) continue;
    const Rise& rise = rises.at({counter, key});
    for (const std::int64_t threshold : thresholds_between(milestone, rise.before, rise.after)) {
      announcement.add(key, milestone.name, threshold, details->second);
    }
  }
}

}  // namespace

void announce_recounted(PgTransaction& transaction, const Declaration& declaration,
                        AggregateIndex index, const KeySet& keys, bool unannounced,
                        std::span<const RaisedCell> raised) {
  const Aggregate& aggregate = declaration.aggregate(index);
  if (aggregate.milestones.counters.empty()) return;
  Rises rises;
  for (const RaisedCell& cell : raised) {
    const Milestone& milestone = aggregate.milestones.counters[cell.milestone];
    if (thresholds_between(milestone, cell.before, cell.after).empty()) continue;
    rises[{aggregate.counters[milestone.counter.value].name, cell.key}] = {cell.before, cell.after};
  }
  if (unannounced) take_unannounced(transaction, aggregate, keys, rises);
  if (rises.empty()) return;
  leave_out_first(transaction, index, rises);
  Announcement announcement(detail_types(declaration, index).size());
  for (const Milestone& milestone : aggregate.milestones.counters) {
    add_risen(transaction, declaration, index, milestone, rises, announcement);
  }
  if (!announcement.empty()) transaction.run(announcing_name(index), announcement.take());
}

}  // namespace tidemark
