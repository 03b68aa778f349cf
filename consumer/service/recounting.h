// A running recounter with what it needs of Kafka and Postgres, made from the configuration.
#pragma once

#include <memory>

#include "consumer/kafka/end_offsets.h"
#include "consumer/service/config.h"
#include "consumer/service/recounter.h"
#include "consumer/store/pg_recount.h"

namespace tidemark {

class Recounting {
 public:
  // Declaration and observer must outlive it.
  Recounting(const Config& config, const Declaration& declaration, RecountObserver& observer);

  // Rethrows what the recounter can't go on with.
  void check() { recounter_.check(); }

 private:
  TopicLook look();

  KafkaOptions kafka_;
  EndOffsets end_offsets_;
  PgRecount store_;
  Recounter recounter_;  // last: its thread ends before what it uses
};

}  // namespace tidemark
