#include "tests/cases/case_worlds.h"
#include "tests/support/fake_store.h"

namespace tidemark::testing {
namespace {

using nlohmann::json;

std::string name_of(const TopicPartition& where) {
  return where.topic + "[" + std::to_string(where.partition.value) + "]";
}

class MemoryWorld final : public CaseWorld {
 public:
  explicit MemoryWorld(const Declaration& declaration)
      : database_(declaration), store_(database_) {}

  Store& store() override { return store_; }

  json row(const Aggregate& aggregate, const std::string& key) override {
    json out;
    for (const Counter& counter : aggregate.counters) {
      const auto value = database_.cell(aggregate.name.name, key, counter.name);
      if (!value) return nullptr;
      out[counter.name] = *value;
    }
    out[aggregate.key] = is_integer(aggregate.key_type) ? json::parse(key) : json(key);
    return out;
  }

  json suspects() override {
    json out = json::object();
    for (const auto& [cell, cause] : database_.suspects()) {
      const auto& [aggregate, key, counter] = cell;
      out[aggregate + "." + counter + "[" + key + "]"] = cause_name(cause);
    }
    return out;
  }

  json ranges() override {
    json out = json::object();
    for (const auto& [range, cause] : database_.suspect_ranges()) {
      out[range.first + "." + range.second] = cause_name(cause);
    }
    return out;
  }

  json parked() override {
    json out = json::object();
    for (const ParkedRecord& record : database_.parked()) {
      out[name_of(record.where) + "@" + std::to_string(record.offset.value)] =
          code_name(record.bad.code);
    }
    return out;
  }

  json progress() override {
    json out = json::object();
    for (const auto& [where, progress] : database_.all_progress()) {
      out[name_of(where)] = progress.next.value;
    }
    return out;
  }

  json milestones() override { return nullptr; }
  void add_source_row(const QualifiedName&, const json&) override {}
  void recount(AggregateIndex, const std::vector<std::string>&) override {}

 private:
  FakeDatabase database_;
  FakeStore store_;
};

}  // namespace

std::unique_ptr<CaseWorld> memory_world(const Declaration& declaration) {
  return std::make_unique<MemoryWorld>(declaration);
}

}  // namespace tidemark::testing
