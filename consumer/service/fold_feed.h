// Decodes records into a fold, for commands that read topics beside the group.
#pragma once

#include "consumer/core/decode.h"
#include "consumer/core/fold.h"

namespace tidemark {

class FoldFeed {
 public:
  // `declaration` must outlive it.
  FoldFeed(const Declaration& declaration, const DecodeLimits& limits)
      : decoder_(declaration, limits) {}

  // False: it could not be decoded; the fold has it among the parked, with what it may concern.
  bool take(const Record& record, const TopicTables& tables, Fold& fold) {
    DecodeResult result = decoder_.decode(record, tables, change_);
    if (std::holds_alternative<Decoded>(result)) {
      fold.add_change(record, change_);
    } else if (const auto* reason = std::get_if<SkipReason>(&result)) {
      fold.add_skip(record, *reason);
    } else {
      fold.add_bad(record, std::move(std::get<BadRecord>(result)), tables.tables);
      return false;
    }
    return true;
  }

 private:
  Decoder decoder_;
  Change change_;
};

}  // namespace tidemark
