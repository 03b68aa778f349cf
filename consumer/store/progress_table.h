// Rows of tidemark.progress as they are read: by whoever claims them, and by whoever only looks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
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

inline constexpr std::size_t kClaimedCount = 13;  // how many they are

Claimed read_claimed(const SqlResult& rows, std::size_t row);

// What read_seen runs, prepared under its name; `table` has the columns of tidemark.progress.
std::string seen_sql(const std::string& table);
// The identities at the marks, into rows that were read in this transaction, in the same order as
// the keys: arrays of topics and partitions.
void read_seen(PgTransaction& transaction, const std::string& topics, const std::string& partitions,
               std::vector<Claimed>& claimed);

}  // namespace tidemark
