// The requests that a member answers, without a socket: the head of one in, its answer out.
#pragma once

#include <memory>
#include <string>

#include "consumer/service/http.h"

namespace tidemark {

class HttpRoutes {
 public:
  // `token` as in HttpOptions.
  HttpRoutes(std::string token, HttpHandlers handlers);
  ~HttpRoutes();

  // All that is sent back for the head of a request, whatever stands in it; it ends in an empty
  // line. One thread.
  std::string answer(const std::string& head);

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

}  // namespace tidemark
