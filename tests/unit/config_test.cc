#include "consumer/service/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <sstream>

#include "tests/support/declarations.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

using Environment = std::map<std::string, std::string>;

const std::filesystem::path kExample =
    std::filesystem::path(TIDEMARK_SOURCE_DIR) / "ops" / "tidemark.example.toml";

// The least that a configuration must say.
constexpr const char* kLeast = R"(
[kafka]
bootstrap.servers = "broker:9092"
group.id = "counters"
[topics]
prefix = "app"
[postgres]
connection = "dbname=app"
)";

Config config_of(const std::string& text, const Environment& environment = {}) {
  auto parsed = parse_config("/etc/tidemark/tidemark.toml", text, environment);
  if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&parsed)) {
    ADD_FAILURE() << errors->front().text();
    return {};
  }
  return std::get<Config>(std::move(parsed));
}

std::vector<DeclarationError> errors_of(const std::string& text,
                                        const Environment& environment = {}) {
  auto parsed = parse_config("tidemark.toml", text, environment);
  if (std::holds_alternative<Config>(parsed)) return {};
  return std::get<std::vector<DeclarationError>>(std::move(parsed));
}

std::string error_of(const std::string& text, const Environment& environment = {}) {
  const auto errors = errors_of(text, environment);
  EXPECT_EQ(errors.size(), 1U);
  return errors.empty() ? "" : errors.front().text();
}

std::string example() {
  std::ifstream in(kExample);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(Config, TheLeastThatMustBeSaid) {
  const Config config = config_of(kLeast);
  EXPECT_THAT(config.kafka, UnorderedElementsAre(std::pair("bootstrap.servers", "broker:9092"),
                                                 std::pair("group.id", "counters")));
  EXPECT_EQ(config.topics.prefix, "app");
  EXPECT_EQ(config.postgres.connection, "dbname=app");
  EXPECT_EQ(config.lanes, 2U);
  EXPECT_EQ(config.http.port, 9464);
}

TEST(Config, KafkaPropertiesAreTextsWhateverTheyWere) {
  const Config config = config_of(std::string(kLeast) + R"(
[kafka.socket]
timeout.ms = 500
keepalive.enable = true
)");
  EXPECT_THAT(config.kafka, UnorderedElementsAre(std::pair("bootstrap.servers", "broker:9092"),
                                                 std::pair("group.id", "counters"),
                                                 std::pair("socket.timeout.ms", "500"),
                                                 std::pair("socket.keepalive.enable", "true")));
}

TEST(Config, EverythingCanBeSet) {
  const Config config = config_of(std::string(kLeast) + R"(
lock_timeout_ms = 11
statement_timeout_ms = 12
[schemas]
path = "declared"
[batch]
lanes = 3
rows_max = 21
records_max = 22
bytes_max = 23
age_max_ms = 24
catchup_age_max_ms = 25
catchup_records = 26
[derive]
enabled = false
threads = 0
users_max = 27
slow_ms = 28
sweep_every_ms = 100000000
[limits]
message_bytes_max = 2048
depth_max = 32
parked_max = 33
[http]
listen = "0.0.0.0:0"
token_file = "token"
[log]
level = "debug"
)");
  EXPECT_EQ(config.postgres.lock_timeout.count(), 11);
  EXPECT_EQ(config.postgres.statement_timeout.count(), 12);
  EXPECT_EQ(config.schemas, "/etc/tidemark/declared");
  EXPECT_EQ(config.lanes, 3U);
  const BatchLimits& batch = config.pipeline.batch;
  EXPECT_EQ(batch.rows_max, 21U);
  EXPECT_EQ(batch.records_max, 22U);
  EXPECT_EQ(batch.bytes_max, 23U);
  EXPECT_EQ(batch.age_max.count(), 24);
  EXPECT_EQ(batch.catchup_age_max.count(), 25);
  EXPECT_EQ(batch.catchup_records, 26);
  EXPECT_FALSE(config.derive.enabled);
  EXPECT_EQ(config.derive.threads, 0U);
  EXPECT_EQ(config.derive.users_max, 27U);
  EXPECT_EQ(config.derive.slow.count(), 28);
  EXPECT_EQ(config.derive.sweep_every.count(), 100'000'000) << "more than a day, unlike the others";
  EXPECT_EQ(config.pipeline.decode.message_bytes_max, 2048U);
  EXPECT_EQ(config.pipeline.decode.depth_max, 32U);
  EXPECT_EQ(config.pipeline.parked_max, 33U);
  EXPECT_EQ(config.http.host, "0.0.0.0");
  EXPECT_EQ(config.http.port, 0);
  EXPECT_EQ(config.http.token_file, "/etc/tidemark/token");
  EXPECT_EQ(config.log.level, "debug");
}

TEST(Config, AnAbsolutePathStays) {
  EXPECT_EQ(config_of(std::string(kLeast) + "[schemas]\npath = \"/srv/declared\"").schemas,
            "/srv/declared");
}

TEST(Config, TextsTakeValuesFromTheEnvironment) {
  const std::string text = R"(
[kafka]
bootstrap.servers = "${HOST}:9092"
sasl.password = "a${SECRET}b${SECRET}$c{d}"
[topics]
prefix = "${HOST}"
[postgres]
connection = "password=${SECRET}"
)";
  const Config config = config_of(text, {{"HOST", "h"}, {"SECRET", "s${HOST}"}});
  EXPECT_THAT(config.kafka,
              UnorderedElementsAre(std::pair("bootstrap.servers", "h:9092"),
                                   // What came from the environment is not looked at again.
                                   std::pair("sasl.password", "as${HOST}bs${HOST}$c{d}")));
  EXPECT_EQ(config.topics.prefix, "h");
  EXPECT_EQ(config.postgres.connection, "password=s${HOST}");
}

TEST(ConfigError, AVariableThatIsNotSet) {
  const std::string error =
      error_of(std::string(kLeast) + "migrate_connection = \"${GONE}\"", {{"SECRET", "hush"}});
  EXPECT_THAT(error, HasSubstr("tidemark.toml:9:22"));
  EXPECT_THAT(error, HasSubstr("'GONE'"));
  EXPECT_THAT(error, Not(HasSubstr("hush")));
}

TEST(ConfigError, NamesTheKeyThatIsNoneAndTheNearestOne) {
  const std::string error = error_of(std::string(kLeast) + "[batch]\nrow_max = 5");
  EXPECT_THAT(error, HasSubstr("tidemark.toml:10:1"));
  EXPECT_THAT(error, HasSubstr("unknown key 'row_max'"));
  EXPECT_THAT(error, HasSubstr("did you mean 'rows_max'"));
}

TEST(ConfigError, SaysWhichSectionsAreMissing) {
  const auto errors = errors_of("");
  ASSERT_EQ(errors.size(), 3U);
  for (const std::string section : {"kafka", "topics", "postgres"}) {
    EXPECT_TRUE(std::ranges::any_of(errors, [&](const DeclarationError& error) {
      return error.message.find("[" + section + "]") != std::string::npos;
    })) << section;
  }
}

TEST(ConfigError, ValuesOutsideOfTheirBounds) {
  for (const std::string line :
       {"[batch]\nlanes = 0", "[batch]\nlanes = 65", "[batch]\nrecords_max = 0",
        "[batch]\nage_max_ms = -1", "[limits]\ndepth_max = 5000", "[limits]\nparked_max = \"ten\"",
        "[http]\nlisten = \"localhost\"", "[http]\nlisten = \"localhost:\"",
        "[http]\nlisten = \"localhost:65536\"", "[http]\nlisten = \"localhost:80x\"",
        "[log]\nlevel = \"loud\"", "[kafka.x]\ny = 1.5", "[kafka.x]\ny = [1]"}) {
    EXPECT_THAT(error_of(std::string(kLeast) + line), HasSubstr("tidemark.toml:")) << line;
  }
}

TEST(ConfigError, FiguresAreServedBeyondThisMachineOnlyWithAToken) {
  for (const std::string host : {"0.0.0.0", "[::]", "10.0.0.7", "example.org", "", "128.0.0.1"}) {
    const std::string listen = std::string(kLeast) + "[http]\nlisten = \"" + host + ":9464\"\n";
    EXPECT_THAT(error_of(listen), HasSubstr("'token_file'")) << host;
    EXPECT_TRUE(errors_of(listen + "token_file = \"token\"").empty()) << host;
    EXPECT_TRUE(errors_of(listen + "token = \"0123456789abcdef\"").empty()) << host;
  }
  for (const std::string host : {"127.0.0.1", "127.9.9.9", "[::1]", "localhost"}) {
    EXPECT_TRUE(errors_of(std::string(kLeast) + "[http]\nlisten = \"" + host + ":9464\"").empty())
        << host;
  }
}

TEST(ConfigError, ATokenThatIsNoneOrTwo) {
  const std::string http = std::string(kLeast) + "[http]\n";
  EXPECT_THAT(error_of(http + "token = \"\""), HasSubstr("empty"));
  EXPECT_THAT(error_of(http + "token = \"${T}\"", {{"T", ""}}), HasSubstr("empty"));
  EXPECT_THAT(error_of(http + "token = \"a\"\ntoken_file = \"b\""), HasSubstr("not both"));
}

TEST(ConfigError, WithoutAnyTopicNothingCanBeRead) {
  EXPECT_THAT(error_of("[kafka]\n[topics]\n[postgres]\n"), HasSubstr("[topics] needs"));
}

TEST(ConfigError, BrokenTomlSaysWhere) {
  EXPECT_THAT(error_of("[kafka\n"), HasSubstr("tidemark.toml:1:"));
}

TEST(ConfigError, AFileThatIsNotThere) {
  const auto loaded = load_config("/nowhere/tidemark.toml");
  const auto& errors = std::get<std::vector<DeclarationError>>(loaded);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_THAT(errors[0].text(), HasSubstr("/nowhere/tidemark.toml"));
}

// --- the example -------------------------------------------------------------------------------

TEST(ConfigExample, HasTheDefaultsThatItSays) {
  const auto loaded = load_config(kExample);
  ASSERT_TRUE(std::holds_alternative<Config>(loaded))
      << std::get<std::vector<DeclarationError>>(loaded).front().text();
  const Config& config = std::get<Config>(loaded);
  const Config defaults;
  EXPECT_EQ(config.postgres.lock_timeout, defaults.postgres.lock_timeout);
  EXPECT_EQ(config.postgres.statement_timeout, defaults.postgres.statement_timeout);
  EXPECT_EQ(config.lanes, defaults.lanes);
  EXPECT_EQ(config.pipeline.batch.rows_max, defaults.pipeline.batch.rows_max);
  EXPECT_EQ(config.pipeline.batch.records_max, defaults.pipeline.batch.records_max);
  EXPECT_EQ(config.pipeline.batch.bytes_max, defaults.pipeline.batch.bytes_max);
  EXPECT_EQ(config.pipeline.batch.age_max, defaults.pipeline.batch.age_max);
  EXPECT_EQ(config.pipeline.batch.catchup_age_max, defaults.pipeline.batch.catchup_age_max);
  EXPECT_EQ(config.pipeline.batch.catchup_records, defaults.pipeline.batch.catchup_records);
  EXPECT_EQ(config.derive.enabled, defaults.derive.enabled);
  EXPECT_EQ(config.derive.threads, defaults.derive.threads);
  EXPECT_EQ(config.derive.users_max, defaults.derive.users_max);
  EXPECT_EQ(config.derive.slow, defaults.derive.slow);
  EXPECT_EQ(config.derive.sweep_every, defaults.derive.sweep_every);
  EXPECT_EQ(config.pipeline.decode.message_bytes_max, defaults.pipeline.decode.message_bytes_max);
  EXPECT_EQ(config.pipeline.decode.depth_max, defaults.pipeline.decode.depth_max);
  EXPECT_EQ(config.pipeline.parked_max, defaults.pipeline.parked_max);
  EXPECT_EQ(config.http.host, defaults.http.host);
  EXPECT_EQ(config.http.port, defaults.http.port);
  EXPECT_EQ(config.log.level, defaults.log.level);
  EXPECT_TRUE(std::filesystem::exists(config.schemas / "tables"));
}

// The parser names the keys that it knows when it meets one that it doesn't.
std::vector<std::string> known_keys(const std::string& section) {
  std::string text = kLeast;
  const std::string header = "[" + section + "]\n";
  const auto at = text.find(header);
  if (section.empty()) {
    text = "nonsense = 1\n" + text;
  } else if (at == std::string::npos) {
    text += header + "nonsense = 1\n";
  } else {
    text.insert(at + header.size(), "nonsense = 1\n");
  }
  const std::string error = error_of(text);
  std::vector<std::string> keys;
  const std::regex quoted("'([a-z_]+)'");
  for (std::sregex_iterator it(error.begin(), error.end(), quoted), end; it != end; ++it) {
    if ((*it)[1] != "nonsense") keys.push_back((*it)[1]);
  }
  return keys;
}

TEST(ConfigExample, HasEachKeyThatTheParserKnowsInItsSection) {
  const std::string text = example();
  const std::vector<std::string> sections = known_keys("");
  ASSERT_GT(sections.size(), 6U);
  for (const std::string& section : sections) {
    const auto start = text.find("\n[" + section + "]\n");
    ASSERT_NE(start, std::string::npos) << section;
    if (section == "kafka") continue;  // knows all of librdkafka's
    const std::string body = text.substr(start, text.find("\n[", start + 2) - start);
    const std::vector<std::string> keys = known_keys(section);
    ASSERT_FALSE(keys.empty()) << section;
    for (const std::string& key : keys) {
      const bool is_table = text.find("\n[" + section + "." + key + "]\n") != std::string::npos;
      EXPECT_TRUE(is_table || std::regex_search(body, std::regex("\n(# )?" + key + " = ")))
          << "[" << section << "] " << key;
    }
  }
}

// --- topics ------------------------------------------------------------------------------------

Declaration two_tables() {
  Declaration declaration = testing::DeclarationBuilder()
                                .aggregate("counts", "id", {"n"})
                                .table("follows")
                                .key_column("id", ColumnType::kInteger)
                                .table("saves")
                                .key_column("id", ColumnType::kInteger)
                                .build();
  return declaration;
}

std::vector<std::uint32_t> tables_at(const std::map<std::string, TopicTables>& topics,
                                     const std::string& topic) {
  std::vector<std::uint32_t> tables;
  const auto found = topics.find(topic);
  if (found == topics.end()) return tables;
  for (const TableIndex table : found->second.tables) tables.push_back(table.value);
  return tables;
}

TEST(ConfigTopics, OfEachTableByThePrefix) {
  const auto topics = resolve_topics({.prefix = "app", .map = {}, .list = {}}, two_tables());
  ASSERT_EQ(topics.size(), 2U);
  EXPECT_THAT(tables_at(topics, "app.public.follows"), ElementsAre(0));
  EXPECT_THAT(tables_at(topics, "app.public.saves"), ElementsAre(1));
}

TEST(ConfigTopics, TheMapComesBeforeTheDeclarationAndThatBeforeThePrefix) {
  Declaration declaration = two_tables();
  declaration.tables[0].topic = "declared";
  declaration.tables[1].topic = "declared too";
  const auto topics = resolve_topics(
      {.prefix = "app", .map = {{"public.saves", "mapped"}}, .list = {}}, declaration);
  ASSERT_EQ(topics.size(), 2U);
  EXPECT_THAT(tables_at(topics, "declared"), ElementsAre(0));
  EXPECT_THAT(tables_at(topics, "mapped"), ElementsAre(1));
}

TEST(ConfigTopics, TheMapNamesDeclaredTables) {
  EXPECT_THROW(
      resolve_topics({.prefix = "app", .map = {{"public.typo", "t"}}, .list = {}}, two_tables()),
      WorldError);
}

TEST(ConfigTopics, AListedTopicCarriesAllTables) {
  const auto topics = resolve_topics({.prefix = "", .map = {}, .list = {"all"}}, two_tables());
  ASSERT_EQ(topics.size(), 1U);
  EXPECT_THAT(tables_at(topics, "all"), ElementsAre(0, 1));
}

TEST(ConfigTopics, TablesMappedToOneTopicShareIt) {
  const auto topics = resolve_topics(
      {.prefix = "", .map = {{"public.saves", "all"}, {"public.follows", "all"}}, .list = {}},
      two_tables());
  ASSERT_EQ(topics.size(), 1U);
  EXPECT_THAT(tables_at(topics, "all"), ElementsAre(0, 1));
}

}  // namespace
}  // namespace tidemark
