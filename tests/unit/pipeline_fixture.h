// A pipeline between a fake source and a fake store, stepped by the test. Likes of posts: table
// `likes` (id, post) counts in aggregate `posts` (likes).
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "consumer/service/pipeline.h"
#include "tests/support/declarations.h"
#include "tests/support/envelope.h"
#include "tests/support/fake_source.h"
#include "tests/support/fake_store.h"

namespace tidemark::testing {

// Only a hang takes so long, on a busy machine too.
constexpr std::chrono::seconds kPatience{120};

// Keeps what it is told.
class RecordingObserver final : public PipelineObserver {
 public:
  struct Seen {
    std::size_t applied = 0;
    std::size_t retries = 0;
    std::size_t fenced = 0;
    std::size_t assigned = 0;
    std::size_t revoked = 0;
    std::size_t lost = 0;
    std::vector<std::string> data_loss;
    std::vector<TopicPartition> at_bound;
    std::vector<std::size_t> shrunk;
    std::vector<UnknownCommitEnd> unknown_commits;
  };

  Seen seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

  void on_applied(const Delta&, const ApplyResult&, const BatchNotes&) override {
    note([](Seen& seen) { ++seen.applied; });
  }
  void on_unknown_commit(UnknownCommitEnd ended) override {
    note([=](Seen& seen) { seen.unknown_commits.push_back(ended); });
  }
  void on_retry(const WorldError&, std::chrono::milliseconds) override {
    note([](Seen& seen) { ++seen.retries; });
  }
  void on_fenced() override {
    note([](Seen& seen) { ++seen.fenced; });
  }
  void on_assigned(std::span<const Claimed>) override {
    note([](Seen& seen) { ++seen.assigned; });
  }
  void on_revoked(bool lost) override {
    note([lost](Seen& seen) { ++(lost ? seen.lost : seen.revoked); });
  }
  void on_data_loss(const TopicPartition&, std::string_view reason) override {
    note([&](Seen& seen) { seen.data_loss.emplace_back(reason); });
  }
  void on_parked_bound(const TopicPartition& where) override {
    note([&](Seen& seen) { seen.at_bound.push_back(where); });
  }
  void on_shrunk(const WorldError&, std::size_t records_max) override {
    note([&](Seen& seen) { seen.shrunk.push_back(records_max); });
  }

 private:
  void note(const std::function<void(Seen&)>& change) {
    const std::lock_guard lock(mutex_);
    change(seen_);
  }

  mutable std::mutex mutex_;
  Seen seen_;
};

class PipelineTest : public ::testing::Test {
 protected:
  using Call = FakeStore::Call;

  // One run of a process: its member of the group, its stores, its pipeline.
  struct Member {
    Member(PipelineTest& test, FakeSource& s, PipelineOptions options, std::size_t lanes)
        : source(s) {
      std::vector<Store*> views;
      for (std::size_t i = 0; i < lanes; ++i) {
        stores.push_back(std::make_unique<FakeStore>(test.database));
        views.push_back(stores.back().get());
      }
      pipeline = std::make_unique<Pipeline>(
          test.declaration, source, views,
          [](const std::string&) {
            return TopicTables{{TableIndex(0)}, false};
          },
          observer, options);
    }
    FakeStore& store(std::size_t lane = 0) { return *stores[lane]; }

    FakeSource& source;
    RecordingObserver observer;
    std::vector<std::unique_ptr<FakeStore>> stores;
    std::unique_ptr<Pipeline> pipeline;
  };

  static TopicPartition at(std::int32_t partition) { return {"likes", Partition(partition)}; }

  // A batch ends when nothing more comes, or at its size: never by the clock.
  static PipelineOptions patient() {
    PipelineOptions options;
    options.batch.age_max = std::chrono::minutes(10);
    options.batch.catchup_age_max = std::chrono::minutes(10);
    return options;
  }

  std::unique_ptr<Member> member(PipelineOptions options = patient(), std::size_t lanes = 1) {
    return std::make_unique<Member>(*this, source, options, lanes);
  }
  // A member to whom the group has given the partitions from 0 to `partitions` - 1.
  std::unique_ptr<Member> started(int partitions = 1, PipelineOptions options = patient(),
                                  std::size_t lanes = 1) {
    auto one = member(options, lanes);
    give(partitions);
    return one;
  }
  void give(int partitions = 1) {
    std::vector<TopicPartition> all;
    for (int i = 0; i < partitions; ++i) all.push_back(at(i));
    source.give(all);
  }

  // New likes of a post.
  void like(std::string_view post, int times = 1, std::int32_t partition = 0) {
    for (int i = 0; i < times; ++i) {
      const int id = ++last_id_;
      lsn_ += 8;
      const nlohmann::json row = {{"id", id}, {"post", post}};
      source.append(
          at(partition), nlohmann::json{{"id", id}}.dump(),
          envelope({.table = "likes", .last_commit = lsn_, .lsn = lsn_}, 'c', nullptr, row));
    }
  }
  void junk(int times = 1, std::int32_t partition = 0) {
    for (int i = 0; i < times; ++i) source.append(at(partition), "k", "{\"cut");
  }

  // Steps until it is so; a test that waits in vain fails and goes on.
  template <class Condition>
  void until(Member& member, Condition&& condition) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= give_up) {
        ADD_FAILURE() << "waited in vain";
        return;
      }
      member.pipeline->step();
    }
  }
  // Until everything that the topics hold is applied.
  void until_caught_up(Member& member, int partitions = 1) {
    until(member, [&] {
      for (int i = 0; i < partitions; ++i) {
        if (database.progress(at(i)).next != source.high(at(i))) return false;
      }
      return true;
    });
  }
  // Likes of a post, as the database says; 0 without a row.
  std::int64_t likes(const std::string& post) const {
    return database.cell("posts", post, "likes").value_or(0);
  }

  const Declaration declaration = DeclarationBuilder()
                                      .aggregate("posts", "post", {"likes"}, ColumnType::kText)
                                      .table("likes")
                                      .key_column("id", ColumnType::kInteger)
                                      .column("post", ColumnType::kText)
                                      .adds("posts", "likes", "post")
                                      .build();
  FakeDatabase database{declaration};
  FakeSource source;

 private:
  int last_id_ = 0;
  std::uint64_t lsn_ = 1000;
};

}  // namespace tidemark::testing
