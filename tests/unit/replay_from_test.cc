// What `tidemark replay --from` understands.
#include <gtest/gtest.h>

#include "consumer/service/replay_commands.h"

namespace tidemark {
namespace {

TEST(ReplayFrom, TheBeginningAnOffsetOrATimeIsUnderstood) {
  EXPECT_EQ(parse_replay_from("beginning"), ReplayFrom(FromBeginning{}));
  EXPECT_EQ(parse_replay_from("0"), ReplayFrom(Offset(0)));
  EXPECT_EQ(parse_replay_from("1234567890123"), ReplayFrom(Offset(1'234'567'890'123)));
  EXPECT_EQ(parse_replay_from("1970-01-01T00:00:01.5Z"), ReplayFrom(KafkaTimestamp(1'500)));
  EXPECT_EQ(parse_replay_from("1970-01-01T00:00:01"), ReplayFrom(KafkaTimestamp(1'000)));
  EXPECT_EQ(parse_replay_from("1970-01-01T01:00:01+01:00"), ReplayFrom(KafkaTimestamp(1'000)));
}

TEST(ReplayFrom, AnythingElseIsRefusedRatherThanGuessed) {
  for (const char* text :
       {"", "-1", "12x", "99999999999999999999", "earliest", "2026-13-01T00:00Z", "yesterday"}) {
    EXPECT_EQ(parse_replay_from(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace tidemark
