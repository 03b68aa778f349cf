// The group's state, looked at again and again: what `tidemark status --watch` shows.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "consumer/kafka/kafka_options.h"
#include "consumer/service/status_lines.h"
#include "consumer/service/topic_ends.h"
#include "consumer/store/overview.h"

namespace tidemark {

struct LiveStatusOptions {
  PgOptions pg;
  KafkaProperties kafka;
  std::string group;
  std::chrono::seconds interval{};  // between looks, as it is told
  std::optional<PgOptions> source;  // where it is a second database, with Debezium's slot
  std::string slot;
};

// One thread. Postgres is asked as a status page does it; Kafka only where the topics end that
// stand in the stored state, and what it doesn't answer is told.
class LiveStatus {
 public:
  explicit LiveStatus(LiveStatusOptions options);

  // Looks, and says what it found. Throws WorldError until a look has succeeded; from then on the
  // last figures stay and the trouble is told beside them.
  std::vector<std::string> look();

 private:
  StatusLook read();
  void read_ends(StatusLook& look);

  LiveStatusOptions options_;
  OverviewReader reader_;
  std::optional<TopicEnds> ends_;
  std::optional<SlotLook> slot_;
  std::optional<StatusLook> before_;
  std::optional<StatusLook> now_;
};

}  // namespace tidemark
