#include "consumer/kafka/fetch_waker.h"

#include "consumer/kafka/kafka_conf.h"

namespace tidemark {
namespace {

// Fetchers are woken when this part of the queue's limit was delivered: early enough that the next
// answer is there before the rest is used up.
constexpr std::int64_t kWakesPerQueue = 4;
// A record's share of the queue's other limit, which counts records (100,000), in bytes.
constexpr std::int64_t kRecordShareBytes = 320;
constexpr std::int64_t kKilobyte = 1024;

}  // namespace

FetchWaker::FetchWaker(std::int64_t queue_kbytes)
    : every_bytes_(queue_kbytes * kKilobyte / kWakesPerQueue), left_bytes_(every_bytes_) {}

void FetchWaker::delivered(const rd_kafka_message_s& message, rd_kafka_s* client,
                           const KafkaProperties& properties) {
  left_bytes_ -= static_cast<std::int64_t>(message.len + message.key_len) + kRecordShareBytes;
  if (left_bytes_ > 0) [[likely]]
    return;
  left_bytes_ = every_bytes_;
  wake(client, properties);
}

// Setting the credentials that are set already is the one public call that wakes all fetchers and
// changes nothing.
void FetchWaker::wake(rd_kafka_s* client, const KafkaProperties& properties) {
  const std::string user = kafka_property(properties, "sasl.username");
  const std::string password = kafka_property(properties, "sasl.password");
  const KafkaError error(rd_kafka_sasl_set_credentials(client, user.c_str(), password.c_str()));
}

}  // namespace tidemark
