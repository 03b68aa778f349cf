#include "consumer/core/decode.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/unit/decode_tester.h"

namespace tidemark {
namespace {

using testing::event;
using testing::event_fields;
using testing::Fields;
using testing::full_row;
using testing::object;
using testing::row_with;

using DecodeEvent = testing::DecoderTest;

TEST_F(DecodeEvent, UpdateGivesBothRowsAndItsPlaceInTheSource) {
  ASSERT_EQ(code(decode(event("u", object(full_row()), row_with("i", "33")))), "decoded");
  EXPECT_EQ(change_.op, Op::kUpdate);
  EXPECT_EQ(change_.table, table("t"));
  EXPECT_EQ(change_.position, (Position{Lsn{10}, Lsn{20}}));
  EXPECT_EQ(change_.tx_id, 7u);
  EXPECT_EQ(change_.source_time_us, 5001);
  EXPECT_TRUE(change_.has_key);
  const RowImage before = {std::int64_t{1},        true,
                           std::int64_t{2},        std::int64_t{3},
                           std::string_view("x"),  std::string_view("track"),
                           std::string_view("{}"), std::int64_t{4},
                           std::int64_t{5000},     std::int64_t{6}};
  RowImage after = before;
  after[3] = std::int64_t{33};
  EXPECT_EQ(change_.before, before);
  EXPECT_EQ(change_.after, after);
}

TEST_F(DecodeEvent, AReusedChangeKeepsNothingOfTheEventBefore) {
  ASSERT_EQ(code(decode(event("u", object(full_row()), object(full_row())))), "decoded");
  const std::string bare = R"({"op":"t","source":{"schema":"public","table":"t"}})";
  ASSERT_EQ(code(decode(bare)), "decoded");
  EXPECT_EQ(change_.op, Op::kTruncate);
  EXPECT_TRUE(change_.before.empty());
  EXPECT_TRUE(change_.after.empty());
  EXPECT_EQ(change_.position, std::nullopt);
  EXPECT_EQ(change_.tx_id, std::nullopt);
  EXPECT_EQ(change_.source_time_us, 0);
}

TEST_F(DecodeEvent, EachOpIsTaken) {
  const std::string row = object(full_row());
  const std::vector<std::pair<std::string, Op>> ops = {{event("c", "null", row), Op::kCreate},
                                                       {event("u", row, row), Op::kUpdate},
                                                       {event("d", row, "null"), Op::kDelete},
                                                       {event("r", "null", row), Op::kRead},
                                                       {event("t", "null", "null"), Op::kTruncate}};
  for (const auto& [value, op] : ops) {
    EXPECT_EQ(code(decode(value)), "decoded");
    EXPECT_EQ(change_.op, op);
  }
}

TEST_F(DecodeEvent, ImageThatAnOpDoesNotHaveIsNotCounted) {
  const std::string row = object(full_row());
  ASSERT_EQ(code(decode(event("c", row, row))), "decoded");
  EXPECT_TRUE(change_.before.empty());
  ASSERT_EQ(code(decode(event("d", row, row))), "decoded");
  EXPECT_TRUE(change_.after.empty());
}

TEST_F(DecodeEvent, ImageThatAnOpMustHave) {
  EXPECT_EQ(code(decode(event("c", "null", "null"))), "missing_image");
  EXPECT_EQ(code(decode(event("r", "null", "null"))), "missing_image");
  EXPECT_EQ(code(decode(event("u", object(full_row()), "null"))), "missing_image");
}

TEST_F(DecodeEvent, DeleteAndUpdateWithoutBeforeAreTakenWithAnEmptyOne) {
  EXPECT_EQ(code(decode(event("d", "null", "null"))), "decoded");
  EXPECT_TRUE(change_.before.empty());
  EXPECT_EQ(code(decode(event("u", "null", object(full_row())))), "decoded");
  EXPECT_TRUE(change_.before.empty());
  EXPECT_FALSE(change_.after.empty());
}

TEST_F(DecodeEvent, NullKeyIsNoted) {
  Record record;
  const std::string value = event("c", "null", object(full_row()));
  record.value = value;
  ASSERT_EQ(code(decoder_.decode(record, {{table("t")}, false}, change_)), "decoded");
  EXPECT_FALSE(change_.has_key);
}

// --- What is no change ---

TEST_F(DecodeEvent, RecordsThatAreRightlyPassedOver) {
  EXPECT_EQ(code(decoder_.decode(Record{}, {{table("t")}, false}, change_)), "tombstone");
  EXPECT_EQ(code(decode(R"({"schema":null,"payload":null})")), "tombstone");
  EXPECT_EQ(code(decode_as("junk", {{}, true})), "heartbeat");
  EXPECT_EQ(code(decode(R"({"ts_ms":17})")), "heartbeat");
  EXPECT_EQ(code(decode(R"({"schema":{"type":"struct"},"payload":{"ts_ms":17}})")), "heartbeat");
  EXPECT_EQ(code(decode(R"({"op":"m","source":{"schema":"","table":""},"message":{"a":1}})")),
            "logical_message");
  EXPECT_EQ(code(decode(R"({"status":"BEGIN","id":"7:8","event_count":null,)"
                        R"("data_collections":null,"ts_ms":1})")),
            "transaction_metadata");
  EXPECT_EQ(code(decode(R"({"status":"END","id":"7:8","event_count":1,)"
                        R"("data_collections":[{"data_collection":"a.b","event_count":1}]})")),
            "transaction_metadata");
}

TEST_F(DecodeEvent, RowsThatOnlyLookLikeMetadataAreNotPassedOver) {
  EXPECT_EQ(code(decode(R"({"ts_ms":17,"id":1})")), "not_an_envelope");
  EXPECT_EQ(code(decode(R"({"status":"BEGIN","id":1,"user_id":2})")), "not_an_envelope");
  EXPECT_EQ(code(decode(R"({"status":"OPEN","id":1})")), "not_an_envelope");
}

TEST_F(DecodeEvent, UnwrappedRowNamesTheTransformToRemove) {
  const DecodeResult result = decode(R"({"id":1,"b":true,"__op":"c","__lsn":3})");
  EXPECT_EQ(code(result), "not_an_envelope");
  EXPECT_NE(reason(result).find("ExtractNewRecordState"), std::string::npos);
}

TEST_F(DecodeEvent, OtherJsonIsNoEnvelope) {
  for (const char* json : {"null", "1", "\"text\"", "[1,2]", "{}", R"({"payload":5})", " true "}) {
    EXPECT_EQ(code(decode(json)), "not_an_envelope") << json;
  }
  EXPECT_EQ(code(decode(R"({"source":{},"databaseName":"d","ddl":"create","tableChanges":[]})")),
            "not_an_envelope");
}

TEST_F(DecodeEvent, OpsAndSourcesThatAreUnknown) {
  EXPECT_EQ(code(decode(event("x", "null", "null"))), "unknown_op");
  EXPECT_EQ(code(decode(event("cc", "null", "null"))), "unknown_op");
  EXPECT_EQ(code(decode(R"({"op":1,"source":{"schema":"a","table":"b"}})")), "wrong_type");
  EXPECT_EQ(code(decode(R"({"op":"t"})")), "missing_source");
  EXPECT_EQ(code(decode(R"({"op":"t","source":null})")), "missing_source");
  EXPECT_EQ(code(decode(R"({"op":"t","source":{"schema":"public"}})")), "missing_source");
  EXPECT_EQ(code(decode(R"({"op":"t","source":{"schema":"public","table":null}})")),
            "missing_source");
  EXPECT_EQ(code(decode(R"({"op":"t","source":"s"})")), "wrong_type");
}

// --- Which table ---

TEST_F(DecodeEvent, SharedTopicTakesTheEventsOwnTable) {
  const TopicTables shared{{table("t"), table("u")}, false};
  const auto source = [](const char* name) {
    return std::string(R"({"schema":"public","table":")") + name + "\"}";
  };
  Fields fields = event_fields("c", "null", R"({"id":5})");
  fields[2].second = source("u");
  ASSERT_EQ(code(decode_as(object(fields), shared)), "decoded");
  EXPECT_EQ(change_.table, table("u"));
  EXPECT_EQ(change_.after, (RowImage{std::int64_t{5}}));
  fields[2].second = source("elsewhere");
  EXPECT_EQ(code(decode_as(object(fields), shared)), "other_table");
  EXPECT_EQ(code(decode_as(object(fields), {{table("u")}, false})), "decoded");  // a partition
  EXPECT_EQ(code(decode_as(object(fields), {{}, false})), "unknown_table");
}

TEST_F(DecodeEvent, SharedTopicKeepsTextsWithEscapes) {
  const std::string value = event("c", "null", row_with("txt", R"("a\tb")"));
  ASSERT_EQ(code(decode_as(value, {{table("u"), table("t")}, false})), "decoded");
  EXPECT_EQ(change_.after[4], Value(std::string_view("a\tb")));
}

// --- Partial images ---

TEST_F(DecodeEvent, BeforeWithAForbiddenNullIsPartialAndKeepsOnlyTheKey) {
  const std::string key_only = row_with("e", "null");
  ASSERT_EQ(code(decode(event("d", key_only, "null"))), "decoded");
  RowImage expected(10, Unknown{});
  expected[0] = std::int64_t{1};
  EXPECT_EQ(change_.before, expected);
}

// What Debezium 3.7 sends under REPLICA IDENTITY DEFAULT for columns that can't be null.
TEST_F(DecodeEvent, BeforeOfZerosBesideTheKeyIsPartial) {
  const TopicTables topic{{table("zeros")}, false};
  const std::string value = event("d", R"({"id":1,"flag":false,"n":0,"t":null})", "null");
  ASSERT_EQ(code(decode_as(value, topic)), "decoded");
  EXPECT_EQ(change_.before, (RowImage{std::int64_t{1}, Unknown{}, Unknown{}, Unknown{}}));
  const std::string known = event("d", R"({"id":1,"flag":true,"n":0,"t":null})", "null");
  ASSERT_EQ(code(decode_as(known, topic)), "decoded");
  EXPECT_EQ(change_.before, (RowImage{std::int64_t{1}, true, std::int64_t{0}, Null{}}));
}

TEST_F(DecodeEvent, BeforeOfATableWithoutFullIdentityKeepsOnlyTheKey) {
  const TopicTables topic{{table("partial")}, false};
  const std::string value = event("u", R"({"id":1,"n":2})", R"({"id":1,"n":3})");
  ASSERT_EQ(code(decode_as(value, topic)), "decoded");
  EXPECT_EQ(change_.before, (RowImage{std::int64_t{1}, Unknown{}}));
  EXPECT_EQ(change_.after, (RowImage{std::int64_t{1}, std::int64_t{3}}));
}

TEST_F(DecodeEvent, NullInAfterWhereNoneIsAllowed) {
  const DecodeResult result = decode(event("c", "null", row_with("e", "null")));
  EXPECT_EQ(code(result), "null_not_allowed");
  EXPECT_NE(reason(result).find("after.e"), std::string::npos);
}

TEST_F(DecodeEvent, MissingColumnIsNamed) {
  Fields fields = full_row();
  fields.erase(fields.begin() + 3);
  const DecodeResult result = decode(event("c", "null", object(fields)));
  EXPECT_EQ(code(result), "missing_column");
  EXPECT_EQ(reason(result), "after.i: the declared column is missing");
}

// --- The place in the source ---

class DecodeSequence : public testing::DecoderTest {
 protected:
  std::string decode_sequence(const std::string& json) {
    return code(
        decode(R"({"op":"t","source":{"schema":"public","table":"t","sequence":)" + json + "}}"));
  }
};

TEST_F(DecodeSequence, FormsThatDebeziumWrites) {
  EXPECT_EQ(decode_sequence(R"("[\"26965744\",\"26965808\"]")"), "decoded");
  EXPECT_EQ(change_.position, (Position{Lsn{26965744}, Lsn{26965808}}));
  EXPECT_EQ(decode_sequence(R"("[null,\"18446744073709551615\"]")"), "decoded");
  EXPECT_EQ(change_.position, (Position{std::nullopt, Lsn{~std::uint64_t{0}}}));
  for (const char* none : {"null", R"("[\"1\",null]")", R"("[null,null]")"}) {
    EXPECT_EQ(decode_sequence(none), "decoded");
    EXPECT_EQ(change_.position, std::nullopt) << none;
  }
}

TEST_F(DecodeSequence, OtherWhiteSpaceMeansTheSame) {
  EXPECT_EQ(decode_sequence(R"("[ \"1\" , \"2\" ]")"), "decoded");
  EXPECT_EQ(change_.position, (Position{Lsn{1}, Lsn{2}}));
  EXPECT_EQ(decode_sequence(R"("[\u0022\u0031\u0022,\"2\"]")"), "decoded");
  EXPECT_EQ(change_.position, (Position{Lsn{1}, Lsn{2}}));
}

TEST_F(DecodeSequence, OtherFormsAreRefused) {
  for (const char* bad : {"5", R"("")", R"("[]")", R"("[\"1\"]")", R"("[\"1\",\"2\",\"3\"]")",
                          R"("[\"\",\"2\"]")", R"("[\"-1\",\"2\"]")", R"("[1,2]")", R"("{}")",
                          R"("[\"1\",\"2\"")", R"("[\"0x1\",\"2\"]")", R"("[\"1 \",\"2\"]")"}) {
    EXPECT_EQ(decode_sequence(bad), "wrong_type") << bad;
  }
  EXPECT_EQ(decode_sequence(R"("[\"1\",\"18446744073709551616\"]")"), "out_of_range");
}

TEST_F(DecodeEvent, TransactionIdsOfStreamAndSnapshot) {
  const auto tx = [&](const std::string& json) {
    return code(
        decode(R"({"op":"t","source":{"schema":"public","table":"t","txId":)" + json + "}}"));
  };
  EXPECT_EQ(tx("17179869150"), "decoded");
  EXPECT_EQ(change_.tx_id, 17179869150u);
  EXPECT_EQ(tx("null"), "decoded");
  EXPECT_EQ(change_.tx_id, std::nullopt);
  EXPECT_EQ(tx("-1"), "out_of_range");
  EXPECT_EQ(tx("\"7\""), "wrong_type");
}

}  // namespace
}  // namespace tidemark
