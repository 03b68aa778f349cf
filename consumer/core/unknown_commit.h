// The reply to a commit was lost: whether it was stored, only the stored offsets tell (rule P3).
#pragma once

#include "consumer/core/ports.h"

namespace tidemark {

class UnknownCommit : public WorldError {
 public:
  explicit UnknownCommit(const WorldError& error) : WorldError(error) {}
};

}  // namespace tidemark
