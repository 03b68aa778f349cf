// A member that works while it is looked at, by all of its threads at once: what ThreadSanitizer is
// for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "consumer/service/http.h"
#include "consumer/service/metrics.h"
#include "consumer/service/readiness.h"
#include "tests/unit/http_client.h"
#include "tests/unit/pipeline_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Serving : public PipelineTest {};

TEST_F(Serving, FiguresAndReadinessAreAskedForWhileBatchesAreApplied) {
  constexpr int kRecords = 2'000;
  like("a", kRecords);
  PipelineOptions options = patient();
  options.batch.records_max = 20;
  Metrics metrics("1", "h");
  Readiness readiness(metrics);
  HttpServer server({}, {.ready = [&](ReadyQuery query) { return readiness.answer(query); },
                         .metrics = [&] { return metrics.text(); },
                         .status = [&] { return std::to_string(metrics.figures().records); },
                         .version = [] { return std::string("{}"); },
                         .page = "page"});
  std::atomic<int> answers{0};
  const std::jthread asker([&](const std::stop_token& ended) {
    while (!ended.stop_requested()) {
      for (const char* path : {"GET /metrics", "GET /readyz?verbose", "GET /status"}) {
        EXPECT_THAT(ask(server.port(), path), StartsWith("HTTP/1.1 "));
      }
      ++answers;
    }
  });
  FakeStore store(database);
  Pipeline pipeline(
      declaration, source, std::vector<Store*>{&store},
      [](const std::string&) {
        return TopicTables{{TableIndex(0)}, false};
      },
      metrics, options);
  const Followed followed(readiness, pipeline);
  give();
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (metrics.figures().records < kRecords || answers < 3) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "waited in vain";
    pipeline.step();
    metrics.update(pipeline.status());
  }
  EXPECT_EQ(likes("a"), kRecords);
  EXPECT_THAT(ask(server.port(), "GET /metrics"), HasSubstr("tidemark_records_total 2000\n"));
}

}  // namespace
}  // namespace tidemark::testing
