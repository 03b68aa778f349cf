// Reads a Declaration from TOML files.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "consumer/core/declaration.h"

namespace tidemark {

// One thing wrong in a declaration: where, what was found, what was expected. Lines and columns
// count from 1; 0 when the whole file is meant.
struct DeclarationError {
  std::string file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::string message;

  // "schemas/tables/saves.toml:12:3: unknown key 'collumns'; expected one of ..."
  std::string text() const;
};

// A TOML file that was read: its name for messages, and its text.
struct DeclarationFile {
  std::string name;
  std::string text;
};

// Gives the text of a SQL statement that a declaration names; none: it can't be read.
using ReadStatement = std::function<std::optional<std::string>(const std::filesystem::path&)>;

// All of the errors that were found, or the declaration. Pure: reads nothing but by its arguments.
// Paths of statements stand relative to the file that names them.
std::variant<Declaration, std::vector<DeclarationError>> parse_declaration(
    std::span<const DeclarationFile> files, const ReadStatement& read_statement = {});

// Reads tables/*.toml, aggregates/*.toml and rules/*.toml below `folder`, and the statements that
// they name, and parses them. A folder or file that can't be read is an error like the others.
std::variant<Declaration, std::vector<DeclarationError>> load_declaration(
    const std::filesystem::path& folder);

}  // namespace tidemark
