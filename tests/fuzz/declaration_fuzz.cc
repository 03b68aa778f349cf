// Any text as a declaration: errors that can be printed, or a declaration whose hash is stable.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "consumer/core/check.h"
#include "consumer/core/declaration.h"
#include "consumer/core/declaration_toml.h"

namespace {

// A line of its own that begins the next file, so that one input can hold several.
constexpr std::string_view kNextFile = "\n# file: ";

// Splits "<text>\n# file: <name>\n<text>..." into files; the first is a table's.
std::vector<tidemark::DeclarationFile> files_in(std::string_view input) {
  std::vector<tidemark::DeclarationFile> files;
  std::string name = "tables/a.toml";
  while (true) {
    const std::size_t next = input.find(kNextFile);
    files.push_back({name, std::string(input.substr(0, next))});
    if (next == std::string_view::npos) return files;
    input.remove_prefix(next + kNextFile.size());
    const std::size_t line_end = input.find('\n');
    name = std::string(input.substr(0, line_end));
    input.remove_prefix(line_end == std::string_view::npos ? input.size() : line_end + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<tidemark::DeclarationFile> files =
      files_in({reinterpret_cast<const char*>(data), size});
  const auto result = tidemark::parse_declaration(files);
  if (const auto* errors = std::get_if<std::vector<tidemark::DeclarationError>>(&result)) {
    TIDEMARK_CHECK(!errors->empty());
    for (const tidemark::DeclarationError& error : *errors) TIDEMARK_CHECK(!error.text().empty());
    return 0;
  }
  const auto& declaration = std::get<tidemark::Declaration>(result);
  TIDEMARK_CHECK(tidemark::declaration_hash(declaration).size() == 32);
  return 0;
}
