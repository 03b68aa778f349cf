#include "consumer/service/config_overrides.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

namespace tidemark {
namespace {

constexpr std::string_view kPrefix = "TIDEMARK__";
constexpr std::string_view kBetween = "__";

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  });
  return out;
}

// All variables that there are, for the nearest one.
std::vector<std::string> variable_names() {
  std::vector<std::string> names;
  for (const ConfigKey& key : config_keys()) {
    names.push_back(
        fmt::format("{}{}{}{}", kPrefix, upper(key.section), kBetween, upper(key.name)));
  }
  return names;
}

// The table of this name in `parent`, made when it is missing.
toml::table& table_in(toml::table& parent, std::string_view name) {
  if (!parent.contains(name)) parent.insert(name, toml::table());
  toml::node* const node = parent.get(name);
  if (!node->is_table()) parent.insert_or_assign(name, toml::table());
  return *parent.get(name)->as_table();
}

// Forgets a property however it was written: "a.b" = 1, a.b = 1, [kafka.a] b = 1.
void erase_property(toml::table& table, std::string_view name) {
  table.erase(name);
  for (auto dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1)) {
    toml::node* const below = table.get(name.substr(0, dot));
    if (below != nullptr && below->is_table()) {
      erase_property(*below->as_table(), name.substr(dot + 1));
    }
  }
}

class Overrides {
 public:
  Overrides(toml::table& root, ErrorList& errors, ConfigOrigins& origins)
      : root_(root), errors_(errors), origins_(origins) {}

  void take(const std::string& variable, const std::string& value) {
    const std::string_view path = std::string_view(variable).substr(kPrefix.size());
    const auto between = path.find(kBetween);
    const std::string section = lower(path.substr(0, between));
    const std::string_view rest =
        between == path.npos ? std::string_view() : path.substr(between + kBetween.size());
    constexpr std::string_view kMap = "MAP__";
    if (section == "kafka" && !rest.empty()) return take_property(variable, rest, value);
    if (section == "topics" && rest.starts_with(kMap)) {
      const std::string table(rest.substr(kMap.size()));
      table_in(table_in(root_, "topics"), "map").insert_or_assign(table, value);
      origins_["topics.map." + table] = variable;
      return;
    }
    const auto key = find_config_key(section, lower(rest));
    if (!key) {
      return error(variable,
                   fmt::format("there is no such key{}", did_you_mean(variable, variable_names())));
    }
    set(variable, *key, value);
  }

 private:
  void error(const std::string& variable, std::string why) {
    errors_.add({"environment variable " + variable}, std::move(why));
  }

  void take_property(const std::string& variable, std::string_view rest, const std::string& value) {
    std::string name = lower(rest);
    std::ranges::replace(name, '_', '.');
    toml::table& kafka = table_in(root_, "kafka");
    erase_property(kafka, name);
    kafka.insert_or_assign(name, value);
    origins_["kafka." + name] = variable;
  }

  void set(const std::string& variable, const ConfigKey& key, const std::string& value) {
    toml::table& section = table_in(root_, key.section);
    switch (key.type) {
      case ConfigType::kText:
        if (value.empty()) return error(variable, "it is empty; expected a text");
        section.insert_or_assign(key.name, value);
        break;
      case ConfigType::kTexts:
        section.insert_or_assign(key.name, list_of(value));
        break;
      case ConfigType::kFlag:
        if (value != "true" && value != "false") {
          return error(variable, "expected true or false");
        }
        section.insert_or_assign(key.name, value == "true");
        break;
      case ConfigType::kNumber:
        const auto number = number_of(value);
        if (!number || *number < key.low || *number > key.high) {
          return error(variable,
                       fmt::format("expected an integer from {} to {}", key.low, key.high));
        }
        section.insert_or_assign(key.name, *number);
        break;
    }
    origins_[fmt::format("{}.{}", key.section, key.name)] = variable;
  }

  static toml::array list_of(std::string_view value) {
    toml::array list;
    while (true) {
      const auto comma = value.find(',');
      list.push_back(std::string(value.substr(0, comma)));
      if (comma == value.npos) return list;
      value.remove_prefix(comma + 1);
    }
  }

  static std::optional<std::int64_t> number_of(const std::string& value) {
    std::int64_t number = 0;
    const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (failed != std::errc{} || end != value.data() + value.size()) return std::nullopt;
    return number;
  }

  toml::table& root_;
  ErrorList& errors_;
  ConfigOrigins& origins_;
};

void note_below(const toml::table& table, const std::string& path, const std::string& file,
                ConfigOrigins& origins) {
  for (const auto& [key, node] : table) {
    const std::string name = path + (path.empty() ? "" : ".") + std::string(key.str());
    if (const toml::table* below = node.as_table()) {
      note_below(*below, name, file, origins);
    } else {
      origins[name] = fmt::format("{}:{}", file, node.source().begin.line);
    }
  }
}

}  // namespace

void apply_overrides(toml::table& root, const std::map<std::string, std::string>& environment,
                     ErrorList& errors, ConfigOrigins& origins) {
  Overrides overrides(root, errors, origins);
  for (const auto& [variable, value] : environment) {
    if (variable.starts_with(kPrefix)) overrides.take(variable, value);
  }
}

void note_places(const toml::table& root, const std::string& file, ConfigOrigins& origins) {
  note_below(root, "", file, origins);
}

}  // namespace tidemark
