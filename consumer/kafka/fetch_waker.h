// Keeps librdkafka's fetchers awake. A fetcher of 2.0.2 that finds the queue full sleeps for a
// second, and nothing but an event wakes it when there is room again (fetch.queue.backoff.ms came
// with 2.3): a fast reader would get one queue a second.
#pragma once

#include <cstdint>

#include "consumer/kafka/kafka_options.h"

struct rd_kafka_s;
struct rd_kafka_message_s;

namespace tidemark {

class FetchWaker {
 public:
  FetchWaker() = default;  // for a queue without room: wakes each time
  explicit FetchWaker(std::int64_t queue_kbytes);

  // A message was taken off the queue. Wakes the fetchers when it is time.
  void delivered(const rd_kafka_message_s& message, rd_kafka_s* client,
                 const KafkaProperties& properties);

 private:
  static void wake(rd_kafka_s* client, const KafkaProperties& properties);

  // Bytes delivered until the fetchers are woken again, and how many at most.
  std::int64_t every_bytes_ = 0;
  std::int64_t left_bytes_ = 0;
};

}  // namespace tidemark
