// Rows of tidemark.parked as they are read.
#pragma once

#include <cstddef>

#include "consumer/store/admin.h"
#include "consumer/store/pg.h"

namespace tidemark {

// The columns of a ParkedRow, and of a ParkedDetail; a condition may follow.
inline constexpr const char* kParkedRowSql = R"(
select topic, partition, "offset", record_timestamp, code, reason, payload_bytes,
       to_char(parked_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
  from tidemark.parked)";
inline constexpr const char* kParkedDetailSql = R"(
select topic, partition, "offset", record_timestamp, code, reason, payload_bytes,
       to_char(parked_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), encode(key, 'hex'), encode(payload, 'hex')
  from tidemark.parked)";

ParkedRow parked_row(const SqlResult& rows, std::size_t row);
ParkedDetail parked_detail(const SqlResult& rows, std::size_t row);

}  // namespace tidemark
