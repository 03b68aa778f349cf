#include "consumer/service/http.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

#include "consumer/core/ports.h"

namespace tidemark {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

// What the server answers to one request, head and body.
std::string ask(int port, const std::string& request) {
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  std::string answer;
  if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    const std::string text =
        request + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    EXPECT_EQ(send(connection, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    char part[1024];
    for (ssize_t n = 0; (n = recv(connection, part, sizeof part, 0)) > 0;) {
      answer.append(part, static_cast<std::size_t>(n));
    }
  }
  close(connection);
  return answer;
}

HttpHandlers handlers(const std::atomic<bool>& ready) {
  return {.ready =
              [&ready] {
                return ready ? HttpAnswer{200, "ready\n"} : HttpAnswer{503, "waits\n"};
              },
          .metrics = [] { return std::string("up 1\n"); }};
}

TEST(Http, AnswersWhatItIsAsked) {
  std::atomic<bool> ready = false;
  const HttpServer server("127.0.0.1", 0, handlers(ready));
  ASSERT_GT(server.port(), 0);
  EXPECT_THAT(ask(server.port(), "GET /livez"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask(server.port(), "GET /readyz"), StartsWith("HTTP/1.1 503"));
  ready = true;
  EXPECT_THAT(ask(server.port(), "GET /readyz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask(server.port(), "GET /metrics"), EndsWith("\r\n\r\nup 1\n"));
  EXPECT_THAT(ask(server.port(), "GET /"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(ask(server.port(), "POST /livez"), StartsWith("HTTP/1.1 404"));
}

TEST(Http, APortThatIsTakenIsNamed) {
  const std::atomic<bool> ready = true;
  // httplib's own socket may be shared (SO_REUSEPORT), so the one in the way is not httplib's.
  const int taken = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(taken, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(taken, 1), 0);
  ASSERT_EQ(getsockname(taken, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const int port = ntohs(address.sin_port);
  try {
    const HttpServer server("127.0.0.1", port, handlers(ready));
    ADD_FAILURE() << "shares a port";
  } catch (const WorldError& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFatal);
    EXPECT_THAT(error.what(), ::testing::HasSubstr(std::to_string(port)));
  }
  close(taken);
}

// stop() before the server's thread has begun to listen would be lost, and the join would hang.
TEST(Http, CanBeStoppedAtOnce) {
  const std::atomic<bool> ready = true;
  for (int i = 0; i < 50; ++i) const HttpServer server("127.0.0.1", 0, handlers(ready));
}

}  // namespace
}  // namespace tidemark
