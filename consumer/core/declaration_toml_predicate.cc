// Names, columns and predicates of a declaration.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "consumer/core/declaration_toml_draft.h"

namespace tidemark {
namespace {

constexpr std::array kTypes = {
    ColumnType::kBoolean, ColumnType::kSmallint,    ColumnType::kInteger,   ColumnType::kBigint,
    ColumnType::kText,    ColumnType::kEnum,        ColumnType::kUuid,      ColumnType::kJson,
    ColumnType::kDate,    ColumnType::kTimestamptz, ColumnType::kTimestamp,
};

struct Range {
  std::int64_t low;
  std::int64_t high;
};

template <class T>
constexpr Range range_of() {
  return {std::numeric_limits<T>::min(), std::numeric_limits<T>::max()};
}

Range range_of(ColumnType type) {
  if (type == ColumnType::kSmallint) return range_of<std::int16_t>();
  return type == ColumnType::kInteger ? range_of<std::int32_t>() : range_of<std::int64_t>();
}

// As PostgreSQL and Debezium write a uuid. Texts are compared bytewise, so no other form will do.
bool is_canonical_uuid(std::string_view text) {
  constexpr std::string_view kPattern = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  constexpr std::string_view kDigits = "0123456789abcdef";
  return std::equal(text.begin(), text.end(), kPattern.begin(), kPattern.end(),
                    [&](char c, char p) {
                      return p == '-' ? c == '-' : kDigits.find(c) != std::string_view::npos;
                    });
}

std::string expected_constant(const Column& column) {
  switch (column.type) {
    case ColumnType::kBoolean:
      return "true or false";
    case ColumnType::kSmallint:
    case ColumnType::kInteger:
    case ColumnType::kBigint: {
      const Range range = range_of(column.type);
      return fmt::format("an integer from {} to {}", range.low, range.high);
    }
    case ColumnType::kText:
      return "a string without NUL bytes";
    case ColumnType::kEnum:
      return alternatives(column.values);
    case ColumnType::kUuid:
      return "a uuid as a string, in lower case with hyphens";
    case ColumnType::kJson:
    case ColumnType::kTimestamp:
    case ColumnType::kTimestamptz:
    case ColumnType::kDate:
      return "{ null = true } or { null = false }, all that can be asked of it";
  }
  return "something else";
}

bool text_fits(const Column& column, const std::string& text) {
  if (column.type == ColumnType::kText) return text.find('\0') == std::string::npos;
  if (column.type == ColumnType::kUuid) return is_canonical_uuid(text);
  return column.type == ColumnType::kEnum &&
         std::find(column.values.begin(), column.values.end(), text) != column.values.end();
}

std::optional<Constant> constant_of(const Column& column, const toml::node& node) {
  if (const auto* flag = node.as_boolean()) {
    if (column.type == ColumnType::kBoolean) return Constant(flag->get());
  } else if (const auto* number = node.as_integer()) {
    const Range range = range_of(column.type);
    const std::int64_t value = number->get();
    if (is_integer(column.type) && range.low <= value && value <= range.high)
      return Constant(value);
  } else if (const auto* text = node.as_string()) {
    if (text_fits(column, text->get())) return Constant(text->get());
  }
  return std::nullopt;
}

// What a message calls a constant that does not fit: names and numbers by their value.
std::string found_constant(const toml::node& node) {
  if (const auto* text = node.as_string()) return fmt::format("'{}'", text->get());
  if (const auto* number = node.as_integer()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  return std::string(kind_of(node));
}

void read_constant(const Section& section, const Column& column, const toml::node& node,
                   Condition::OneOf& out) {
  const std::optional<Constant> constant = constant_of(column, node);
  if (!constant) {
    std::string hint;
    if (const auto* text = node.as_string()) hint = did_you_mean(text->get(), column.values);
    section.error(section.place_of(node),
                  fmt::format("column '{}' is compared with {}; it is declared {}, expected {}{}",
                              column.name, found_constant(node), type_name(column.type),
                              expected_constant(column), hint));
  } else if (std::find(out.constants.begin(), out.constants.end(), *constant) !=
             out.constants.end()) {
    section.error(section.place_of(node), fmt::format("{} stands twice in the list for column '{}'",
                                                      found_constant(node), column.name));
  } else {
    out.constants.push_back(*constant);
  }
}

std::optional<Condition::IsNull> read_is_null(const Section& section, const Column& column) {
  section.allow_keys({"null"});
  if (!section.has("null")) {
    section.error(section.place(), fmt::format("the test of column '{}' is a table; expected a "
                                               "constant, a list of constants, {{ null = true }} "
                                               "or {{ null = false }}",
                                               column.name));
    return std::nullopt;
  }
  const std::optional<bool> null = section.flag("null");
  if (!null) return std::nullopt;
  if (!column.nullable) {
    section.error(
        section.place_of("null"),
        fmt::format("column '{}' is never null: it isn't declared nullable", column.name));
  }
  return Condition::IsNull{*null};
}

void read_condition(const Section& section, const Column& column, ColumnIndex index,
                    const toml::node& node, Predicate& out) {
  if (const toml::table* table = node.as_table()) {
    if (const auto test = read_is_null(section.of(*table), column)) {
      out.all.push_back({index, *test});
    }
    return;
  }
  Condition::OneOf one_of;
  if (const toml::array* list = node.as_array()) {
    if (list->empty()) {
      section.error(section.place_of(node),
                    fmt::format("the list for column '{}' is empty; expected at least one constant",
                                column.name));
    }
    for (const toml::node& item : *list) read_constant(section, column, item, one_of);
  } else {
    read_constant(section, column, node, one_of);
  }
  if (!one_of.constants.empty()) out.all.push_back({index, std::move(one_of)});
}

}  // namespace

std::optional<ColumnType> read_type(const PlacedText& type, std::string_view what,
                                    ErrorList& errors) {
  std::vector<std::string> known;
  for (const ColumnType candidate : kTypes) {
    if (type_name(candidate) == type.text) return candidate;
    known.emplace_back(type_name(candidate));
  }
  errors.add(type.place, fmt::format("unknown type '{}' of {}; expected {}{}", type.text, what,
                                     alternatives(known), did_you_mean(type.text, known)));
  return std::nullopt;
}

std::optional<QualifiedName> read_qualified_name(const PlacedText& text, ErrorList& errors) {
  const std::size_t dot = text.text.find('.');
  if (dot == std::string::npos || text.text.find('.', dot + 1) != std::string::npos) {
    errors.add(text.place,
               fmt::format("found '{}'; expected schema.name, with one dot", text.text));
    return std::nullopt;
  }
  QualifiedName name{text.text.substr(0, dot), text.text.substr(dot + 1)};
  if (!check_identifier({name.schema, text.place}, errors) ||
      !check_identifier({name.name, text.place}, errors)) {
    return std::nullopt;
  }
  return name;
}

std::optional<ColumnIndex> find_column(const TableDraft& table, const PlacedText& name,
                                       ErrorList& errors) {
  std::vector<std::string> known;
  for (std::size_t i = 0; i < table.table.columns.size(); ++i) {
    if (table.table.columns[i].name == name.text) return ColumnIndex(static_cast<std::uint32_t>(i));
    known.push_back(table.table.columns[i].name);
  }
  errors.add(name.place, fmt::format("unknown column '{}' of {}; expected {}{}", name.text,
                                     table.table.name.text(), alternatives(known),
                                     did_you_mean(name.text, known)));
  return std::nullopt;
}

Predicate read_predicate(const Section& section, const TableDraft& table) {
  Predicate out;
  const std::vector<SectionEntry> entries = section.entries();
  if (entries.empty()) {
    section.error(section.place(), "found no condition; expected column = constant, or nothing");
  }
  for (const SectionEntry& entry : entries) {
    const std::optional<ColumnIndex> index = find_column(table, entry.key, section.errors());
    if (!index || table.broken(*index)) continue;
    read_condition(section, table.table.columns[index->value], *index, *entry.value, out);
  }
  return out;
}

Predicate read_optional_predicate(const Section& section, std::string_view key,
                                  const TableDraft& table) {
  const std::optional<Section> conditions = section.section(key);
  return conditions ? read_predicate(*conditions, table) : Predicate{};
}

}  // namespace tidemark
