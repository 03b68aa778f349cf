#include "consumer/core/decode_envelope.h"

#include <fmt/format.h>

#include <cstddef>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

Op op_of(char letter) {
  switch (letter) {
    case 'c':
      return Op::kCreate;
    case 'u':
      return Op::kUpdate;
    case 'd':
      return Op::kDelete;
    case 'r':
      return Op::kRead;
    case 't':
      return Op::kTruncate;
    default:
      TIDEMARK_CHECK(false && "a letter that known_op gave, but m");
  }
}

// The op says which images count. A delete or an update without `before` is taken (REPLICA IDENTITY
// NOTHING; DEFAULT, where the key did not change): what it did can be recounted.
DecodeResult judge_images(Change& change) {
  if (change.op != Op::kUpdate && change.op != Op::kDelete) change.before.clear();
  if (change.op == Op::kDelete || change.op == Op::kTruncate) {
    change.after.clear();
    return Decoded{};
  }
  if (!change.after.empty()) return Decoded{};
  return BadRecord{BadCode::kMissingImage,
                   fmt::format("op {} without the row after it", op_letter(change.op))};
}

// Records that are no change, but known: heartbeats, and the transaction topic's.
DecodeResult judge_without_op(const Envelope& envelope) {
  constexpr std::uint32_t kAround = bit(Field::kSchema) | bit(Field::kPayload);
  constexpr std::uint32_t kBoundary = bit(Field::kStatus) | bit(Field::kId);
  constexpr std::uint32_t kBoundaryAll =
      kBoundary | bit(Field::kEventCount) | bit(Field::kDataCollections) | bit(Field::kTsMs);
  constexpr std::uint32_t kChange = bit(Field::kBefore) | bit(Field::kAfter) | bit(Field::kSource);
  const std::uint32_t fields = envelope.fields & ~kAround;
  if (!envelope.other_fields) {
    if (envelope.null_payload && fields == 0) return SkipReason::kTombstone;
    if (fields == bit(Field::kTsMs)) return SkipReason::kHeartbeat;
    if (envelope.is_boundary && (fields & kBoundary) == kBoundary &&
        (fields & ~kBoundaryAll) == 0) {
      return SkipReason::kTransactionMetadata;
    }
  }
  if ((fields & kChange) != 0) {
    return BadRecord{BadCode::kNotAnEnvelope, "no op: a schema change, or no change event at all"};
  }
  return BadRecord{BadCode::kNotAnEnvelope,
                   "no op, before, after or source: a bare row? Then remove the transform "
                   "ExtractNewRecordState (unwrap) from the connector"};
}

}  // namespace

char known_op(std::string_view text) {
  constexpr std::string_view kKnown = "cudrtm";
  if (text.size() != 1 || kKnown.find(text.front()) == std::string_view::npos) return '?';
  return text.front();
}

DecodeResult judge(const Envelope& envelope, const TablePlan* plan, const TopicTables& topic,
                   Change& change) {
  if (envelope.op == 0) return judge_without_op(envelope);
  if (envelope.op == 'm') return SkipReason::kLogicalMessage;
  if (envelope.op == '?') {
    return BadRecord{BadCode::kUnknownOp, "op: expected one of c, u, d, r, t, m"};
  }
  constexpr std::uint32_t kNames = bit(SourceField::kSchema) | bit(SourceField::kTable);
  if ((envelope.source_fields & kNames) != kNames) {
    return BadRecord{BadCode::kMissingSource, "no source block with schema and table"};
  }
  if (plan == nullptr) {
    if (!topic.tables.empty()) return SkipReason::kOtherTable;
    return BadRecord{BadCode::kUnknownTable, "no watched table is declared for this topic"};
  }
  change.table = plan->index;
  change.op = op_of(envelope.op);
  return judge_images(change);
}

}  // namespace tidemark
