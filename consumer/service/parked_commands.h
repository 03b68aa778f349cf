// `tidemark parked replay` and `parked drop`; as commands.h says.
#pragma once

#include "consumer/service/commands.h"
#include "consumer/store/pg_parked.h"

namespace tidemark {

struct ParkedSettleCommand {
  ParkedBounds bounds;
  bool yes = false;  // drop: without it only says what would be done
};

// Decodes parked records again. What one names, when it can be decoded by now, is recounted and its
// users derived; the record is parked no more. It is never counted, so it can't be counted twice.
// kData: none was meant, or some stay.
ExitCode parked_replay_command(const CommonOptions& common, const ParkedSettleCommand& command);
// Forgets parked records. What they may have changed is recounted once more.
ExitCode parked_drop_command(const CommonOptions& common, const ParkedSettleCommand& command);

}  // namespace tidemark
