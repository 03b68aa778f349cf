#include "consumer/service/http.h"

#include <utility>

#include "consumer/service/http_connections.h"
#include "consumer/service/http_routes.h"

namespace tidemark {

struct HttpServer::Impl {
  Impl(const HttpOptions& options, HttpHandlers handlers)
      : routes(options.token, std::move(handlers)),
        connections(options.host, options.port,
                    [this](const std::string& head) { return routes.answer(head); }) {}

  HttpRoutes routes;
  HttpConnections connections;  // last: its thread ends before what it uses
};

HttpServer::HttpServer(const HttpOptions& options, HttpHandlers handlers)
    : impl_(std::make_unique<Impl>(options, std::move(handlers))) {}

HttpServer::~HttpServer() = default;

int HttpServer::port() const { return impl_->connections.port(); }

}  // namespace tidemark
