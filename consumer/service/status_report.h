// What /status says: a member and its group in numbers and names, as JSON. No key, no payload.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "consumer/core/declaration.h"
#include "consumer/service/metrics.h"
#include "consumer/service/pipeline.h"
#include "consumer/service/readiness.h"
#include "consumer/service/state_watch.h"

namespace tidemark {

// Names as `tidemark status --json` has them, where both say the same.
struct StatusParts {
  std::string version;
  std::string declaration;  // its hash
  std::string member;       // as tidemark.progress names owners
  std::vector<std::string> rules;
  std::vector<ReadyCheck> checks;
  PipelineStatus pipeline;
  MemberFigures figures;
  bool second_database = false;           // the watched tables are in another one than the cells
  std::shared_ptr<const StateView> view;  // nullptr: Postgres was not looked at yet
  std::string trouble;                    // why not; empty: it was
};

std::string status_json(const StatusParts& parts);

}  // namespace tidemark
