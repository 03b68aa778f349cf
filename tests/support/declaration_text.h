// For tests of declarations' texts: change one thing, and read what is said.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "consumer/core/declaration_toml.h"

namespace tidemark::testing {

// `text` with one part of it replaced, which must be there.
inline std::string with(std::string text, const std::string& old_part,
                        const std::string& new_part) {
  const std::size_t at = text.find(old_part);
  EXPECT_NE(at, std::string::npos) << "the test changes what isn't there: " << old_part;
  if (at == std::string::npos) return text;
  return text.replace(at, old_part.size(), new_part);
}

// What was refused; empty: nothing was.
inline std::vector<std::string> error_texts(
    const std::variant<Declaration, std::vector<DeclarationError>>& parsed) {
  std::vector<std::string> texts;
  if (const auto* errors = std::get_if<std::vector<DeclarationError>>(&parsed)) {
    for (const DeclarationError& error : *errors) texts.push_back(error.text());
  }
  return texts;
}

}  // namespace tidemark::testing
