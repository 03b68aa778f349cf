#include "consumer/service/http_connections.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "consumer/core/check.h"
#include "consumer/core/ports.h"

namespace tidemark {
namespace {

using Steady = std::chrono::steady_clock;

// Far more than probes, scrapers and pages need at once, far fewer than a process may have files.
constexpr std::size_t kConnectionsMax = 256;
// Clients that come in one round, so that a flood of them doesn't starve those that are there.
constexpr int kAcceptedMax = 64;
// Browsers send about a kilobyte.
constexpr std::size_t kHeadBytesMax = 8192;
// For a request and its answer together: half of what a slow probe waits for.
constexpr std::chrono::seconds kPatience{5};
// Waiting connections, until the thread comes to them: a burst must not wait for TCP's second try.
constexpr int kBacklog = 512;
// What a client still sends is read away for so long, or closing would reset the answer.
constexpr std::chrono::milliseconds kLingering{500};
constexpr std::size_t kPartBytes = 16'384;
// Of an answer that nobody takes, so much lies in the kernel, for each connection.
constexpr int kSendBytes = 131'072;
// Below the threads that count: who polls us at full speed must not slow these down.
constexpr int kNice = 5;

constexpr const char* kTooLarge =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
    "Content-Length: 0\r\n\r\n";
constexpr const char* kTooSlow =
    "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

class File {
 public:
  explicit File(int number) : number_(number) {}
  ~File() {
    if (number_ >= 0) close(number_);
  }
  File(File&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  File& operator=(File&&) = delete;

  int get() const { return number_; }

 private:
  int number_;
};

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

[[noreturn]] void refuse(const std::string& host, int port, const std::string& why) {
  throw WorldError(ErrorKind::kFatal,
                   fmt::format("can't listen on {}:{}: {}; change [http] listen", host, port, why));
}

// Bound and listening, never blocking.
File listen_on(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int unknown = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (unknown != 0) refuse(host, port, gai_strerror(unknown));
  const std::unique_ptr<addrinfo, FreeAddresses> addresses(found);
  int why = 0;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    File file(socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol));
    const int yes = 1;  // a restart must not wait for the last process's connections
    setsockopt(file.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    // Connections inherit it.
    setsockopt(file.get(), SOL_SOCKET, SO_SNDBUF, &kSendBytes, sizeof kSendBytes);
    if (bind(file.get(), at->ai_addr, at->ai_addrlen) == 0 && listen(file.get(), kBacklog) == 0) {
      return file;
    }
    why = errno;
  }
  refuse(host, port, why == EADDRINUSE ? "another process does" : std::string(std::strerror(why)));
}

int port_of(const File& file) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, NI_MAXSERV> service{};
  TIDEMARK_CHECK(getsockname(file.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  TIDEMARK_CHECK(getnameinfo(reinterpret_cast<sockaddr*>(&address), size, nullptr, 0,
                             service.data(), service.size(), NI_NUMERICSERV) == 0);
  return std::stoi(service.data());
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

class HttpConnections::Loop {
 public:
  Loop(const std::string& host, int port, Answer answer)
      : answer_(std::move(answer)),
        listener_(listen_on(host, port)),
        port_(port_of(listener_)),
        wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        thread_([this] { run(); }) {}

  ~Loop() {
    const std::uint64_t one = 1;
    TIDEMARK_CHECK(write(wake_.get(), &one, sizeof one) == sizeof one);
    thread_.join();
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  int port() const { return port_; }

 private:
  enum class Phase : std::uint8_t { kReading, kWriting, kLingering };
  struct Connection {
    File file;
    Steady::time_point until;
    Phase phase = Phase::kReading;
    std::string head{};
    std::string answer{};
    std::size_t sent = 0;
  };

  void run();
  int patience() const;
  void accept_some();
  bool serve(Connection& connection);
  bool read_head(Connection& connection);
  bool write_answer(Connection& connection);
  void answer(Connection& connection, std::string text);
  bool out_of_time(Connection& connection);

  const Answer answer_;
  const File listener_;
  const int port_;
  const File wake_;
  std::list<Connection> connections_;  // the oldest first
  std::thread thread_;                 // last: it uses all of these
};

// Until the destructor writes to wake_.
void HttpConnections::Loop::run() {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()),
              kNice);  // of this thread; as far as it goes
  std::vector<pollfd> watched;
  for (;;) {
    watched.assign({{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}});
    for (const Connection& connection : connections_) {
      const bool writing = connection.phase == Phase::kWriting;
      const auto events = static_cast<short>(writing ? POLLOUT : POLLIN);
      watched.push_back({connection.file.get(), events, 0});
    }
    if (poll(watched.data(), watched.size(), patience()) < 0) continue;  // EINTR, or no memory
    if (watched[0].revents != 0) return;
    auto at = watched.begin() + 2;
    for (auto it = connections_.begin(); it != connections_.end(); ++at) {
      const bool stays = at->revents != 0 ? serve(*it) : !out_of_time(*it);
      it = stays ? std::next(it) : connections_.erase(it);
    }
    if (watched[1].revents != 0) accept_some();
  }
}

// Milliseconds until the first connection's time is over; -1: there is none.
int HttpConnections::Loop::patience() const {
  if (connections_.empty()) return -1;
  const auto first = std::ranges::min_element(connections_, {}, &Connection::until)->until;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Steady::now());
  return static_cast<int>(std::max<std::int64_t>(0, left.count()));
}

void HttpConnections::Loop::accept_some() {
  for (int taken = 0; taken < kAcceptedMax; ++taken) {
    File file(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (file.get() < 0) {
      // Out of files, say: the next round has one more.
      if (!would_block() && !connections_.empty()) connections_.pop_front();
      return;
    }
    if (connections_.size() >= kConnectionsMax) connections_.pop_front();
    connections_.push_back({std::move(file), Steady::now() + kPatience});
  }
}

// False when the connection is over.
bool HttpConnections::Loop::serve(Connection& connection) {
  if (out_of_time(connection)) return false;
  switch (connection.phase) {
    case Phase::kReading:
      return read_head(connection);
    case Phase::kWriting:
      return write_answer(connection);
    case Phase::kLingering: {
      std::array<char, kPartBytes> part;
      const ssize_t size = recv(connection.file.get(), part.data(), part.size(), 0);
      return size > 0 || (size < 0 && would_block());
    }
  }
  return false;
}

bool HttpConnections::Loop::read_head(Connection& connection) {
  std::array<char, kHeadBytesMax> part;
  std::string& head = connection.head;
  const ssize_t size = recv(connection.file.get(), part.data(), part.size(), 0);
  if (size <= 0) return size < 0 && would_block();
  const std::size_t looked_at = head.size() - std::min<std::size_t>(head.size(), 3);
  head.append(part.data(), static_cast<std::size_t>(size));
  const auto end = head.find("\r\n\r\n", looked_at);
  if (end != std::string::npos && end + 4 <= kHeadBytesMax) {
    head.resize(end + 4);
    answer(connection, answer_(head));
  } else if (head.size() > kHeadBytesMax) {
    answer(connection, kTooLarge);
  } else {
    return true;
  }
  return write_answer(connection);
}

void HttpConnections::Loop::answer(Connection& connection, std::string text) {
  connection.phase = Phase::kWriting;
  connection.answer = std::move(text);
  connection.head = {};
}

bool HttpConnections::Loop::write_answer(Connection& connection) {
  const std::string& text = connection.answer;
  const ssize_t size = send(connection.file.get(), text.data() + connection.sent,
                            text.size() - connection.sent, MSG_NOSIGNAL);
  if (size < 0) return would_block();
  connection.sent += static_cast<std::size_t>(size);
  if (connection.sent < text.size()) return true;
  shutdown(connection.file.get(), SHUT_WR);
  connection.phase = Phase::kLingering;
  connection.answer = {};
  connection.until = std::min(connection.until, Steady::now() + kLingering);
  return true;
}

// Who sent half a request is told why nothing came.
bool HttpConnections::Loop::out_of_time(Connection& connection) {
  if (Steady::now() < connection.until) return false;
  if (connection.phase == Phase::kReading && !connection.head.empty()) {
    send(connection.file.get(), kTooSlow, std::strlen(kTooSlow), MSG_NOSIGNAL);
  }
  return true;
}

HttpConnections::HttpConnections(const std::string& host, int port, Answer answer)
    : loop_(std::make_unique<Loop>(host, port, std::move(answer))) {}

HttpConnections::~HttpConnections() = default;

int HttpConnections::port() const { return loop_->port(); }

}  // namespace tidemark
