// A client of a server on this machine that may be as odd as it likes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace tidemark {

class HttpClient {
 public:
  explicit HttpClient(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{10, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~HttpClient() {
    if (socket_ >= 0) close(socket_);
  }
  HttpClient(HttpClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), connected_(other.connected_) {}
  HttpClient& operator=(HttpClient&&) = delete;

  bool connected() const { return connected_; }
  // The server may have hung up meanwhile: that is its right.
  void say(const std::string& text) const {
    std::size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t size = send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (size <= 0) return;
      sent += static_cast<std::size_t>(size);
    }
  }
  // All that comes until the server hangs up.
  std::string hear() const {
    std::string answer;
    char part[4096];
    for (ssize_t size = 0; (size = recv(socket_, part, sizeof part, 0)) > 0;) {
      answer.append(part, static_cast<std::size_t>(size));
    }
    return answer;
  }

 private:
  int socket_;
  bool connected_ = false;
};

// What the server answers to one request ("GET /livez"), head and body.
inline std::string ask(int port, const std::string& request, const std::string& headers = {}) {
  const HttpClient client(port);
  if (!client.connected()) return "not connected";
  client.say(request + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n");
  return client.hear();
}

}  // namespace tidemark
