// /livez, /readyz and /metrics over HTTP.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace tidemark {

struct HttpAnswer {
  int status = 200;
  std::string body;
};

struct HttpHandlers {
  std::function<HttpAnswer()> ready;     // GET /readyz
  std::function<std::string()> metrics;  // GET /metrics, Prometheus' text format
};

// Serves until destroyed. GET only; /livez answers as long as the process runs. Handlers are called
// from the server's threads. Throws WorldError(kFatal) when the port can't be had.
class HttpServer {
 public:
  HttpServer(const std::string& host, int port, HttpHandlers handlers);
  ~HttpServer();

  // The port that it listens on: the one asked for, or the free one when 0 was.
  int port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
