// The database wrapper: array literals, sessions, and errors by kind without values.
#include <gmock/gmock.h>

#include "consumer/store/array_literal.h"
#include "consumer/store/pg_error.h"
#include "tests/support/pg_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PgTest : public StoreTest {
 protected:
  PgConnection connection_{options()};

  WorldError failing(const std::string& statement) {
    return error_of([&] { PgTransaction(connection_).run_sql({"probe", "an object"}, statement); });
  }
};

TEST(ArrayLiteral, NumbersAndNulls) {
  ArrayLiteral array;
  array.add(std::int64_t{-9223372036854775807} - 1);
  array.add_null();
  array.add(7);
  EXPECT_EQ(array.take(), "{-9223372036854775808,NULL,7}");
  EXPECT_EQ(array.take(), "{}") << "empty again after take";
}

TEST_F(PgTest, TextArraysComeBackAsTheyWent) {
  const std::vector<std::string> texts = {"",    "NULL", "a\"b", "back\\slash", "{1,2}",     "it's",
                                          "a,b", " x ",  "\n\t", "ü€😀",         "'; drop --"};
  PgTransaction transaction(connection_);
  const SqlResult rows = transaction.run_sql({"probe", ""}, "select * from unnest($1::text[])",
                                             {array_of(std::span(texts))});
  ASSERT_EQ(rows.rows(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(rows.text(i, 0), texts[i]);
}

TEST_F(PgTest, SessionDoesNotDependOnTheDatabasesDefaults) {
  sql("alter database " + sql("select quote_ident(current_database())") +
      " set search_path = public");
  sql("alter database " + sql("select quote_ident(current_database())") +
      " set timezone = 'Europe/Berlin'");
  sql("alter database " + sql("select quote_ident(current_database())") + " set jit = on");
  PgOptions usual;
  usual.connection = dsn_;
  PgConnection fresh(usual);
  PgTransaction transaction(fresh);
  const SqlResult row = transaction.run_sql(
      {"probe", ""},
      "select current_setting('search_path'), current_setting('timezone'),"
      " current_setting('lock_timeout'), current_setting('client_encoding'),"
      " current_setting('application_name'), current_setting('statement_timeout'),"
      " current_setting('jit')");
  EXPECT_EQ(row.text(0, 0), "pg_catalog");
  EXPECT_EQ(row.text(0, 1), "UTC");
  EXPECT_EQ(row.text(0, 2), "2s");
  EXPECT_EQ(row.text(0, 3), "UTF8");
  EXPECT_EQ(row.text(0, 4), "tidemark");
  EXPECT_EQ(row.text(0, 5), "30s");
  EXPECT_EQ(row.text(0, 6), "off");
}

// --- errors -------------------------------------------------------------------------------------

TEST_F(PgTest, BadValueIsToldWithoutTheValue) {
  const WorldError error = failing("select 'secret7'::integer");
  EXPECT_EQ(error.kind(), ErrorKind::kBadData);
  EXPECT_EQ(error.sqlstate(), "22P02");
  EXPECT_THAT(error.what(), HasSubstr("statement 'probe' on an object: SQLSTATE 22P02"));
  EXPECT_THAT(error.what(), Not(HasSubstr("secret7")));
}

TEST_F(PgTest, ConstraintIsNamedWithoutTheKey) {
  sql("insert into public.aggregate_user (user_id) values (4711)");
  const WorldError error = failing("insert into public.aggregate_user (user_id) values (4711)");
  EXPECT_EQ(error.kind(), ErrorKind::kFatal);
  EXPECT_THAT(error.what(), HasSubstr("table public.aggregate_user"));
  EXPECT_THAT(error.what(), HasSubstr("constraint aggregate_user_pkey"));
  EXPECT_THAT(error.what(), Not(HasSubstr("4711")));
}

TEST_F(PgTest, NullInNotNullColumnNamesTheColumnAndNotTheRow) {
  const WorldError error =
      failing("insert into public.aggregate_user (user_id, score) values (4711, null)");
  EXPECT_EQ(error.kind(), ErrorKind::kFatal);
  EXPECT_THAT(error.what(), HasSubstr("column score"));
  EXPECT_THAT(error.what(), Not(HasSubstr("4711")));
}

TEST_F(PgTest, WhatATriggerRaisesIsNotRepeated) {
  const WorldError error = failing("do $$ begin raise exception 'user 4711 is bad'; end $$");
  EXPECT_EQ(error.kind(), ErrorKind::kFatal);
  EXPECT_EQ(error.sqlstate(), "P0001");
  EXPECT_THAT(error.what(), Not(HasSubstr("4711")));
}

TEST_F(PgTest, MissingColumnIsNamed) {
  const WorldError error = failing("select nosuch from public.aggregate_user");
  EXPECT_EQ(error.kind(), ErrorKind::kFatal);
  EXPECT_THAT(error.what(), HasSubstr("42703"));
  EXPECT_THAT(error.what(), HasSubstr("nosuch"));
}

TEST_F(PgTest, MissingRightIsDenied) {
  sql("drop role if exists store_test_nobody; create role store_test_nobody login");
  PgConnection nobody(options_as("store_test_nobody"));
  const WorldError error = error_of([&] {
    PgTransaction(nobody).run_sql({"probe", ""}, "select from public.aggregate_user");
  });
  EXPECT_EQ(error.kind(), ErrorKind::kDenied);
  EXPECT_THAT(error.what(), HasSubstr("permission denied for table aggregate_user"));
}

TEST_F(PgTest, StatementTimeoutAsksForASmallerBatch) {
  PgOptions hasty = options();
  hasty.statement_timeout = std::chrono::milliseconds(500);  // enough to connect
  PgConnection connection(hasty);
  const WorldError error = error_of([&] {
    PgTransaction(connection).run_sql({"probe", ""}, "select pg_sleep(20)");
  });
  EXPECT_EQ(error.kind(), ErrorKind::kShrink);
  EXPECT_FALSE(connection.broken());
}

TEST_F(PgTest, SessionGoesOnAfterAnError) {
  failing("select 1/0");
  EXPECT_FALSE(connection_.broken());
  PgTransaction transaction(connection_);
  EXPECT_EQ(transaction.run_sql({"probe", ""}, "select 1").integer(0, 0), 1);
}

TEST_F(PgTest, LostConnectionIsBrokenAndNeverReconnects) {
  PgTransaction transaction(connection_);
  sql("select pg_terminate_backend(" + std::to_string(connection_.backend_pid()) + ", 10000)");
  const WorldError error = error_of([&] { transaction.run_sql({"probe", ""}, "select 1"); });
  EXPECT_EQ(error.kind(), ErrorKind::kRetry);
  EXPECT_TRUE(connection_.broken());
}

TEST_F(PgTest, LostConnectionAtCommitIsInDoubtAndRetried) {
  PgTransaction transaction(connection_);
  transaction.run_sql({"probe", ""}, "select 1");
  sql("select pg_terminate_backend(" + std::to_string(connection_.backend_pid()) + ", 10000)");
  EXPECT_EQ(error_of([&] { transaction.commit(); }).kind(), ErrorKind::kRetry);
  EXPECT_TRUE(connection_.broken());
}

TEST_F(PgTest, ServerThatBecameReadOnlyIsLeftForThePrimary) {
  connection_.run_alone("probe", "set default_transaction_read_only = on");
  const WorldError error = failing("insert into public.aggregate_user (user_id) values (1)");
  EXPECT_EQ(error.kind(), ErrorKind::kRetry);
  EXPECT_EQ(error.sqlstate(), "25006");
  EXPECT_TRUE(connection_.broken());
}

TEST_F(PgTest, SessionIsReplacedAfterItBroke) {
  int set_up = 0;
  PgSession session(options(), [&](PgConnection&) { ++set_up; });
  const int pid = session.get().backend_pid();
  EXPECT_EQ(session.get().backend_pid(), pid);
  sql("select pg_terminate_backend(" + std::to_string(pid) + ", 10000)");
  error_of([&] { session.get().run_alone("probe", "select 1"); });
  EXPECT_NE(session.get().backend_pid(), pid);
  EXPECT_EQ(set_up, 2);
}

// --- connecting ---------------------------------------------------------------------------------

TEST_F(PgTest, ReadOnlyServerIsRefusedAndTriedAgain) {
  PgOptions standby = options();
  standby.connection += " options='-c default_transaction_read_only=on'";
  const WorldError error = error_of([&] { PgConnection connection(standby); });
  EXPECT_EQ(error.kind(), ErrorKind::kRetry);
  EXPECT_THAT(error.what(), HasSubstr("read-only"));
}

TEST_F(PgTest, UnknownDatabaseIsFatalAndNamed) {
  PgOptions wrong = options();
  wrong.connection += " dbname=nosuch";
  const WorldError error = error_of([&] { PgConnection connection(wrong); });
  EXPECT_EQ(error.kind(), ErrorKind::kFatal);
  EXPECT_EQ(error.sqlstate(), "3D000");
  EXPECT_THAT(error.what(), HasSubstr("check dbname"));
}

TEST_F(PgTest, UnknownRoleIsDenied) {
  EXPECT_EQ(error_of([&] { PgConnection connection(options_as("nosuch")); }).kind(),
            ErrorKind::kDenied);
}

TEST(PgConnect, NobodyListeningIsRetried) {
  PgOptions nobody;
  nobody.connection = "host=127.0.0.1 port=1 dbname=x user=x";
  EXPECT_EQ(error_of([&] { PgConnection connection(nobody); }).kind(), ErrorKind::kRetry);
}

TEST(PgConnect, UnreadableStringDoesNotRepeatThePassword) {
  PgOptions garbage;
  garbage.connection = "host=x password='hunter2";
  const WorldError error = error_of([&] { PgConnection connection(garbage); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.what(), Not(HasSubstr("hunter2")));
}

TEST(PgError, KindsOfStates) {
  for (const char* state : {"40P01", "40001", "57P01", "57P02", "57P03", "53300", "53100", "55P03",
                            "25006", "08006", "25P03", ""}) {
    EXPECT_EQ(kind_of(state), ErrorKind::kRetry) << state;
  }
  for (const char* state : {"57014", "53200"}) EXPECT_EQ(kind_of(state), ErrorKind::kShrink);
  for (const char* state : {"22003", "22P02"}) EXPECT_EQ(kind_of(state), ErrorKind::kBadData);
  for (const char* state : {"23514", "42703", "42P01", "P0001"}) {
    EXPECT_EQ(kind_of(state), ErrorKind::kFatal) << state;
  }
  for (const char* state : {"42501", "28P01"}) EXPECT_EQ(kind_of(state), ErrorKind::kDenied);
}

}  // namespace
}  // namespace tidemark::testing
