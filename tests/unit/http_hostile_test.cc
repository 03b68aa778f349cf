// Whatever clients do, a probe is answered within a second: else a member that counts is restarted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "consumer/service/http.h"
#include "tests/unit/http_client.h"

namespace tidemark {
namespace {

using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr std::chrono::seconds kProbePatience{1};
constexpr int kTries = 5;
constexpr std::size_t kMetricsBytes = 1'000'000;  // more than a socket takes at once

class HttpHostile : public ::testing::Test {
 protected:
  // What clients keep us from lasts as long as they do: it is seen at each try. A machine that is
  // busy is so for a moment.
  void expect_alive(const std::string& beside) const {
    auto soonest = steady_clock::duration::max();
    for (int i = 0; i < kTries && soonest >= kProbePatience; ++i) {
      const auto begin = steady_clock::now();
      ASSERT_THAT(ask(server_.port(), "GET /livez"), StartsWith("HTTP/1.1 200")) << beside;
      soonest = std::min(soonest, steady_clock::now() - begin);
    }
    EXPECT_LT(soonest, kProbePatience) << beside;
  }

  HttpServer server_{{},
                     {.ready =
                          [](ReadyQuery) {
                            return HttpAnswer{200, "ready\n"};
                          },
                      .metrics = [] { return std::string(kMetricsBytes, 'm'); },
                      .status = [] { return std::string("{}"); },
                      .version = [] { return std::string("{}"); },
                      .page = "page"}};
};

TEST_F(HttpHostile, ClientsThatSendTheirHeadersSlowly) {
  std::vector<HttpClient> slow;
  for (int i = 0; i < 100; ++i) {
    slow.emplace_back(server_.port());
    slow.back().say("GET /metrics HTTP/1.1\r\nHost: x\r\n");
  }
  for (int round = 0; round < 20; ++round) {
    for (const HttpClient& client : slow) client.say("X: y\r\n");
    expect_alive("slow headers");
  }
}

TEST_F(HttpHostile, AThousandConnectionsThatSayNothing) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4096);  // both ends are here
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  std::vector<HttpClient> silent;
  for (int i = 0; i < 1'000; ++i) {
    silent.emplace_back(server_.port());
    ASSERT_TRUE(silent.back().connected()) << i;
    if (i % 100 == 99) expect_alive(std::to_string(i) + " connections");
  }
}

TEST_F(HttpHostile, ClientsThatDoNotTakeTheirAnswer) {
  std::vector<HttpClient> deaf;
  for (int i = 0; i < 10; ++i) {
    deaf.emplace_back(server_.port());
    deaf.back().say("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  expect_alive("answers that nobody reads");
  EXPECT_GT(ask(server_.port(), "GET /metrics").size(), kMetricsBytes);
}

TEST_F(HttpHostile, RequestsThatAreTooLarge) {
  const std::string much(1'000'000, 'a');
  for (const std::string& request :
       {"GET /" + much + " HTTP/1.1\r\n\r\n", "GET /livez HTTP/1.1\r\nX: " + much + "\r\n\r\n",
        much, std::string(1'000'000, '\0')}) {
    const HttpClient client(server_.port());
    client.say(request);
    EXPECT_THAT(client.hear(), AnyOf("", StartsWith("HTTP/1.1 431")));
    expect_alive("too large");
  }
  const HttpClient body(server_.port());
  body.say("GET /livez HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n" + much);
  EXPECT_THAT(body.hear(), AnyOf("", StartsWith("HTTP/1.1 200")));
  expect_alive("a body");
}

TEST_F(HttpHostile, RequestsThatMakeMuchWork) {
  std::string ranges = "Range: bytes=0-0";
  while (ranges.size() < 8000) ranges += ",0-";
  EXPECT_LT(ask(server_.port(), "GET /metrics", ranges + "\r\n").size(), kMetricsBytes + 2000);
  EXPECT_THAT(ask(server_.port(), "GET /metrics", "Accept-Encoding: br, gzip\r\n"),
              AllOf(SizeIs(Gt(kMetricsBytes)), Not(HasSubstr("Content-Encoding"))));
  expect_alive("ranges");
}

TEST_F(HttpHostile, RequestsThatAreOdd) {
  for (const std::string request :
       {"\r\n\r\n", "GET\r\n\r\n", "GET  HTTP/1.1\r\n\r\n", "GET /livez HTTP/9.9\r\n\r\n",
        "get /livez HTTP/1.1\r\n\r\n", "GET http://x/livez HTTP/1.1\r\n\r\n",
        "GET /../../etc/passwd HTTP/1.1\r\n\r\n", "GET /%00%ff%zz HTTP/1.1\r\n\r\n",
        "GET /livez?%%%=&&==& HTTP/1.1\r\n\r\n", "GET /livez HTTP/1.1\r\n: \r\n\r\n",
        "GET /livez HTTP/1.1\r\nRange: bytes=-\r\nRange: x\r\n\r\n",
        "GET /livez HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
        "GET /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        "POST /livez HTTP/1.1\r\nContent-Type: multipart/form-data\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x01\r\n\r\n",
        "GET /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n"}) {
    const HttpClient client(server_.port());
    client.say(request);
    EXPECT_THAT(client.hear(), StartsWith("HTTP/1.1 ")) << request;
  }
  expect_alive("odd requests");
}

// A right request with some bytes that are others.
TEST_F(HttpHostile, RequestsOfChance) {
  const std::string right =
      "GET /status?a=b%20c HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1,2-\r\nExpect: 100-continue\r\n"
      "Connection: keep-alive\r\nContent-Length: 3\r\nAuthorization: Bearer x\r\n\r\n";
  std::mt19937 random(6);
  for (int i = 0; i < 2'000; ++i) {
    std::string request = right;
    for (int changes = 1 + static_cast<int>(random() % 6); changes > 0; --changes) {
      request[random() % (right.size() - 4)] = static_cast<char>(random());
    }
    const HttpClient client(server_.port());
    client.say(request);
    EXPECT_THAT(client.hear(), StartsWith("HTTP/1.1 ")) << "seed 6, request " << i;
  }
  expect_alive("requests of chance");
}

}  // namespace
}  // namespace tidemark
