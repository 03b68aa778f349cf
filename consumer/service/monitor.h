// What a member shows of itself: its figures, its readiness, and the HTTP server that tells them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "consumer/core/declaration.h"
#include "consumer/service/config.h"
#include "consumer/service/metrics.h"
#include "consumer/service/readiness.h"

namespace tidemark {

// Thread-safe. Serves from construction to destruction, whatever runs behind it.
class Monitor {
 public:
  // Throws WorldError: kConfig when the token can't be read, kFatal when the port can't be had.
  Monitor(const Config& config, const Declaration& declaration, std::string member);
  ~Monitor();

  Metrics& metrics();
  Readiness& readiness();
  int port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The token of [http]: the file's, or the one that is written there; empty: none is demanded.
// Throws WorldError(kConfig) when the file can't be read, or the token is too short.
std::string read_token(const Config::Http& http);

}  // namespace tidemark
