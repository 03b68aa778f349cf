// One table of a TOML file, read with errors that say where: the only users of toml++ are this file
// and the readers of declarations.
//
// Nothing here throws or stops at an error: it is noted in the ErrorList, and the reader goes on
// without the value.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/core/declaration_toml.h"

namespace tidemark {

// Where something stands. Line and column count from 1; 0 means the whole file.
struct Place {
  std::string file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

// A text and where it stands.
struct PlacedText {
  std::string text;
  Place place;
};

// The errors so far, in the order in which they were noted.
class ErrorList {
 public:
  void add(const Place& place, std::string message);
  bool empty() const { return errors_.empty(); }
  // By file, line and column.
  std::vector<DeclarationError> take_sorted();

 private:
  std::vector<DeclarationError> errors_;
};

// "'a', 'b' or 'c'", for what was expected; "nothing" for an empty list.
std::string alternatives(std::span<const std::string> names);
// "; did you mean 'columns'?" for the nearest name that is a slip of the finger away, else "".
std::string did_you_mean(std::string_view found, std::span<const std::string> names);
// What a node is, with its article: "a string", "an integer".
std::string_view kind_of(const toml::node& node);
// A text that can be the name of something in Postgres; notes an error and says false otherwise.
bool check_identifier(const PlacedText& name, ErrorList& errors);

// A value of a table together with its key, for tables whose keys are names that the user chose.
struct SectionEntry {
  PlacedText key;
  const toml::node* value;
};

// A TOML table of one file. A view: the file's tree and the list must outlive it.
class Section {
 public:
  Section(const toml::table& table, const std::string& file, ErrorList& errors)
      : table_(&table), file_(&file), errors_(&errors) {}

  // Notes each key that is none of these.
  void allow_keys(std::initializer_list<std::string_view> keys) const;
  bool has(std::string_view key) const { return table_->contains(key); }

  // A text that must be there, and must not be empty.
  std::optional<PlacedText> text(std::string_view key) const;
  // A text that may be there; what it is otherwise is noted.
  std::optional<PlacedText> optional_text(std::string_view key) const;
  // A list of distinct texts, at least one; must be there.
  std::vector<PlacedText> texts(std::string_view key) const;
  // A list of ascending integers above 0, at least one; must be there.
  std::vector<std::int64_t> ascending(std::string_view key) const;
  // A boolean that may be there.
  std::optional<bool> flag(std::string_view key) const;
  // An integer that may be there, within [low, high].
  std::optional<std::int64_t> number(std::string_view key, std::int64_t low,
                                     std::int64_t high) const;
  // A table that may be there.
  std::optional<Section> section(std::string_view key) const;
  // An array of tables that may be there: [[key]].
  std::vector<Section> sections(std::string_view key) const;
  // Everything in it, by key: the order in the file means nothing.
  std::vector<SectionEntry> entries() const;
  // A node's view as a section of the same file.
  Section of(const toml::table& table) const { return Section(table, *file_, *errors_); }

  // Where the table starts, where one of its values stands, and where a node stands.
  Place place() const { return place_of(*table_); }
  Place place_of(std::string_view key) const;
  Place place_of(const toml::node& node) const;
  // Notes an error at a place.
  void error(const Place& place, std::string message) const;
  ErrorList& errors() const { return *errors_; }

 private:
  const toml::table* table_;
  const std::string* file_;
  ErrorList* errors_;
};

}  // namespace tidemark
