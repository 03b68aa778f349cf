#include "tests/bench/repost_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace tidemark::bench {
namespace {

constexpr std::int64_t kScatter = 7'368'787;  // a prime: a bijection unless n is its multiple
constexpr std::size_t kRowsMin = 100;         // so many exist before any is changed

}  // namespace

Ids::Ids(std::int64_t n, double zipf) : n_(n) {
  if (zipf <= 0) return;
  cumulative_.reserve(static_cast<std::size_t>(n));
  double sum = 0;
  for (std::int64_t i = 1; i <= n; ++i) {
    sum += 1.0 / std::pow(static_cast<double>(i), zipf);
    cumulative_.push_back(sum);
  }
}

std::int64_t Ids::draw(std::mt19937_64& random) const {
  if (cumulative_.empty()) return std::uniform_int_distribution<std::int64_t>(1, n_)(random);
  const double u = std::uniform_real_distribution<double>(0, cumulative_.back())(random);
  const auto it = std::upper_bound(cumulative_.begin(), cumulative_.end(), u);
  const std::int64_t rank = it - cumulative_.begin();
  return 1 + (rank * kScatter) % n_;
}

RepostEvents::RepostEvents(const EventOptions& options)
    : options_(options),
      random_(options.seed),
      ids_(options.ids, options.zipf),
      users_(static_cast<std::size_t>(options.ids) + 1),
      items_(static_cast<std::size_t>(options.ids) + 1) {}

void RepostEvents::count(const Row& row, std::int64_t n) {
  users_[static_cast<std::size_t>(row.user)] += n;
  items_[static_cast<std::size_t>(row.item)] += n;
}

void RepostEvents::next() {
  const int what = std::uniform_int_distribution<int>(0, 99)(random_);
  if (what < 80 || rows_.size() < kRowsMin) {
    // One after the other: in a braced list the order of the draws would be the compiler's.
    const std::int64_t user = ids_.draw(random_);
    const std::int64_t item = ids_.draw(random_);
    const Row row{user, item, ++tx_, true};
    rows_.push_back(row);
    count(row, 1);
    write('c', nullptr, &row);
    return;
  }
  const std::size_t i = std::uniform_int_distribution<std::size_t>(0, rows_.size() - 1)(random_);
  const Row before = rows_[i];
  if (what < 95) {
    rows_[i].active = !before.active;
    count(before, before.active ? -1 : 1);
    write('u', &before, &rows_[i]);
    return;
  }
  rows_[i] = rows_.back();
  rows_.pop_back();
  if (before.active) count(before, -1);
  write('d', &before, nullptr);
}

void RepostEvents::append_row(const Row* row) {
  if (row == nullptr) {
    value_ += "null";
    return;
  }
  fmt::format_to(std::back_inserter(value_),
                 R"({{"user_id":{},"repost_item_id":{},"repost_type":"track","is_current":true,)"
                 R"("is_delete":{},"created_at":1709251199123456,"txhash":"0x{:064x}",)"
                 R"("blocknumber":{},"blockhash":"0x)",
                 row->user, row->item, !row->active, row->tx, 1000 + row->tx / 100);
  holes_.push_back(value_.size());
  value_ += R"(","slot":null,"is_repost_of_repost":false})";
}

void RepostEvents::write(char op, const Row* before, const Row* after) {
  const std::int64_t lsn = 10'000'000 + ++lsn_ * 200;
  value_.clear();
  holes_.clear();
  value_ += R"({"before":)";
  append_row(before);
  value_ += R"(,"after":)";
  append_row(after);
  fmt::format_to(
      std::back_inserter(value_),
      R"(,"source":{{"version":"3.7.0.Final","connector":"postgresql","name":"bench",)"
      R"("ts_ms":1795249050799,"snapshot":"false","db":"app","sequence":"[\"{}\",\"{}\"]",)"
      R"("ts_us":1795249050799393,"ts_ns":1795249050799393000,"schema":"public",)"
      R"("table":"reposts","txId":{},"lsn":{},"xmin":null,"origin":null,"origin_lsn":null}},)"
      R"("transaction":null,"op":"{}","ts_ms":1795249050943,"ts_us":1795249050943587,)"
      R"("ts_ns":1795249050943587000}})",
      lsn - 100, lsn, 1000 + lsn_ % 2'000'000'000, lsn, op);
  pad();
  const Row& row = after != nullptr ? *after : *before;
  key_.clear();
  fmt::format_to(std::back_inserter(key_),
                 R"({{"user_id":{},"repost_item_id":{},"repost_type":"track"}})", row.user,
                 row.item);
}

void RepostEvents::pad() {
  for (std::size_t i = holes_.size(); i-- > 0;) {
    const std::size_t missing = options_.bytes > value_.size() ? options_.bytes - value_.size() : 0;
    value_.insert(holes_[i], missing / (i + 1), 'a');
  }
}

}  // namespace tidemark::bench
