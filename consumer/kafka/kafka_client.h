// librdkafka's client and message as owners, and a client without a group. For headers: it doesn't
// include librdkafka's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "consumer/core/ports.h"
#include "consumer/kafka/connection_watch.h"
#include "consumer/kafka/fetch_waker.h"
#include "consumer/kafka/kafka_options.h"
#include "consumer/kafka/say_once.h"

struct rd_kafka_s;
struct rd_kafka_message_s;

namespace tidemark {

struct DestroyKafkaClient {
  // Within a second: what takes longer is left to the process's end.
  void operator()(rd_kafka_s* client) const noexcept;
};
struct DestroyKafkaMessage {
  void operator()(rd_kafka_message_s* message) const noexcept;
};
using KafkaClient = std::unique_ptr<rd_kafka_s, DestroyKafkaClient>;
using KafkaMessage = std::unique_ptr<rd_kafka_message_s, DestroyKafkaMessage>;

// An error as librdkafka tells it. `topic` may be empty, `partition` and `offset` negative.
struct KafkaTrouble {
  int code = 0;
  std::string_view topic;
  std::int32_t partition = -1;
  std::int64_t offset = -1;
  std::string_view text;
};

// What a client beside the group is for. Who asks is told of partitions' ends whatever
// transactions are open: behind an open one lie records that nobody is given yet. Who reads is
// given committed records, and where a partition ends as an event.
enum class LoneUse { kAsk, kRead };

// Reads and asks beside the group: has its group.id, and never joins it. Tells a broker that can't
// be reached from one that refuses us, as KafkaSource does. Of the callbacks in the options it
// calls on_log alone. One thread.
class LoneKafkaClient {
 public:
  // Throws WorldError(kConfig) when properties can't be used. Waits for no broker.
  LoneKafkaClient(KafkaOptions options, LoneUse use);
  LoneKafkaClient(const LoneKafkaClient&) = delete;
  LoneKafkaClient& operator=(const LoneKafkaClient&) = delete;

  rd_kafka_s* get() const { return client_.get(); }
  const KafkaOptions& options() const { return options_; }

  // Must be called for each message that is no error.
  void delivered(const rd_kafka_message_s& message) {
    waker_.delivered(message, client_.get(), options_.properties);
  }
  // A broker has answered.
  void heard() { watch_.heard(); }
  // Throws kAct's WorldError when librdkafka reported such an error, and kDenied when log-in or TLS
  // is refused for longer than auth_patience. May ask a broker, for half a second, after a refusal.
  void check();
  // Throws for an error that ends a call: kDenied, kConfig or kFatal as KafkaSource does, else
  // kRetry.
  [[noreturn]] void fail(const KafkaTrouble& trouble);
  // The last report that a topic or partition that is read is missing, once; empty: none.
  std::string take_missing() { return std::exchange(missing_, {}); }
  // For who only asks: handles what librdkafka has queued meanwhile. Reads nothing.
  void serve();
  // One line in the log, the same one once a minute at most.
  void say_once(std::string_view facility, const KafkaTrouble& trouble);

 private:
  struct Callbacks;  // librdkafka's C callbacks, which lead back into this object

  void take_error(int code, std::string_view text);
  void say(KafkaLogLevel level, std::string_view facility, std::string message) const;

  KafkaOptions options_;
  ConnectionWatch watch_;
  FetchWaker waker_;
  SayOnce say_once_;
  std::string missing_;
  std::optional<WorldError> failure_;  // from a callback, through which nothing can be thrown
  KafkaClient client_;                 // the last member, so the first to end
};

}  // namespace tidemark
