#include "consumer/service/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Readiness, NamesEachReason) {
  Metrics metrics("1", "h");
  Readiness readiness(metrics);
  readiness.broker_reachable = false;
  metrics.on_retry(WorldError(ErrorKind::kRetry, "gone"), std::chrono::milliseconds(1));
  const HttpAnswer answer = readiness.answer({.verbose = true});
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body,
            "[-] running: starting, or stopping\n"
            "[+] partitions\n"
            "[-] postgres: Postgres refuses or can't be reached; trying again\n"
            "[-] kafka: no Kafka broker answers\n"
            "[+] parked\n"
            "not ready\n");
  EXPECT_EQ(readiness.answer({}).body,
            "starting, or stopping\nPostgres refuses or can't be reached; trying again\n"
            "no Kafka broker answers\n");
}

TEST(Readiness, TellsNamesAloneToWhoIsNotTrusted) {
  Metrics metrics("1", "h");
  Readiness readiness(metrics);
  readiness.broker_reachable = false;
  EXPECT_EQ(readiness.answer({.trusted = false}).body, "running\nkafka\n");
  const std::string body = readiness.answer({.verbose = true, .trusted = false}).body;
  EXPECT_THAT(body, HasSubstr("[-] kafka\n"));
  EXPECT_THAT(body, Not(HasSubstr("broker")));
}

}  // namespace
}  // namespace tidemark
