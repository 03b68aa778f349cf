// A member of the group, from start to exit.
#pragma once

#include "consumer/core/declaration.h"
#include "consumer/service/config.h"

namespace tidemark {

// Catches SIGTERM and SIGINT from now on: the first asks run_service to drain, a second ends the
// process at once (a restart is always safe).
void install_stop_signals();
// Whether one of them came.
bool stop_was_asked();
// What the second one writes to standard output before it ends the process, for who has changed the
// terminal; nullptr: nothing. Must live until then.
void set_last_words(const char* text);

// Checks the declaration against the catalog, joins the group and works until asked to stop; then
// drains and returns. Serves /livez from the beginning. Throws WorldError when a person must act,
// and when Postgres can't be reached within a minute of the start.
void run_service(const Config& config, Declaration declaration);

}  // namespace tidemark
