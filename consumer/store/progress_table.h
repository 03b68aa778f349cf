// Rows of tidemark.progress as they are read: by whoever claims them, and by whoever only looks.
#pragma once

#include <cstdint>
#include <vector>

#include "consumer/core/ports.h"
#include "consumer/store/pg.h"

namespace tidemark {

// The columns that read_claimed reads, of a row that is named p; the count of parked records last.
inline constexpr const char* kClaimedColumns =
    "p.topic, p.partition, p.epoch, p.next_offset, p.mark_commit, p.mark_lsn,"
    " p.fingerprint_offset, p.fingerprint_timestamp, p.fingerprint_key, p.fingerprint_value,"
    " p.touch_below, p.touch_until,"
    " (select count(*) from tidemark.parked k"
    " where k.topic = p.topic and k.partition = p.partition)";

Claimed read_claimed(const SqlResult& rows, std::size_t row);

// Prepares what the next one runs.
void prepare_seen(PgConnection& connection);
// The identities at the marks, into rows that were read in this transaction, in the same order as
// the keys: arrays of topics and partitions.
void read_seen(PgTransaction& transaction, const std::string& topics, const std::string& partitions,
               std::vector<Claimed>& claimed);

}  // namespace tidemark
