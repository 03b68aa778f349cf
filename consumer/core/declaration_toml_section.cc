#include "consumer/core/declaration_toml_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

namespace tidemark {
namespace {

// What PostgreSQL keeps of a name (NAMEDATALEN - 1); a longer one would be cut silently.
constexpr std::size_t kIdentifierBytesMax = 63;
// Further away than this, a name is another name and not a slip.
constexpr std::size_t kSlipEditsMax = 2;

// Levenshtein's distance.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

void ErrorList::add(const Place& place, std::string message) {
  errors_.push_back({place.file, place.line, place.column, std::move(message)});
}

std::vector<DeclarationError> ErrorList::take_sorted() {
  std::stable_sort(errors_.begin(), errors_.end(), [](const auto& a, const auto& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  });
  return std::move(errors_);
}

std::string alternatives(std::span<const std::string> names) {
  if (names.empty()) return "nothing";
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " or " : ", ";
    out += "'" + names[i] + "'";
  }
  return out;
}

std::string did_you_mean(std::string_view found, std::span<const std::string> names) {
  const std::string* nearest = nullptr;
  std::size_t least = std::min(kSlipEditsMax, found.size() / 3 + 1) + 1;
  for (const std::string& name : names) {
    const std::size_t distance = edits(found, name);
    if (distance < least) {
      least = distance;
      nearest = &name;
    }
  }
  return nearest == nullptr ? "" : fmt::format("; did you mean '{}'?", *nearest);
}

std::string_view kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::none:
      return "nothing";
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a floating-point number";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::date:
      return "a date";
    case toml::node_type::time:
      return "a time";
    case toml::node_type::date_time:
      return "a date and time";
  }
  return "something else";
}

bool check_identifier(const PlacedText& name, ErrorList& errors) {
  if (name.text.empty()) {
    errors.add(name.place, "found an empty name; expected a name in Postgres");
    return false;
  }
  if (name.text.find('\0') != std::string::npos) {
    errors.add(name.place, "found a name with a NUL byte; no name in Postgres has one");
    return false;
  }
  if (name.text.size() > kIdentifierBytesMax) {
    errors.add(name.place,
               fmt::format("found a name of {} bytes; a name in Postgres has at most {}",
                           name.text.size(), kIdentifierBytesMax));
    return false;
  }
  return true;
}

void Section::allow_keys(std::initializer_list<std::string_view> keys) const {
  const std::vector<std::string> known(keys.begin(), keys.end());
  for (const SectionEntry& entry : entries()) {
    if (std::find(known.begin(), known.end(), entry.key.text) != known.end()) continue;
    error(entry.key.place, fmt::format("unknown key '{}'; expected {}{}", entry.key.text,
                                       alternatives(known), did_you_mean(entry.key.text, known)));
  }
}

std::optional<PlacedText> Section::text(std::string_view key) const {
  if (!has(key)) {
    error(place(), fmt::format("missing key '{}'; expected a string", key));
    return std::nullopt;
  }
  return optional_text(key);
}

std::optional<PlacedText> Section::optional_text(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_string();
  if (value == nullptr || value->get().empty()) {
    error(place_of(*node), fmt::format("'{}' is {}; expected a string that is not empty", key,
                                       value == nullptr ? kind_of(*node) : "an empty string"));
    return std::nullopt;
  }
  return PlacedText{value->get(), place_of(*node)};
}

std::vector<PlacedText> Section::texts(std::string_view key) const {
  std::vector<PlacedText> out;
  const toml::node* node = table_->get(key);
  if (node == nullptr) {
    error(place(), fmt::format("missing key '{}'; expected a list of strings", key));
    return out;
  }
  const toml::array* list = node->as_array();
  if (list == nullptr || list->empty()) {
    error(place_of(*node), fmt::format("'{}' is {}; expected a list of at least one string", key,
                                       list == nullptr ? kind_of(*node) : "an empty list"));
    return out;
  }
  for (const toml::node& item : *list) {
    const auto* value = item.as_string();
    if (value == nullptr) {
      error(place_of(item), fmt::format("'{}' holds {}; expected strings", key, kind_of(item)));
    } else if (std::any_of(out.begin(), out.end(),
                           [&](const PlacedText& t) { return t.text == value->get(); })) {
      error(place_of(item), fmt::format("'{}' stands twice in '{}'", value->get(), key));
    } else {
      out.push_back({value->get(), place_of(item)});
    }
  }
  return out;
}

std::vector<std::int64_t> Section::ascending(std::string_view key) const {
  std::vector<std::int64_t> out;
  const toml::node* node = table_->get(key);
  const toml::array* list = node == nullptr ? nullptr : node->as_array();
  if (list == nullptr || list->empty()) {
    error(node == nullptr ? place() : place_of(*node),
          fmt::format("'{}' is {}; expected a list of at least one integer", key,
                      list != nullptr   ? "an empty list"
                      : node == nullptr ? "missing"
                                        : kind_of(*node)));
    return out;
  }
  for (const toml::node& item : *list) {
    const auto* value = item.as_integer();
    const std::int64_t least = out.empty() ? 1 : out.back() + 1;
    if (value == nullptr || value->get() < least) {
      error(place_of(item), fmt::format("'{}' holds {}; expected integers above 0, ascending", key,
                                        value == nullptr ? std::string(kind_of(item))
                                                         : fmt::format("{} here", value->get())));
      return out;
    }
    out.push_back(value->get());
  }
  return out;
}

std::optional<bool> Section::flag(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_boolean()) return value->get();
  error(place_of(*node), fmt::format("'{}' is {}; expected true or false", key, kind_of(*node)));
  return std::nullopt;
}

std::optional<std::int64_t> Section::number(std::string_view key, std::int64_t low,
                                            std::int64_t high) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_integer();
  if (value != nullptr && low <= value->get() && value->get() <= high) return value->get();
  const std::string found =
      value == nullptr ? std::string(kind_of(*node)) : fmt::format("{}", value->get());
  error(place_of(*node),
        fmt::format("'{}' is {}; expected an integer from {} to {}", key, found, low, high));
  return std::nullopt;
}

std::optional<Section> Section::section(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  if (const toml::table* table = node->as_table()) return of(*table);
  error(place_of(*node), fmt::format("'{}' is {}; expected a table", key, kind_of(*node)));
  return std::nullopt;
}

std::vector<Section> Section::sections(std::string_view key) const {
  std::vector<Section> out;
  const toml::node* node = table_->get(key);
  if (node == nullptr) return out;
  const toml::array* list = node->as_array();
  if (list == nullptr || list->empty()) {
    error(place_of(*node), fmt::format("'{}' is {}; expected tables, each as [[{}]]", key,
                                       list == nullptr ? kind_of(*node) : "an empty list", key));
    return out;
  }
  for (const toml::node& item : *list) {
    if (const toml::table* table = item.as_table()) {
      out.push_back(of(*table));
    } else {
      error(place_of(item),
            fmt::format("'{}' holds {}; expected tables, each as [[{}]]", key, kind_of(item), key));
    }
  }
  return out;
}

std::vector<SectionEntry> Section::entries() const {
  std::vector<SectionEntry> out;
  for (const auto& [key, value] : *table_) {
    const auto& begin = key.source().begin;
    out.push_back({{std::string(key.str()), {*file_, begin.line, begin.column}}, &value});
  }
  return out;
}

Place Section::place_of(std::string_view key) const {
  const toml::node* node = table_->get(key);
  return node == nullptr ? place() : place_of(*node);
}

Place Section::place_of(const toml::node& node) const {
  const auto& begin = node.source().begin;
  return {*file_, begin.line, begin.column};
}

void Section::error(const Place& place, std::string message) const {
  errors_->add(place, std::move(message));
}

}  // namespace tidemark
