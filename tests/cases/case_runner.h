// Plays a case file on a store.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "consumer/core/decode.h"
#include "consumer/core/fold.h"
#include "consumer/core/ports.h"
#include "tests/support/case_file.h"

namespace tidemark::testing {

// Where a case's effects go, and how they are seen. Names as in the case files.
class CaseWorld {
 public:
  virtual ~CaseWorld() = default;

  virtual Store& store() = 0;
  // A row as an object of its columns; null when there is none.
  virtual nlohmann::json row(const Aggregate& aggregate, const std::string& key) = 0;
  virtual nlohmann::json suspects() = 0;
  virtual nlohmann::json ranges() = 0;
  virtual nlohmann::json parked() = 0;
  virtual nlohmann::json progress() = 0;
  // What is announced, with who is told; null: a store that announces nothing.
  virtual nlohmann::json milestones() = 0;
  virtual void add_source_row(const QualifiedName& table, const nlohmann::json& row) = 0;
  // Recounts the rows of these keys.
  virtual void recount(AggregateIndex aggregate, const std::vector<std::string>& keys) = 0;
};

enum class CaseBatches : std::uint8_t { kAsWritten, kOneByOne };

// Failures are googletest's, each with file and line of the case.
class CaseRunner {
 public:
  CaseRunner(const Declaration& declaration, CaseWorld& world, CaseBatches batches);

  void run(const CaseFile& file);

 private:
  struct Message {
    std::size_t partition;  // index into partitions_
    Offset offset;
    std::optional<std::string> key;
    std::optional<std::string> value;
  };
  struct PartitionLog {
    TopicPartition where;
    TableIndex table;
    Offset high{0};
  };

  void play(const CaseStep& step);
  bool play_event(const CaseStep& step);
  bool play_trouble(const CaseStep& step);
  bool play_question(const CaseStep& step);
  void add_event(const CaseStep& step, const nlohmann::json& before, const nlohmann::json& after);
  void add_message(const CaseStep& step, std::optional<std::string> key,
                   std::optional<std::string> value);
  void redeliver(std::size_t count);
  void claim();
  void apply_all();
  void feed(const Message& message);
  void apply_batch();
  void check_rows(const CaseStep& step);
  void check_milestones();
  void recount(const CaseStep& step);

  nlohmann::json filled(const std::string& table, const nlohmann::json& row) const;
  std::optional<std::string> key_of(const std::string& table, const nlohmann::json& row) const;
  std::size_t partition_of(const std::string& table);
  TableIndex table_index(const std::string& name) const;
  AggregateIndex aggregate_index(const std::string& name) const;
  const Aggregate& aggregate(const std::string& name) const;

  const Declaration& declaration_;
  CaseWorld& world_;
  CaseBatches batches_;
  Decoder decoder_;
  Fold fold_;
  Change change_;
  std::map<std::string, nlohmann::json> usual_;     // by table
  nlohmann::json with_ = nlohmann::json::object();  // for the next record
  std::optional<std::uint64_t> commit_ = 1000;
  std::uint64_t lsn_ = 1000;
  std::vector<PartitionLog> partitions_;
  std::vector<Message> log_;
  std::size_t fed_ = 0;  // how much of the log was fed to the fold
  bool claimed_ = false;
  bool fenced_ = false;      // the next batch must be
  bool lose_reply_ = false;  // of the next batch
  std::size_t duplicates_ = 0;
  nlohmann::json expected_;  // suspects, ranges, parked and milestones, as last asked
};

}  // namespace tidemark::testing
