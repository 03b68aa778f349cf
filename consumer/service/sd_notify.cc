#include "consumer/service/sd_notify.h"

#include <systemd/sd-daemon.h>

#include <string>

namespace tidemark {
namespace {

void notify(const std::string& state) { sd_notify(0, state.c_str()); }

}  // namespace

void notify_ready() { notify("READY=1"); }

void notify_alive(std::string_view status) {
  notify("WATCHDOG=1\nSTATUS=" + std::string(status.substr(0, status.find('\n'))));
}

void notify_stopping() { notify("STOPPING=1\nSTATUS=draining"); }

}  // namespace tidemark
