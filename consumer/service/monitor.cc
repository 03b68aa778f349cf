#include "consumer/service/monitor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "consumer/service/http.h"
#include "consumer/service/postgres.h"
#include "consumer/service/state_watch.h"
#include "consumer/service/status_page.h"
#include "consumer/service/status_report.h"
#include "consumer/service/topic_ends.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;

// As long as a password that is not guessed.
constexpr std::size_t kTokenBytesMin = 16;
// Who asks a thousand times a second gets the same answer a hundred times.
constexpr std::chrono::milliseconds kSameFor{100};

TopicEnds ends_of(const Config& config, const Declaration& declaration) {
  std::vector<std::string> topics;
  for (const auto& [topic, tables] : resolve_topics(config.topics, declaration)) {
    topics.push_back(topic);
  }
  return {config.kafka, std::move(topics)};
}

std::optional<SlotLook> slot_of(const Config& config) {
  const std::optional<PgOptions> source = source_options(config);
  if (!source) return std::nullopt;
  return std::optional<SlotLook>(std::in_place, *source, config.recount.slot);
}

std::vector<std::string> names_of(const std::vector<Rule>& rules) {
  std::vector<std::string> names;
  for (const Rule& rule : rules) names.push_back(rule.name);
  return names;
}

// A text that is made anew when it is asked for, and not too often. One thread.
class Cached {
 public:
  explicit Cached(std::function<std::string()> make) : make_(std::move(make)) {}

  const std::string& get() {
    const auto now = Steady::now();
    if (text_.empty() || now - made_at_ >= kSameFor) {
      text_ = make_();
      made_at_ = now;
    }
    return text_;
  }

 private:
  const std::function<std::string()> make_;
  std::string text_;
  Steady::time_point made_at_{};
};

}  // namespace

std::string read_token(const Config::Http& http) {
  std::string token = http.token;
  std::string from = "[http] token";
  if (!http.token_file.empty()) {
    from = fmt::format("[http] token_file '{}'", http.token_file.string());
    std::ifstream in(http.token_file, std::ios::binary);
    token.assign(std::istreambuf_iterator<char>(in), {});
    if (!in) throw WorldError(ErrorKind::kConfig, from + " can't be read");
    token.erase(token.find_last_not_of(" \t\r\n") + 1);
  }
  if (token.empty() && http.token_file.empty()) return token;
  const bool visible = std::ranges::all_of(token, [](char c) { return c > ' ' && c < 0x7f; });
  if (!visible || token.size() < kTokenBytesMin) {
    throw WorldError(ErrorKind::kConfig,
                     fmt::format("{} must be at least {} visible ASCII characters, without spaces; "
                                 "`openssl rand -hex 32` makes one",
                                 from, kTokenBytesMin));
  }
  return token;
}

struct Monitor::Impl {
  Impl(const Config& config, const Declaration& declaration, std::string name)
      : member(std::move(name)),
        hash(declaration_hash(declaration)),
        rules(names_of(declaration.rules)),
        metrics(TIDEMARK_VERSION, hash),
        ends(ends_of(config, declaration)),
        slot(slot_of(config)),
        watch({.pg = pg_options(config, Role::kService),
               .ends = [this] { return ends.read(); },
               .source = source_look(),
               .on_look = [this](const StateView& view) { metrics.update(view); }}),
        http({config.http.host, config.http.port, read_token(config.http)}, handlers()) {}

  std::function<SourceView()> source_look() {
    if (!slot) return nullptr;
    return [this] { return slot->look(); };
  }

  HttpHandlers handlers() {
    return {.ready = [this](ReadyQuery query) { return readiness.answer(query); },
            .metrics = [this] { return metrics_text.get(); },
            .status = [this] { return report.get(); },
            .version =
                [this] {
                  const nlohmann::json out = {{"version", TIDEMARK_VERSION}, {"declaration", hash}};
                  return out.dump() + "\n";
                },
            .page = status_page()};
  }

  std::string status() {
    return status_json({.version = TIDEMARK_VERSION,
                        .declaration = hash,
                        .member = member,
                        .rules = rules,
                        .checks = readiness.checks(),
                        .pipeline = readiness.pipeline(),
                        .figures = metrics.figures(),
                        .second_database = slot.has_value(),
                        .view = watch.view(),
                        .trouble = watch.trouble()});
  }

  const std::string member;
  const std::string hash;
  const std::vector<std::string> rules;
  Metrics metrics;
  Readiness readiness{metrics};
  Cached metrics_text{[this] { return metrics.text(); }};
  Cached report{[this] { return status(); }};
  TopicEnds ends;
  std::optional<SlotLook> slot;  // of the source, where it is a second database
  StateWatch watch;
  HttpServer http;  // last: its thread ends before what it uses
};

Monitor::Monitor(const Config& config, const Declaration& declaration, std::string member)
    : impl_(std::make_unique<Impl>(config, declaration, std::move(member))) {}

Monitor::~Monitor() = default;

Metrics& Monitor::metrics() { return impl_->metrics; }
Readiness& Monitor::readiness() { return impl_->readiness; }
int Monitor::port() const { return impl_->http.port(); }

}  // namespace tidemark
