#include "consumer/service/http_routes.h"

#include <httplib.h>

#include <algorithm>
#include <utility>

namespace tidemark {
namespace {

using httplib::Request;
using httplib::Response;
using Handled = httplib::Server::HandlerResponse;

// Nothing from elsewhere, nothing kept, shown in nobody's frame.
const httplib::Headers kHeaders = {
    {"Cache-Control", "no-store"},
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
     "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"},
    {"X-Content-Type-Options", "nosniff"}};

// Takes as long for each token of that length, right or wrong.
bool same(const std::string& a, const std::string& b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

// A request's head to read, and room for its answer.
class Exchange final : public httplib::Stream {
 public:
  explicit Exchange(const std::string& head) : head_(head) {}

  bool is_readable() const override { return at_ < head_.size(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, std::size_t size) override {
    const std::size_t taken = head_.copy(to, size, at_);
    at_ += taken;
    return static_cast<ssize_t>(taken);
  }
  ssize_t write(const char* from, std::size_t size) override {
    answer_.append(from, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  socket_t socket() const override { return INVALID_SOCKET; }

  std::string take() { return std::move(answer_); }

 private:
  const std::string& head_;
  std::size_t at_ = 0;
  std::string answer_;
};

}  // namespace

class HttpRoutes::Server final : public httplib::Server {
 public:
  Server(std::string token, HttpHandlers handlers)
      : token_(std::move(token)), handlers_(std::move(handlers)) {
    set_default_headers(kHeaders);
    set_exception_handler([](const Request&, Response& response, const std::exception_ptr&) {
      response.status = 500;  // httplib would tell what went wrong
    });
    set_pre_routing_handler([this](const Request& request, Response& response) {
      return refuse(request, response) ? Handled::Handled : Handled::Unhandled;
    });
    Get("/", [this](const Request&, Response& response) {
      response.set_content(handlers_.page, "text/html; charset=utf-8");
    });
    Get("/livez",
        [](const Request&, Response& response) { response.set_content("ok\n", "text/plain"); });
    Get("/readyz", [this](const Request& request, Response& response) {
      const HttpAnswer answer =
          handlers_.ready({.verbose = request.has_param("verbose"), .trusted = trusted(request)});
      response.status = answer.status;
      response.set_content(answer.body, "text/plain");
    });
    serve("/metrics", handlers_.metrics, "text/plain; version=0.0.4");
    serve("/status", handlers_.status, "application/json");
    serve("/version", handlers_.version, "application/json");
  }

  std::string answer(const std::string& head) {
    Exchange exchange(head);
    bool closed = false;
    process_request(exchange, true, closed, [](Request& request) {
      // Parts of an answer, compressing it, a body: work for us that nobody needs.
      request.ranges.clear();
      for (const char* header : {"Accept-Encoding", "Expect", "Range"}) {
        request.headers.erase(header);
      }
    });
    return exchange.take();
  }

 private:
  void serve(const char* path, const std::function<std::string()>& text, const char* type) {
    Get(path,
        [&text, type](const Request&, Response& response) { response.set_content(text(), type); });
  }

  bool trusted(const Request& request) const {
    return token_.empty() || same(request.get_header_value("Authorization"), "Bearer " + token_);
  }

  // Before the path is looked at: who has no token doesn't learn which paths there are.
  bool refuse(const Request& request, Response& response) const {
    if (request.method != "GET") {
      response.status = 405;
      response.set_header("Allow", "GET");
      return true;
    }
    for (const char* open : {"/", "/livez", "/readyz"}) {
      if (request.path == open) return false;
    }
    if (trusted(request)) return false;
    response.status = 401;
    response.set_header("WWW-Authenticate", "Bearer");
    return true;
  }

  const std::string token_;
  const HttpHandlers handlers_;
};

HttpRoutes::HttpRoutes(std::string token, HttpHandlers handlers)
    : server_(std::make_unique<Server>(std::move(token), std::move(handlers))) {}

HttpRoutes::~HttpRoutes() = default;

std::string HttpRoutes::answer(const std::string& head) { return server_->answer(head); }

}  // namespace tidemark
