// Any head of a request: it gets an answer that is one of HTTP's, what needs the token stays
// hidden from who hasn't sent it, and the next client is served as if nothing had been.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "consumer/core/check.h"
#include "consumer/service/http_routes.h"

namespace tidemark {
namespace {

constexpr std::size_t kHeadBytesMax = 8192;  // as HttpConnections has it
constexpr std::size_t kAnswerBytesMax = 4096;
constexpr std::string_view kEnd = "\r\n\r\n";
constexpr const char* kToken = "correct-horse-battery";
constexpr const char* kHidden = "for who has the token only";

HttpHandlers handlers() {
  const auto hidden = [] { return std::string(kHidden); };
  return {.ready =
              [](ReadyQuery query) {
                return HttpAnswer{503, query.trusted ? kHidden : "not ready"};
              },
          .metrics = hidden,
          .status = hidden,
          .version = hidden,
          .page = "<!doctype html>"};
}

// As a connection hands it over: up to the first empty line.
std::string head_of(std::string_view text) {
  std::string head(text.substr(0, kHeadBytesMax - kEnd.size()));
  head += kEnd;
  head.resize(head.find(kEnd) + kEnd.size());
  return head;
}

void check_answer(const std::string& head, const std::string& answer) {
  TIDEMARK_CHECK(answer.starts_with("HTTP/1.1 "));
  TIDEMARK_CHECK(answer.find(kEnd) != std::string::npos);
  TIDEMARK_CHECK(answer.size() <= kAnswerBytesMax);
  if (head.find(kToken) == std::string::npos) {
    TIDEMARK_CHECK(answer.find(kHidden) == std::string::npos);
  }
  const bool gets = head.substr(0, head.find('\n')).find("GET") != std::string::npos;
  if (!gets) TIDEMARK_CHECK(!answer.starts_with("HTTP/1.1 200"));
}

}  // namespace
}  // namespace tidemark

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static tidemark::HttpRoutes routes(tidemark::kToken, tidemark::handlers());
  const std::string head = tidemark::head_of({reinterpret_cast<const char*>(data), size});
  tidemark::check_answer(head, routes.answer(head));
  const std::string next = routes.answer("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
  TIDEMARK_CHECK(next.starts_with("HTTP/1.1 200"));
  return 0;
}
