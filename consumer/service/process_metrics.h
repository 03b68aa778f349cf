// The process's own figures, by Prometheus' usual names, and the memory that it may have.
#pragma once

#include <memory>

namespace prometheus {
class Registry;
}

namespace tidemark {

// One thread at a time.
class ProcessMetrics {
 public:
  explicit ProcessMetrics(prometheus::Registry& registry);
  ~ProcessMetrics();

  // Reads them from /proc.
  void update();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
