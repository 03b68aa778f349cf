// Keys from the environment, what is shown of the configuration, and its schema.
#include <gmock/gmock.h>
#include <toml++/toml.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "consumer/service/config.h"
#include "consumer/service/config_show.h"

namespace tidemark {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Environment = std::map<std::string, std::string>;

constexpr const char* kLeast = R"(
[kafka]
bootstrap.servers = "broker:9092"
group.id = "counters"
sasl.password = "canary-in-file"
[topics]
prefix = "app"
[postgres]
connection = "dbname=app password=canary-in-file"
)";

struct Parsed {
  Config config;
  ConfigOrigins origins;
  std::vector<std::string> errors;
};

Parsed parse(const Environment& environment, const std::string& text = kLeast) {
  Parsed parsed;
  auto result = parse_config("t.toml", text, environment, &parsed.origins);
  if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&result)) {
    for (const DeclarationError& error : *errors) parsed.errors.push_back(error.text());
  } else {
    parsed.config = std::get<Config>(std::move(result));
  }
  return parsed;
}

std::map<std::string, std::string> kafka(const Config& config) {
  return {config.kafka.begin(), config.kafka.end()};
}

std::string variable(const ConfigKey& key) {
  std::string name = "TIDEMARK__" + std::string(key.section) + "__" + std::string(key.name);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  return name;
}

TEST(ConfigOverrides, EachTypeIsTakenAsInToml) {
  const Parsed parsed = parse({{"TIDEMARK__BATCH__LANES", "7"},
                               {"TIDEMARK__RECOUNT__ENABLED", "false"},
                               {"TIDEMARK__TOPICS__LIST", "a,b"},
                               {"TIDEMARK__LOG__FORMAT", "json"},
                               {"TIDEMARK__TOPICS__MAP__public.my_follows", "renamed"}});
  EXPECT_THAT(parsed.errors, ElementsAre());
  EXPECT_EQ(parsed.config.lanes, 7U);
  EXPECT_FALSE(parsed.config.recount.enabled);
  EXPECT_THAT(parsed.config.topics.list, ElementsAre("a", "b"));
  EXPECT_EQ(parsed.config.log.format, "json");
  EXPECT_EQ(parsed.config.topics.map.at("public.my_follows"), "renamed");
}

TEST(ConfigOverrides, OfKafkaReplaceWhatTheFileSaysHoweverItIsWritten) {
  const Parsed parsed = parse({{"TIDEMARK__KAFKA__BOOTSTRAP_SERVERS", "other:9092"},
                               {"TIDEMARK__KAFKA__SASL_PASSWORD", "a${b"}});
  EXPECT_THAT(parsed.errors, ElementsAre());
  EXPECT_EQ(kafka(parsed.config).at("bootstrap.servers"), "other:9092");
  EXPECT_EQ(kafka(parsed.config).at("sasl.password"), "a${b") << "a password stands as it is";
  EXPECT_EQ(std::ranges::count(parsed.config.kafka, "sasl.password",
                               &std::pair<std::string, std::string>::first),
            1);
}

TEST(ConfigOverrides, AVariableThatNamesNoKeyIsRefusedWithTheNearestOne) {
  EXPECT_THAT(parse({{"TIDEMARK__BATCH__LANE", "7"}}).errors,
              ElementsAre(AllOf(HasSubstr("TIDEMARK__BATCH__LANE: "),
                                HasSubstr("did you mean 'TIDEMARK__BATCH__LANES'?"))));
  EXPECT_EQ(parse({{"TIDEMARK__BATCH", "7"}}).errors.size(), 1U);
  EXPECT_EQ(parse({{"TIDEMARK__", "7"}}).errors.size(), 1U);
  EXPECT_TRUE(parse({{"TIDEMARK_PASSWORD", "7"}}).errors.empty());
}

TEST(ConfigOverrides, AValueThatDoesNotFitIsRefusedAndNotShown) {
  for (const char* name :
       {"TIDEMARK__BATCH__LANES", "TIDEMARK__RECOUNT__ENABLED", "TIDEMARK__LIMITS__DEPTH_MAX"}) {
    EXPECT_THAT(
        parse({{name, "canary"}}).errors,
        ElementsAre(AllOf(HasSubstr(name), HasSubstr("expected"), Not(HasSubstr("canary")))));
  }
}

TEST(ConfigKeys, AreThoseThatTheParserTakesWithinItsBounds) {
  for (const ConfigKey& key : config_keys()) {
    const std::string header = "[" + std::string(key.section) + "]\n";
    const auto with = [&](std::int64_t number) {
      std::string text = kLeast;
      const std::string line = std::string(key.name) + " = " + std::to_string(number) + "\n";
      const auto at = text.find(header);
      if (at == std::string::npos) return text + header + line;
      return text.insert(at + header.size(), line);
    };
    if (key.type != ConfigType::kNumber) continue;
    EXPECT_TRUE(parse({}, with(key.low)).errors.empty()) << key.name;
    EXPECT_TRUE(parse({}, with(key.high)).errors.empty()) << key.name;
    EXPECT_EQ(parse({}, with(key.low - 1)).errors.size(), 1U) << key.name;
    EXPECT_EQ(parse({}, with(key.high + 1)).errors.size(), 1U) << key.name;
  }
}

TEST(ConfigKeys, EachCanBeSetByTheEnvironmentAndIsShownAsSuch) {
  for (const ConfigKey& key : config_keys()) {
    std::string value = "app";
    if (key.type == ConfigType::kNumber) value = std::to_string(key.high);
    if (key.type == ConfigType::kFlag) value = "true";
    if (key.name == "listen") value = "127.0.0.1:1";
    if (key.name == "level") value = "debug";
    if (key.name == "format") value = "logfmt";
    const Parsed parsed = parse({{variable(key), value}});
    EXPECT_THAT(parsed.errors, ElementsAre()) << key.name;
    EXPECT_THAT(show_config(parsed.config, parsed.origins), HasSubstr("# " + variable(key)));
  }
}

TEST(ConfigShow, SaysWhereEachValueComesFromAndNoSecret) {
  const Parsed parsed = parse({{"TIDEMARK__BATCH__LANES", "7"},
                               {"TIDEMARK__KAFKA__SSL_KEY_PASSWORD", "canary-in-environment"},
                               {"TIDEMARK__POSTGRES__MIGRATE_CONNECTION",
                                "postgresql://u:canary-in-environment@localhost/app"}});
  const std::string shown = show_config(parsed.config, parsed.origins);
  EXPECT_THAT(shown, HasSubstr("lanes = 7  # TIDEMARK__BATCH__LANES\n"));
  EXPECT_THAT(shown, HasSubstr("bootstrap.servers = \"broker:9092\"  # t.toml:3\n"));
  EXPECT_THAT(shown, HasSubstr("rows_max = 200000  # default\n"));
  EXPECT_THAT(shown, HasSubstr("enable.auto.commit = \"false\"  # Tidemark's\n"));
  EXPECT_THAT(shown, HasSubstr("dbname='app'"));
  EXPECT_THAT(shown, HasSubstr("sasl.password = \"***\""));
  EXPECT_THAT(shown, Not(HasSubstr("canary")));
}

// --- the schema ---------------------------------------------------------------------------------

// As much of a validator as the schema needs; what is wrong, by path.
void validate(const json& schema, const json& value, const std::string& path,
              std::vector<std::string>& wrong) {
  static const std::map<std::string, bool (json::*)() const noexcept> kinds = {
      {"object", &json::is_object},
      {"array", &json::is_array},
      {"string", &json::is_string},
      {"integer", &json::is_number_integer},
      {"boolean", &json::is_boolean}};
  if (!(value.*kinds.at(schema.at("type")))()) return wrong.push_back(path + ": type");
  if (schema.contains("minimum") && value < schema["minimum"]) wrong.push_back(path + ": minimum");
  if (schema.contains("maximum") && value > schema["maximum"]) wrong.push_back(path + ": maximum");
  if (schema.contains("enum") && std::ranges::count(schema["enum"], value) == 0) {
    wrong.push_back(path + ": enum");
  }
  for (const json& name : schema.value("required", json::array())) {
    if (!value.contains(name)) wrong.push_back(path + ": required " + name.get<std::string>());
  }
  if (!value.is_object()) return;
  for (const auto& [name, below] : value.items()) {
    const json properties = schema.value("properties", json::object());
    if (properties.contains(name)) {
      validate(properties[name], below, path + "." + name, wrong);
    } else if (schema["additionalProperties"] == false) {
      wrong.push_back(path + ": " + name);
    }
  }
}

std::vector<std::string> wrong_in(const std::string& toml_text) {
  std::ostringstream text;
  text << toml::json_formatter(toml::parse(toml_text));
  std::vector<std::string> wrong;
  validate(json::parse(config_schema()), json::parse(text.str()), "", wrong);
  return wrong;
}

std::string example() {
  std::ifstream in(std::string(TIDEMARK_SOURCE_DIR) + "/ops/tidemark.example.toml");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(ConfigSchema, TakesTheExampleWithEachKeyThatIsSetThere) {
  EXPECT_THAT(wrong_in(example()), ElementsAre());
}

TEST(ConfigSchema, RefusesWhatTheParserRefuses) {
  EXPECT_THAT(wrong_in("kafka = {}\ntopics = {}\n"), ElementsAre(": required postgres"));
  EXPECT_THAT(
      wrong_in(std::string(kLeast) + "[batch]\nlanes = 65\nlane = 1\n[log]\nlevel = 'all'\n"),
      testing::UnorderedElementsAre(".batch: lane", ".batch.lanes: maximum", ".log.level: enum"));
}

TEST(ConfigSchema, HasTheDefaultsOfTheParser) {
  const json schema = json::parse(config_schema());
  EXPECT_EQ(schema["properties"]["batch"]["properties"]["rows_max"]["default"], 200'000);
  EXPECT_EQ(schema["properties"]["recount"]["properties"]["enabled"]["default"], true);
}

}  // namespace
}  // namespace tidemark
