// The connections of a small HTTP server, all on one thread: each sends the head of one request,
// gets one answer, and is closed. Knows nothing of HTTP but where a head ends.
//
// A client that is slow, silent or odd costs a place among a few hundred until its time is over,
// never a thread; when all places are taken the oldest goes. So a probe is answered at once,
// whatever others do.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace tidemark {

class HttpConnections {
 public:
  // Everything that is sent back for a request's head (which ends in an empty line). Called from
  // the one thread: must not wait, or all wait.
  using Answer = std::function<std::string(const std::string& head)>;

  // Listens on host and port (0: any free one) and serves until destroyed. Throws
  // WorldError(kFatal) when the address can't be had.
  HttpConnections(const std::string& host, int port, Answer answer);
  ~HttpConnections();

  // The port that it listens on.
  int port() const;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace tidemark
