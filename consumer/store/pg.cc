#include "consumer/store/pg.h"

#include <charconv>
#include <exception>
#include <map>
#include <pqxx/pqxx>
#include <type_traits>
#include <utility>

#include "consumer/core/check.h"
#include "consumer/core/unknown_commit.h"
#include "consumer/store/pg_connect.h"

// A text parameter that may be NULL, which libpqxx 6 lacks.
template <>
struct pqxx::string_traits<std::optional<std::string>> {
  static constexpr const char* name() noexcept { return "optional text"; }
  static constexpr bool has_null() noexcept { return true; }
  static bool is_null(const std::optional<std::string>& value) { return !value.has_value(); }
  static const std::string& to_string(const std::optional<std::string>& value) { return *value; }
};

namespace tidemark {
namespace {

using Row = pqxx::result::size_type;
using ColumnNumber = pqxx::row::size_type;

pqxx::field field_of(const pqxx::result& result, std::size_t row, std::size_t column) {
  TIDEMARK_CHECK(row < result.size());
  return result[static_cast<Row>(row)][static_cast<ColumnNumber>(column)];
}

std::string milliseconds_text(std::chrono::milliseconds time) {
  return "'" + std::to_string(time.count()) + "ms'";
}

// SQL says the same whatever the database's, the role's or the operator's defaults are.
std::string session_sql(const PgOptions& options) {
  return "set search_path = pg_catalog; set timezone = 'UTC'; set datestyle = 'ISO';"
         "set standard_conforming_strings = on; set client_min_messages = warning;"
         "set default_transaction_isolation = 'read committed';"
         // Plans that don't depend on how long the arrays are; and a batch of half a million cells
         // whose results stay in memory.
         "set plan_cache_mode = force_generic_plan; set work_mem = '64MB';"
         // Statements are short, and others wait for the turn while they run: none is compiled,
         // however costly it is thought to be.
         "set jit = off;"
         "set synchronous_commit = " +
         std::string(options.synchronous_commit ? "on" : "off") +
         ";set lock_timeout = " + milliseconds_text(options.lock_timeout) +
         ";set statement_timeout = " + milliseconds_text(options.statement_timeout) +
         ";set idle_in_transaction_session_timeout = " +
         milliseconds_text(options.idle_in_transaction_timeout);
}

// Tells how long a statement took, however it ended.
class Timed {
 public:
  Timed(const StatementObserver& observer, const StatementName& statement)
      : observer_(observer), statement_(statement) {
    if (observer_) begin_ = std::chrono::steady_clock::now();
  }
  ~Timed() {
    if (observer_) observer_(statement_, std::chrono::steady_clock::now() - begin_);
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  const StatementObserver& observer_;
  const StatementName& statement_;
  std::chrono::steady_clock::time_point begin_{};
};

}  // namespace

// --- SqlResult ----------------------------------------------------------------------------------

SqlResult::SqlResult(pqxx::result&& result)
    : result_(std::make_shared<const pqxx::result>(std::move(result))) {}

std::size_t SqlResult::rows() const { return result_->size(); }

std::size_t SqlResult::columns() const { return result_->columns(); }

std::size_t SqlResult::affected() const { return result_->affected_rows(); }

bool SqlResult::is_null(std::size_t row, std::size_t column) const {
  return field_of(*result_, row, column).is_null();
}

std::string_view SqlResult::text(std::size_t row, std::size_t column) const {
  const pqxx::field field = field_of(*result_, row, column);
  return {field.c_str(), field.size()};
}

std::int64_t SqlResult::integer(std::size_t row, std::size_t column) const {
  const std::string_view digits = text(row, column);
  if (digits.empty()) return 0;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  TIDEMARK_CHECK(error == std::errc{} && end == digits.data() + digits.size());
  return number;
}

std::optional<std::int64_t> SqlResult::optional_integer(std::size_t row, std::size_t column) const {
  if (is_null(row, column)) return std::nullopt;
  return integer(row, column);
}

std::optional<std::string> SqlResult::optional_text(std::size_t row, std::size_t column) const {
  if (is_null(row, column)) return std::nullopt;
  return std::string(text(row, column));
}

// --- PgConnection -------------------------------------------------------------------------------

struct PgConnection::Impl {
  explicit Impl(StatementObserver observer) : on_statement(std::move(observer)) {}

  using Connection = pqxx::basic_connection_base<ConnectOnce>;

  const StatementObserver on_statement;
  PgWatch watch;
  std::unique_ptr<Connection> connection;
  bool broken = false;
  std::map<std::string, std::string> objects;  // of prepared statements, by name

  // Runs `work`, and turns what pqxx throws into a WorldError that names `statement`.
  template <class Work>
  auto guarded(const StatementName& statement, Work work) {
    TIDEMARK_CHECK(!broken);
    watch.diagnostics = {};
    const Timed timed(on_statement, statement);
    try {
      return work();
    } catch (const pqxx::broken_connection&) {
      broken = true;
    } catch (const pqxx::in_doubt_error&) {
      broken = true;
    } catch (const pqxx::failure&) {
      broken = watch.lost() || watch.diagnostics.sqlstate.empty() ||
               needs_new_session(watch.diagnostics.sqlstate);
    }
    throw world_error(statement.name, statement.object, watch.diagnostics);
  }

  StatementName name_of(const std::string& name) const {
    const auto found = objects.find(name);
    TIDEMARK_CHECK(found != objects.end());
    return {name, found->second};
  }
};

PgConnection::PgConnection(const PgOptions& options)
    : impl_(std::make_unique<Impl>(options.on_statement)) {
  connect(options, impl_->watch);
  ConnectOnce::adopt(impl_->watch.connection);
  impl_->guarded({"connect", ""}, [&] {
    impl_->connection = std::make_unique<Impl::Connection>(std::string());
    impl_->connection->set_verbosity(pqxx::connection_base::terse);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // to go in 7, where it is the only way
    impl_->connection->inhibit_reactivation(true);
#pragma GCC diagnostic pop
  });
  run_alone("set up the session", session_sql(options));
}

PgConnection::~PgConnection() = default;

void PgConnection::prepare(StatementName statement, const std::string& sql) {
  impl_->objects[statement.name] = statement.object;
  impl_->guarded(statement, [&] {
    impl_->connection->prepare(statement.name, sql);
    impl_->connection->prepare_now(statement.name);
  });
}

SqlResult PgConnection::run_alone(const std::string& what, const std::string& sql) {
  return impl_->guarded({what, ""}, [&] {
    pqxx::nontransaction alone(*impl_->connection);
    return SqlResult(alone.exec(sql));
  });
}

bool PgConnection::broken() const { return impl_->broken; }

int PgConnection::backend_pid() const { return impl_->connection->backendpid(); }

// --- PgTransaction ------------------------------------------------------------------------------

struct PgTransaction::Impl {
  PgConnection::Impl& connection;
  std::unique_ptr<pqxx::work> work;
};

PgTransaction::PgTransaction(PgConnection& connection)
    : impl_(std::make_unique<Impl>(Impl{*connection.impl_, nullptr})) {
  impl_->connection.guarded({"begin", ""}, [&] {
    impl_->work = std::make_unique<pqxx::work>(*impl_->connection.connection);
  });
}

PgTransaction::~PgTransaction() = default;

SqlResult PgTransaction::run(const std::string& name, const SqlParams& params) {
  return impl_->connection.guarded(impl_->connection.name_of(name), [&] {
    return SqlResult(impl_->work->exec_prepared(name, pqxx::prepare::make_dynamic_params(params)));
  });
}

SqlResult PgTransaction::run_sql(const StatementName& statement, const std::string& sql) {
  return impl_->connection.guarded(statement, [&] { return SqlResult(impl_->work->exec(sql)); });
}

SqlResult PgTransaction::run_sql(const StatementName& statement, const std::string& sql,
                                 const SqlParams& params) {
  return impl_->connection.guarded(statement, [&] {
    return SqlResult(impl_->work->exec_params(sql, pqxx::prepare::make_dynamic_params(params)));
  });
}

void PgTransaction::commit() {
  try {
    impl_->connection.guarded({"commit", ""}, [&] { impl_->work->commit(); });
  } catch (const WorldError& error) {
    if (error.sqlstate().empty()) throw UnknownCommit(error);
    throw;
  }
}

void PgTransaction::roll_back() {
  impl_->connection.guarded({"rollback", ""}, [&] { impl_->work->abort(); });
}

// --- PgSession ----------------------------------------------------------------------------------

PgSession::PgSession(PgOptions options, std::function<void(PgConnection&)> set_up)
    : options_(std::move(options)), set_up_(std::move(set_up)) {}

PgConnection& PgSession::get() {
  if (connection_ != nullptr && !connection_->broken()) return *connection_;
  connection_.reset();
  auto fresh = std::make_unique<PgConnection>(options_);
  set_up_(*fresh);
  connection_ = std::move(fresh);
  return *connection_;
}

}  // namespace tidemark
