// A handful of librdkafka's own figures, in the registry of a member's Metrics.
#pragma once

#include <memory>
#include <string_view>

namespace prometheus {
class Registry;
}

namespace tidemark {

// One thread at a time.
class KafkaMetrics {
 public:
  explicit KafkaMetrics(prometheus::Registry& registry);
  ~KafkaMetrics();

  // librdkafka's statistics (STATISTICS.md), as JSON. What can't be read is passed over.
  void update(std::string_view statistics);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
