#include "consumer/service/service.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "consumer/kafka/kafka_source.h"
#include "consumer/service/backoff.h"
#include "consumer/service/command_setup.h"
#include "consumer/service/deriving.h"
#include "consumer/service/kafka_log.h"
#include "consumer/service/metrics.h"
#include "consumer/service/monitor.h"
#include "consumer/service/pipeline.h"
#include "consumer/service/postgres.h"
#include "consumer/service/readiness.h"
#include "consumer/service/recounting.h"
#include "consumer/service/sd_notify.h"
#include "consumer/service/unobserved.h"
#include "consumer/store/catalog.h"
#include "consumer/store/pg_store.h"

namespace tidemark {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

// A member that starts beside its database waits for it; a mistyped host is said soon enough.
constexpr std::chrono::seconds kStartPatience{60};
// Draining ends within 10 s of SIGTERM (FAULTS A2), leaving the group included.
constexpr milliseconds kDrainPatience{5000};
constexpr std::chrono::seconds kExitPatience{9};
constexpr milliseconds kUpdateEvery{1000};

std::atomic<bool> stop_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "used by a signal handler");

std::atomic<const char*> last_words{nullptr};
static_assert(std::atomic<const char*>::is_always_lock_free, "used by a signal handler");

extern "C" void ask_to_stop(int) {
  if (!stop_asked.exchange(true)) return;
  if (const char* text = last_words; text != nullptr) {
    [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, text, std::strlen(text));
  }
  _exit(0);
}

std::string member_name() {
  char host[256] = "unknown";
  if (gethostname(host, sizeof host - 1) != 0) return fmt::format("unknown:{}", getpid());
  return fmt::format("{}:{}", host, getpid());
}

// Errors end the start; warnings are logged.
void check_against_catalog(const Config& config, Declaration& declaration) {
  bool wrong = false;
  for (const CatalogProblem& problem : check_catalogs(config, declaration)) {
    if (problem.severity == Severity::kError) {
      spdlog::error("{}", problem.text());
      wrong = true;
    } else {
      spdlog::warn("{}", problem.text());
    }
  }
  if (wrong) {
    throw WorldError(ErrorKind::kConfig, "the declaration doesn't fit the database: see above");
  }
}

// Waits for Postgres; false when a stop was asked for.
bool check_when_reachable(const Config& config, Declaration& declaration) {
  const auto deadline = Steady::now() + kStartPatience;
  Backoff backoff(milliseconds(100), milliseconds(2000));
  while (!stop_asked) {
    try {
      check_against_catalog(config, declaration);
      return true;
    } catch (const WorldError& error) {
      if (error.kind() != ErrorKind::kRetry || Steady::now() > deadline) throw;
      const milliseconds wait = backoff.next();
      spdlog::warn("trying again in {} ms: {}", wait.count(), error.what());
      std::this_thread::sleep_for(wait);
    }
  }
  return false;
}

// What a member consists of, in the order in which it must be taken down.
class Member {
 public:
  Member(const Config& config, const Declaration& declaration, const std::string& name,
         Metrics& metrics, std::atomic<bool>& broker_reachable)
      : topics_(resolve_topics(config.topics, declaration)) {
    KafkaOptions kafka;
    kafka.properties = config.kafka;
    for (const auto& [topic, tables] : topics_) kafka.topics.push_back(topic);
    if (config.recount.enabled) {
      recounting_ = std::make_unique<Recounting>(config, declaration, metrics.recount());
    }
    if (!declaration.rules.empty() && config.derive.threads > 0) {
      deriving_ = std::make_unique<Deriving>(config, declaration, metrics.derive());
    }
    kafka.on_log = log_kafka;
    kafka.on_reachable = [&broker_reachable](bool reachable) { broker_reachable = reachable; };
    PgOptions pg = pg_options(config, Role::kService);
    if (!is_unobserved()) {
      kafka.on_stats = [&metrics](std::string_view json) { metrics.on_kafka_statistics(json); };
      pg.on_statement = [&metrics](const StatementName& statement,
                                   std::chrono::duration<double> took) {
        metrics.on_statement(statement, took);
      };
    }
    std::vector<Store*> lanes;
    for (std::size_t i = 0; i < config.lanes; ++i) {
      stores_.push_back(
          std::make_unique<PgStore>(declaration, PgStoreOptions{.pg = pg,
                                                                .group_id = group_id(config),
                                                                .owner = name,
                                                                .recounted = config.recount.enabled,
                                                                .source = source_options(config),
                                                                .on_marked = [this] {
                                                                  if (deriving_) deriving_->wake();
                                                                }}));
      lanes.push_back(stores_.back().get());
    }
    source_ = std::make_unique<KafkaSource>(std::move(kafka));
    const auto tables_of = [this](const std::string& topic) { return topics_.at(topic); };
    PipelineObserver& observer =
        is_unobserved() ? static_cast<PipelineObserver&>(unobserved_) : metrics;
    pipeline_ = std::make_unique<Pipeline>(declaration, *source_, lanes, tables_of, observer,
                                           config.pipeline);
  }

  Pipeline& pipeline() { return *pipeline_; }
  // Throws what a recounter or a deriver can't go on with.
  void check() {
    if (recounting_) recounting_->check();
    if (deriving_) deriving_->check();
  }

 private:
  std::map<std::string, TopicTables> topics_;
  Unobserved unobserved_;
  std::unique_ptr<Deriving> deriving_;  // the stores' appliers wake it
  std::vector<std::unique_ptr<PgStore>> stores_;
  std::unique_ptr<KafkaSource> source_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<Recounting> recounting_;
};

// The last resort of a drain: a library that hangs must not keep the process.
void exit_when_drain_hangs() {
  std::thread([] {
    std::this_thread::sleep_for(kExitPatience);
    _exit(0);  // what was not committed is read again by the next owner
  }).detach();
}

}  // namespace

bool stop_was_asked() { return stop_asked; }

void set_last_words(const char* text) { last_words = text; }

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = ask_to_stop;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void run_service(const Config& config, Declaration declaration) {
  const std::string name = member_name();
  Monitor monitor(config, declaration, name);
  Metrics& metrics = monitor.metrics();
  Readiness& readiness = monitor.readiness();
  spdlog::info("tidemark {} serves http://{}:{}", TIDEMARK_VERSION, config.http.host,
               monitor.port());
  if (!check_when_reachable(config, declaration)) return;

  Member member(config, declaration, name, metrics, readiness.broker_reachable);
  Pipeline& pipeline = member.pipeline();
  const Followed followed(readiness, pipeline);
  notify_ready();
  auto update_at = Steady::now();
  while (!stop_asked) {
    pipeline.step();
    if (Steady::now() < update_at) continue;
    member.check();
    if (!is_unobserved()) metrics.update(pipeline.status());
    notify_alive(readiness.answer({}).body);
    update_at = Steady::now() + kUpdateEvery;
  }
  notify_stopping();
  spdlog::info("draining");
  exit_when_drain_hangs();
  pipeline.drain(kDrainPatience);
  spdlog::info("drained; left the group");
}

}  // namespace tidemark
