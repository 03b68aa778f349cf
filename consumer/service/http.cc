#include "consumer/service/http.h"

#include <fmt/format.h>
#include <httplib.h>

#include <thread>
#include <utility>

#include "consumer/core/ports.h"

namespace tidemark {
namespace {

// A probe and a scraper or two; more connections wait.
constexpr std::size_t kThreads = 4;
constexpr std::time_t kTimeoutSeconds = 5;
constexpr std::size_t kRequestBytesMax = 4096;

}  // namespace

struct HttpServer::Impl {
  httplib::Server server;
  HttpHandlers handlers;
  int port = 0;
  std::thread thread;
};

HttpServer::HttpServer(const std::string& host, int port, HttpHandlers handlers)
    : impl_(std::make_unique<Impl>()) {
  impl_->handlers = std::move(handlers);
  httplib::Server& server = impl_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_read_timeout(kTimeoutSeconds);
  server.set_write_timeout(kTimeoutSeconds);
  server.set_payload_max_length(kRequestBytesMax);
  server.Get("/livez", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", "text/plain");
  });
  server.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
    const HttpAnswer answer = impl_->handlers.ready();
    response.status = answer.status;
    response.set_content(answer.body, "text/plain");
  });
  server.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
    response.set_content(impl_->handlers.metrics(), "text/plain; version=0.0.4");
  });
  if (port == 0) {
    impl_->port = server.bind_to_any_port(host.c_str());
  } else {
    impl_->port = server.bind_to_port(host.c_str(), port) ? port : -1;
  }
  if (impl_->port < 0) {
    throw WorldError(ErrorKind::kFatal,
                     fmt::format("can't listen on {}:{}: another process does, or the address is "
                                 "not ours; change [http] listen",
                                 host, port));
  }
  impl_->thread = std::thread([this] { impl_->server.listen_after_bind(); });
  // stop() has no effect on a server that doesn't run yet.
  while (!server.is_running()) std::this_thread::yield();
}

HttpServer::~HttpServer() {
  impl_->server.stop();
  impl_->thread.join();
}

int HttpServer::port() const { return impl_->port; }

}  // namespace tidemark
