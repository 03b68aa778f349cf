// Debezium-like events of a reposts table for benchmarks: creates, toggles and deletes of rows that
// exist, and the counts that they add up to. Pure: the same options give the same events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace tidemark::bench {

struct EventOptions {
  std::int64_t ids = 1'000'000;  // distinct users, and distinct items
  double zipf = 1.1;             // exponent of the ids' distribution; 0: uniform
  std::uint32_t seed = 1;
  std::size_t bytes = 900;  // size of an event's value, padded in its block hashes
};

// Ids 1..n, drawn by Zipf's law or uniformly. Ranks are scattered over the ids by a multiplication,
// as hot rows don't stand side by side in a real table.
class Ids {
 public:
  Ids(std::int64_t n, double zipf);
  std::int64_t draw(std::mt19937_64& random) const;

 private:
  std::int64_t n_;
  std::vector<double> cumulative_;
};

// c 80 %, u 15 % (toggles of is_delete), d 5 %. Events of one row share their key, so that they
// stand in one partition in order; LSNs rise.
class RepostEvents {
 public:
  explicit RepostEvents(const EventOptions& options);

  // Makes the next event; key() and value() are its own until the next call.
  void next();
  const std::string& key() const { return key_; }
  const std::string& value() const { return value_; }

  // By id: active reposts of a user, of an item, after the events so far.
  const std::vector<std::int64_t>& users() const { return users_; }
  const std::vector<std::int64_t>& items() const { return items_; }

 private:
  struct Row {
    std::int64_t user;
    std::int64_t item;
    std::int64_t tx;
    bool active;
  };

  void count(const Row& row, std::int64_t n);
  void append_row(const Row* row);
  void write(char op, const Row* before, const Row* after);
  void pad();

  EventOptions options_;
  std::mt19937_64 random_;
  Ids ids_;
  std::vector<std::int64_t> users_;
  std::vector<std::int64_t> items_;
  std::vector<Row> rows_;
  std::int64_t tx_ = 0;
  std::int64_t lsn_ = 0;
  std::string value_;
  std::string key_;
  std::vector<std::size_t> holes_;  // where the padding goes
};

}  // namespace tidemark::bench
