// Strong types for the quantities that would otherwise be interchangeable integers.
//
// Two different quantities never convert into each other; a swapped argument does not compile.
// Each is a trivially copyable wrapper that compares and hashes like its number.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace tidemark {

// A number with a unit. `Tag` keeps units apart; `value` is the number itself.
template <class Tag, class T>
struct Strong {
  T value{};

  constexpr Strong() = default;
  constexpr explicit Strong(T v) : value(v) {}
  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;
};

// A record's offset in its partition.
using Offset = Strong<struct OffsetTag, std::int64_t>;
// A partition's number in its topic.
using Partition = Strong<struct PartitionTag, std::int32_t>;
// A partition owner's generation. Our own counter, raised by each new owner (rule P1).
using Epoch = Strong<struct EpochTag, std::int64_t>;
// A PostgreSQL write-ahead log position, in bytes.
using Lsn = Strong<struct LsnTag, std::uint64_t>;
// Milliseconds since 1970 in UTC, as a Kafka record's timestamp.
using KafkaTimestamp = Strong<struct KafkaTimestampTag, std::int64_t>;
// A 64-bit XXH3 hash. Stored in Postgres; never change the function.
using Hash64 = Strong<struct Hash64Tag, std::uint64_t>;

// Indexes into the vectors of a Declaration.
using TableIndex = Strong<struct TableIndexTag, std::uint32_t>;
using ColumnIndex = Strong<struct ColumnIndexTag, std::uint32_t>;
using AggregateIndex = Strong<struct AggregateIndexTag, std::uint32_t>;
using CounterIndex = Strong<struct CounterIndexTag, std::uint32_t>;
using RuleIndex = Strong<struct RuleIndexTag, std::uint32_t>;

// One partition of one topic.
struct TopicPartition {
  std::string topic;
  Partition partition;

  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

}  // namespace tidemark

template <class Tag, class T>
struct std::hash<tidemark::Strong<Tag, T>> {
  std::size_t operator()(const tidemark::Strong<Tag, T>& s) const noexcept {
    return std::hash<T>{}(s.value);
  }
};

template <>
struct std::hash<tidemark::TopicPartition> {
  std::size_t operator()(const tidemark::TopicPartition& tp) const noexcept {
    return std::hash<std::string>{}(tp.topic) * 31 + static_cast<std::size_t>(tp.partition.value);
  }
};
