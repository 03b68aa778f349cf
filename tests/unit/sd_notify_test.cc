#include "consumer/service/sd_notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace tidemark {
namespace {

// Stands in for systemd: the socket that NOTIFY_SOCKET names, in the abstract namespace.
class SdNotify : public ::testing::Test {
 protected:
  SdNotify() : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
    const std::string name = "@tidemark-sd-notify-" + std::to_string(getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, name.size());
    address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&address), length), 0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~SdNotify() override {
    unsetenv("NOTIFY_SOCKET");
    close(socket_);
  }

  // What systemd was told last; empty: nothing.
  std::string told() const {
    char text[256];
    const ssize_t length = recv(socket_, text, sizeof text, 0);
    return length < 0 ? "" : std::string(text, static_cast<std::size_t>(length));
  }

 private:
  int socket_;
};

TEST_F(SdNotify, TellsWhenItIsReadyAliveAndStopping) {
  notify_ready();
  EXPECT_EQ(told(), "READY=1");
  notify_alive("ready\n");
  EXPECT_EQ(told(), "WATCHDOG=1\nSTATUS=ready");
  notify_stopping();
  EXPECT_EQ(told(), "STOPPING=1\nSTATUS=draining");
}

TEST_F(SdNotify, AStatusOfSeveralLinesCannotSayAnythingElse) {
  notify_alive("no Kafka broker answers\nREADY=0\n");
  EXPECT_EQ(told(), "WATCHDOG=1\nSTATUS=no Kafka broker answers");
}

TEST_F(SdNotify, WithoutSystemdNothingHappens) {
  unsetenv("NOTIFY_SOCKET");
  notify_ready();
  notify_alive("ready");
  EXPECT_EQ(told(), "");
}

}  // namespace
}  // namespace tidemark
