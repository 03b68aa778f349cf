// Kafka in this process: librdkafka's mock cluster, and a producer for it. No Java, no ports to
// choose, and errors on demand.
//
// What the mock is not: it keeps at most 5 MiB of a partition (older records are purged, and a
// record that is larger must be the partition's first), a fetch that finds nothing waits its full
// fetch.wait.max.ms, one answer carries one batch, the first member of a group waits 3 s, every
// topic that is asked for is made, and it knows no SASL, no TLS and no aborted transactions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemark {

class MockKafka {
 public:
  // Requests whose answers can be made errors. Kafka's API keys.
  enum class Api : std::int16_t {
    kFetch = 1,
    kListOffsets = 2,
    kMetadata = 3,
    kOffsetCommit = 8,
    kFindCoordinator = 10,
    kJoinGroup = 11,
    kHeartbeat = 12,
    kSyncGroup = 14,
  };

  struct Message {
    std::string topic;
    std::int32_t partition = 0;
    std::optional<std::string_view> key;    // none: null
    std::optional<std::string_view> value;  // none: null
    std::int64_t timestamp_ms = 0;          // 0: now
  };

  explicit MockKafka(int brokers = 1);
  ~MockKafka();
  MockKafka(const MockKafka&) = delete;
  MockKafka& operator=(const MockKafka&) = delete;

  const std::string& bootstrap_servers() const { return bootstrap_servers_; }
  // Properties of a member that finds this cluster, notices everything soon, and is in `group`.
  std::vector<std::pair<std::string, std::string>> properties(std::string_view group) const;

  void create_topic(const std::string& topic, int partitions);
  // Returns when the broker has it; its offset.
  std::int64_t produce(const Message& message);
  // `count` records with key and value "<first + i>", values filled up with blanks to
  // `value_bytes`. Returns when the broker has all of them.
  void produce_numbers(const std::string& topic, std::int32_t partition, int first, int count,
                       std::size_t value_bytes = 0);

  // The next requests of this kind fail with these codes (rd_kafka_resp_err_t), one each.
  // RD_KAFKA_RESP_ERR__TRANSPORT cuts the connection.
  void fail_next(Api api, const std::vector<int>& codes);
  void fail_no_more(Api api);  // forgets what fail_next() still holds
  // Every request about a topic fails so from now on; 0 ends it.
  void fail_topic(const std::string& topic, int code);
  // One broker (counted from 1), or all with -1.
  void set_down(int broker = -1);
  void set_up(int broker = -1);
  void move_leader(const std::string& topic, std::int32_t partition, int broker);
  void move_coordinator(const std::string& group, int broker);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string bootstrap_servers_;
};

}  // namespace tidemark
