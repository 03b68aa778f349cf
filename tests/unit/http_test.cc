#include "consumer/service/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "consumer/core/ports.h"
#include "tests/unit/http_client.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kToken = "0123456789abcdef";

HttpHandlers handlers(const std::atomic<bool>& ready) {
  return {.ready =
              [&ready](ReadyQuery query) {
                const std::string asked = std::string(query.verbose ? "verbose " : "") +
                                          (query.trusted ? "trusted " : "");
                return ready ? HttpAnswer{200, asked + "ready\n"} : HttpAnswer{503, "waits\n"};
              },
          .metrics = [] { return std::string("up 1\n"); },
          .status = [] { return std::string("{\"drift\":0}\n"); },
          .version = [] { return std::string("{\"version\":\"1\"}\n"); },
          .page = "<!doctype html>"};
}

TEST(Http, AnswersWhatItIsAsked) {
  std::atomic<bool> ready = false;
  const HttpServer server({}, handlers(ready));
  ASSERT_GT(server.port(), 0);
  EXPECT_THAT(ask(server.port(), "GET /livez"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask(server.port(), "GET /readyz"), StartsWith("HTTP/1.1 503"));
  ready = true;
  EXPECT_THAT(ask(server.port(), "GET /readyz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask(server.port(), "GET /readyz?verbose"),
              EndsWith("\r\n\r\nverbose trusted ready\n"));
  EXPECT_THAT(ask(server.port(), "GET /metrics"), EndsWith("\r\n\r\nup 1\n"));
  EXPECT_THAT(ask(server.port(), "GET /status"),
              AllOf(HasSubstr("application/json"), EndsWith("{\"drift\":0}\n")));
  EXPECT_THAT(ask(server.port(), "GET /version"), EndsWith("{\"version\":\"1\"}\n"));
  EXPECT_THAT(ask(server.port(), "GET /"), AllOf(HasSubstr("text/html"), HasSubstr("<!doctype")));
  EXPECT_THAT(ask(server.port(), "GET /nothing"), StartsWith("HTTP/1.1 404"));
}

TEST(Http, IsForReadingOnly) {
  const std::atomic<bool> ready = true;
  const HttpServer server({}, handlers(ready));
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"}) {
    const std::string answer = ask(server.port(), std::string(method) + " /livez");
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 405"), HasSubstr("Allow: GET"))) << method;
  }
}

TEST(Http, NothingFromElsewhereMayRunInThePageOrFrameIt) {
  const std::atomic<bool> ready = true;
  const HttpServer server({}, handlers(ready));
  EXPECT_THAT(ask(server.port(), "GET /"),
              AllOf(HasSubstr("default-src 'none'"), HasSubstr("frame-ancestors 'none'"),
                    HasSubstr("nosniff"), HasSubstr("no-store")));
}

TEST(Http, FiguresAreForWhoHasTheToken) {
  const std::atomic<bool> ready = true;
  const HttpServer server({.token = kToken}, handlers(ready));
  const std::string right = std::string("Authorization: Bearer ") + kToken + "\r\n";
  for (const char* path : {"/metrics", "/status", "/version", "/nothing"}) {
    const std::string get = std::string("GET ") + path;
    EXPECT_THAT(ask(server.port(), get),
                AllOf(StartsWith("HTTP/1.1 401"), HasSubstr("WWW-Authenticate: Bearer"),
                      Not(HasSubstr("drift")), Not(HasSubstr("up 1"))))
        << path;
    for (const char* wrong :
         {"Authorization: Bearer 0123456789abcdeX\r\n",
          "Authorization: Bearer 0123456789abcdef0\r\n", "Authorization: Bearer \r\n",
          "Authorization: Bearer\r\n", "Authorization: Basic 0123456789abcdef\r\n",
          "authorization: 0123456789abcdef\r\n"}) {
      EXPECT_THAT(ask(server.port(), get, wrong), StartsWith("HTTP/1.1 401")) << path << wrong;
    }
  }
  EXPECT_THAT(ask(server.port(), "GET /status", right), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask(server.port(), "GET /metrics", right), StartsWith("HTTP/1.1 200"));
}

TEST(Http, ProbesNeedNoTokenAndLearnNoReasons) {
  const std::atomic<bool> ready = true;
  const HttpServer server({.token = kToken}, handlers(ready));
  EXPECT_THAT(ask(server.port(), "GET /livez"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask(server.port(), "GET /"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask(server.port(), "GET /readyz"), EndsWith("\r\n\r\nready\n"));
  EXPECT_THAT(
      ask(server.port(), "GET /readyz", std::string("Authorization: Bearer ") + kToken + "\r\n"),
      EndsWith("\r\n\r\ntrusted ready\n"));
}

TEST(Http, APortThatIsTakenIsNamed) {
  const std::atomic<bool> ready = true;
  const HttpServer first({}, handlers(ready));
  try {
    const HttpServer second({.port = first.port()}, handlers(ready));
    ADD_FAILURE() << "shares a port";
  } catch (const WorldError& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFatal);
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(first.port())));
  }
}

TEST(Http, CanBeStoppedAtOnce) {
  const std::atomic<bool> ready = true;
  for (int i = 0; i < 50; ++i) const HttpServer server({}, handlers(ready));
}

}  // namespace
}  // namespace tidemark
