// What a member serves over HTTP: /livez, /readyz, /metrics, /status, /version, and a page at /.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace tidemark {

struct HttpAnswer {
  int status = 200;
  std::string body;
};

struct ReadyQuery {
  bool verbose = false;  // each reason, fulfilled or not
  bool trusted = true;   // false: who asks has no token, and gets no more than names
};

// Called from the server's one thread: they must not wait.
struct HttpHandlers {
  std::function<HttpAnswer(ReadyQuery)> ready;  // GET /readyz
  std::function<std::string()> metrics;         // GET /metrics, Prometheus' text format
  std::function<std::string()> status;          // GET /status, JSON
  std::function<std::string()> version;         // GET /version, JSON
  std::string page;                             // GET /, HTML; holds no figures
};

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 0;         // 0: any free one
  std::string token{};  // demanded for all but /livez, /readyz and the page; empty: of nobody
};

// Serves until destroyed. GET only; requests have no body, and at most 8 KiB of headers; /livez
// answers as long as the process runs. Throws WorldError(kFatal) when the port can't be had.
class HttpServer {
 public:
  HttpServer(const HttpOptions& options, HttpHandlers handlers);
  ~HttpServer();

  // The port that it listens on: the one asked for, or the free one when 0 was.
  int port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
