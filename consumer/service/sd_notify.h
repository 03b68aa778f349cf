// Tells systemd how the member is (Type=notify, WatchdogSec in ops/systemd/tidemark.service).
// Without systemd nothing happens. Never throws: a supervisor that doesn't listen is no reason to
// stop.
#pragma once

#include <string_view>

namespace tidemark {

// What it needs at the start was there and fits; the loop begins.
void notify_ready();
// The loop goes round. `status` is what `systemctl status` shows; only its first line.
void notify_alive(std::string_view status);
// Draining has begun.
void notify_stopping();

}  // namespace tidemark
