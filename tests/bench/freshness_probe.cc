// How long it takes from an append to Kafka until the count is visible in Postgres, seen from
// outside: appends marked events, each a repost by a user of its own, at random times, and asks
// Postgres every millisecond which of them are counted.
//
// The clock of a probe starts right before it is handed to the producer (which sends at once), so
// that the way to the broker is included; it stops when Postgres' answer is here. Probes don't wait
// for each other. The topic should be the probes' own: LSNs must rise in each partition.
//
// Prints one line of JSON: milliseconds. `append_ms_*` is the part until the broker's answer;
// `poll_gap_ms_*` is the time between two questions, the resolution.
#include <fmt/format.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tidemark::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Millis = std::chrono::duration<double, std::milli>;

constexpr std::chrono::milliseconds kAskEvery{1};
// A probe that isn't visible by then counts as lost, and the run as failed.
constexpr std::chrono::seconds kVisibleMax{30};

struct Options {
  std::string brokers;
  std::string topic;
  std::string dsn;
  int samples = 1000;
  double rate = 25;  // probes/s on average
  std::int64_t first_user = 1'000'001;
  std::int64_t items = 1'000'000;
  std::uint32_t seed = 7;
};

struct Destroy {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
  void operator()(rd_kafka_topic_t* handle) const { rd_kafka_topic_destroy(handle); }
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};

// Appends probes, and knows how long each append took.
class Appender {
 public:
  explicit Appender(const Options& options) {
    char error[512];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set_dr_msg_cb(conf, &Appender::delivered);
    rd_kafka_conf_set_opaque(conf, this);
    const std::pair<const char*, const char*> properties[] = {
        {"bootstrap.servers", options.brokers.c_str()},
        {"linger.ms", "0"},
        {"acks", "all"},
        {"socket.nagle.disable", "true"}};
    for (const auto& [name, value] : properties) {
      if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) {
        throw std::runtime_error(error);
      }
    }
    handle_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error));
    if (!handle_) throw std::runtime_error(error);
    topic_.reset(rd_kafka_topic_new(handle_.get(), options.topic.c_str(), nullptr));
  }

  void append(std::int64_t user, std::int64_t item, Clock::time_point now) {
    const std::int64_t lsn = 10'000'000 + user * 200;  // users rise, over several runs too
    std::string value = fmt::format(
        R"({{"before":null,"after":{{"user_id":{},"repost_item_id":{},"repost_type":"track",)"
        R"("is_current":true,"is_delete":false,"created_at":1709251199123456,)"
        R"("txhash":"0xprobe","blocknumber":1,"blockhash":"0x","slot":null,)"
        R"("is_repost_of_repost":false}},"source":{{"version":"3.7.0.Final",)"
        R"("connector":"postgresql","name":"bench","ts_ms":1795249050799,"snapshot":"false",)"
        R"("db":"app","sequence":"[\"{}\",\"{}\"]","schema":"public","table":"reposts",)"
        R"("txId":{},"lsn":{},"xmin":null}},"transaction":null,"op":"c","ts_ms":1795249050943}})",
        user, item, lsn - 100, lsn, 1 + user, lsn);
    const std::string key = fmt::format(R"({{"user_id":{}}})", user);
    sent_at_.push_back(now);
    const std::size_t number = sent_at_.size();  // never 0: it travels as a pointer
    if (rd_kafka_produce(topic_.get(), 0, RD_KAFKA_MSG_F_COPY, value.data(), value.size(),
                         key.data(), key.size(), reinterpret_cast<void*>(number)) != 0) {
      throw std::runtime_error(rd_kafka_err2str(rd_kafka_last_error()));
    }
  }

  void serve() {
    rd_kafka_poll(handle_.get(), 0);
    if (failed_ != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(failed_));
  }

  // Metadata must be here before the first probe's clock starts.
  void connect() {
    const rd_kafka_metadata_t* metadata = nullptr;
    const auto error = rd_kafka_metadata(handle_.get(), 0, topic_.get(), &metadata, 10'000);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(error));
    rd_kafka_metadata_destroy(metadata);
  }

  const std::vector<double>& append_ms() const { return append_ms_; }

 private:
  static void delivered(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto* self = static_cast<Appender*>(opaque);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) self->failed_ = message->err;
    const auto number = reinterpret_cast<std::size_t>(message->_private);
    self->append_ms_.push_back(Millis(Clock::now() - self->sent_at_.at(number - 1)).count());
  }

  std::unique_ptr<rd_kafka_t, Destroy> handle_;
  std::unique_ptr<rd_kafka_topic_t, Destroy> topic_;
  std::vector<Clock::time_point> sent_at_;
  std::vector<double> append_ms_;
  rd_kafka_resp_err_t failed_ = RD_KAFKA_RESP_ERR_NO_ERROR;
};

// Asks Postgres which users have a count.
class Asker {
 public:
  explicit Asker(const std::string& dsn) : connection_(PQconnectdb(dsn.c_str())) {
    if (PQstatus(connection_.get()) != CONNECTION_OK) fail();
    const std::unique_ptr<PGresult, Destroy> prepared(
        PQprepare(connection_.get(), "ask",
                  "select user_id from aggregate_user"
                  " where user_id = any($1::integer[]) and repost_count > 0",
                  1, nullptr));
    if (PQresultStatus(prepared.get()) != PGRES_COMMAND_OK) fail();
  }

  std::vector<std::int64_t> visible(
      const std::unordered_map<std::int64_t, Clock::time_point>& waiting) {
    std::string users = "{";
    for (const auto& [user, sent_at] : waiting) {
      if (users.size() > 1) users += ',';
      users += std::to_string(user);
    }
    users += '}';
    const char* parameters[] = {users.c_str()};
    const std::unique_ptr<PGresult, Destroy> answer(
        PQexecPrepared(connection_.get(), "ask", 1, parameters, nullptr, nullptr, 0));
    if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK) fail();
    std::vector<std::int64_t> found;
    for (int row = 0; row < PQntuples(answer.get()); ++row) {
      found.push_back(std::stoll(PQgetvalue(answer.get(), row, 0)));
    }
    return found;
  }

 private:
  [[noreturn]] void fail() const { throw std::runtime_error(PQerrorMessage(connection_.get())); }

  std::unique_ptr<PGconn, Destroy> connection_;
};

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  // Nearest rank: a value that was really seen.
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
  return values[std::max<std::size_t>(rank, 1) - 1];
}

class Probe {
 public:
  explicit Probe(const Options& options)
      : options_(options), appender_(options), asker_(options.dsn), random_(options.seed) {}

  void run() {
    appender_.connect();
    auto due = Clock::now() + gap();
    int sent = 0;
    while (sent < options_.samples || !waiting_.empty()) {
      if (sent < options_.samples && Clock::now() >= due) {
        send(sent++);
        due += gap();
      }
      appender_.serve();
      ask();
      std::this_thread::sleep_until(Clock::now() + kAskEvery);
    }
  }

  void print() const {
    fmt::print(
        "{{\"samples\":{},\"p50_ms\":{:.2f},\"p90_ms\":{:.2f},\"p99_ms\":{:.2f},\"max_ms\":{:.2f},"
        "\"append_ms_p50\":{:.2f},\"append_ms_p99\":{:.2f},\"poll_gap_ms_p50\":{:.2f},"
        "\"poll_gap_ms_p99\":{:.2f}}}\n",
        visible_ms_.size(), quantile(visible_ms_, 0.5), quantile(visible_ms_, 0.9),
        quantile(visible_ms_, 0.99), quantile(visible_ms_, 1), quantile(appender_.append_ms(), 0.5),
        quantile(appender_.append_ms(), 0.99), quantile(poll_gap_ms_, 0.5),
        quantile(poll_gap_ms_, 0.99));
  }

 private:
  Clock::duration gap() {
    const double seconds = std::exponential_distribution<double>(options_.rate)(random_);
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

  void send(int number) {
    const std::int64_t user = options_.first_user + number;
    const std::int64_t item =
        std::uniform_int_distribution<std::int64_t>(1, options_.items)(random_);
    const auto now = Clock::now();
    waiting_.emplace(user, now);
    appender_.append(user, item, now);
  }

  void ask() {
    if (waiting_.empty()) {
      asked_at_ = {};
      return;
    }
    const std::vector<std::int64_t> found = asker_.visible(waiting_);
    const auto now = Clock::now();
    if (asked_at_ != Clock::time_point{}) poll_gap_ms_.push_back(Millis(now - asked_at_).count());
    asked_at_ = now;
    for (const std::int64_t user : found) {
      const auto it = waiting_.find(user);
      visible_ms_.push_back(Millis(now - it->second).count());
      waiting_.erase(it);
    }
    for (const auto& [user, sent_at] : waiting_) {
      if (now - sent_at > kVisibleMax) throw std::runtime_error("a probe never became visible");
    }
  }

  Options options_;
  Appender appender_;
  Asker asker_;
  std::mt19937_64 random_;
  std::unordered_map<std::int64_t, Clock::time_point> waiting_;
  std::vector<double> visible_ms_;
  std::vector<double> poll_gap_ms_;
  Clock::time_point asked_at_{};
};

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  tidemark::bench::Options options;
  CLI::App app("Measures how fresh the counts are, from outside.");
  app.add_option("--brokers", options.brokers, "bootstrap.servers")->required();
  app.add_option("--topic", options.topic, "a topic for the probes alone")->required();
  app.add_option("--dsn", options.dsn, "libpq connection string")->required();
  app.add_option("--samples", options.samples, "how many probes")->capture_default_str();
  app.add_option("--rate", options.rate, "probes/s on average")->capture_default_str();
  app.add_option("--first-user", options.first_user, "the first probe's user; then upwards");
  app.add_option("--items", options.items, "items are drawn from 1 to this");
  app.add_option("--seed", options.seed, "of the random times");
  CLI11_PARSE(app, argc, argv);
  try {
    tidemark::bench::Probe probe(options);
    probe.run();
    probe.print();
  } catch (const std::exception& error) {
    fmt::print(stderr, "freshness_probe: {}\n", error.what());
    return 70;
  }
  return 0;
}
