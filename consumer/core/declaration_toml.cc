#include "consumer/core/declaration_toml.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <iterator>
#include <system_error>

#include "consumer/core/declaration_toml_draft.h"
#include "consumer/core/declaration_toml_section.h"

namespace tidemark {
namespace {

// A declaration is written by hand; what is larger is another file, given by mistake.
constexpr std::uintmax_t kFileBytesMax = 1024 * 1024;
constexpr std::size_t kFilesMax = 1000;

using Errors = std::vector<DeclarationError>;

// toml++ says "cannot redefine existing integer 'a'" of a doubled key; that is its jargon.
std::string syntax_message(std::string_view description) {
  constexpr std::string_view kRedefine = "cannot redefine existing ";
  const std::size_t at = description.find(kRedefine);
  if (at == std::string_view::npos) return std::string(description);
  return fmt::format("doubled key: {} stands here again; expected each key once",
                     description.substr(at + kRedefine.size()));
}

std::optional<toml::table> parse_toml(const DeclarationFile& file, ErrorList& errors) {
  try {
    return toml::parse(std::string_view(file.text), std::string_view(file.name));
  } catch (const toml::parse_error& e) {
    const auto& begin = e.source().begin;
    errors.add({file.name, begin.line, begin.column}, syntax_message(e.description()));
    return std::nullopt;
  }
}

void read_head(const Section& root, Drafts& drafts) {
  if (root.has("table") && root.has("aggregate")) {
    root.error(root.place_of("aggregate"),
               "found both 'table' and 'aggregate'; expected one of them in a file");
    drafts.complete = false;
  } else if (root.has("rule")) {
    drafts.rules.push_back(read_rule_head(root));
  } else if (root.has("table")) {
    drafts.tables.push_back(read_table_head(root));
    if (drafts.tables.back().table.name.name.empty()) drafts.complete = false;
  } else if (root.has("aggregate")) {
    drafts.aggregates.push_back(read_aggregate_head(root));
    if (drafts.aggregates.back().aggregate.name.name.empty()) drafts.complete = false;
  } else {
    const std::vector<std::string> expected = {"table", "aggregate", "rule"};
    std::string hint;
    for (const SectionEntry& entry : root.entries()) {
      if (hint.empty()) hint = did_you_mean(entry.key.text, expected);
    }
    root.error(root.place(),
               fmt::format("missing key 'table', 'aggregate' or 'rule', which says what "
                           "the file declares{}",
                           hint));
    drafts.complete = false;
  }
}

// Orders drafts by name, and notes names that stand twice.
template <class Draft, class NameOf>
void order_by_name(std::vector<Draft>& drafts, std::string_view key, NameOf name_of) {
  std::stable_sort(drafts.begin(), drafts.end(),
                   [&](const Draft& a, const Draft& b) { return name_of(a) < name_of(b); });
  for (std::size_t i = 1; i < drafts.size(); ++i) {
    const QualifiedName& name = name_of(drafts[i]);
    if (name.name.empty() || name != name_of(drafts[i - 1])) continue;
    const Section& root = drafts[i].root;
    root.error(root.place_of(key), fmt::format("{} {} is declared twice; first in {}", key,
                                               name.text(), drafts[i - 1].root.place().file));
  }
}

const QualifiedName& table_name(const TableDraft& draft) { return draft.table.name; }
const QualifiedName& aggregate_name(const AggregateDraft& draft) { return draft.aggregate.name; }

// A watched aggregate would count its own counting.
void check_disjoint(const Drafts& drafts) {
  for (const AggregateDraft& aggregate : drafts.aggregates) {
    for (const TableDraft& table : drafts.tables) {
      const QualifiedName& name = aggregate_name(aggregate);
      if (name.name.empty() || name != table_name(table)) continue;
      aggregate.root.error(aggregate.root.place_of("aggregate"),
                           fmt::format("aggregate {} is a watched table too, in {}; expected one "
                                       "or the other",
                                       name.text(), table.table.file));
    }
  }
}

// A recount would set a counter that nothing feeds to zero, and destroy what another writer counts.
void check_fed(const Drafts& drafts) {
  for (std::size_t a = 0; a < drafts.aggregates.size(); ++a) {
    const AggregateDraft& draft = drafts.aggregates[a];
    for (std::size_t c = 0; c < draft.aggregate.counters.size(); ++c) {
      const auto feeds = [&](const Contribution& contribution) {
        return contribution.aggregate.value == a && contribution.counter.value == c;
      };
      const auto fed_by = [&](const TableDraft& t) {
        return std::any_of(t.table.contributions.begin(), t.table.contributions.end(), feeds);
      };
      if (std::any_of(drafts.tables.begin(), drafts.tables.end(), fed_by)) continue;
      draft.root.error(draft.root.place_of("counters"),
                       fmt::format("counter '{}' of {} gets no contribution from any table; a "
                                   "recount would set it to zero",
                                   draft.aggregate.counters[c].name, draft.aggregate.name.text()));
    }
  }
}

void resolve(Drafts& drafts, ErrorList& errors) {
  order_by_name(drafts.tables, "table", table_name);
  order_by_name(drafts.aggregates, "aggregate", aggregate_name);
  check_disjoint(drafts);
  for (TableDraft& draft : drafts.tables) read_table_uses(drafts, draft);
  for (AggregateDraft& draft : drafts.aggregates) {
    read_aggregate_uses(drafts, draft);
    read_recounted(drafts, draft);
    read_milestones(drafts, draft);
  }
  order_rules(drafts.rules);
  for (RuleDraft& draft : drafts.rules) read_rule_uses(drafts, draft);
  // A contribution that could not be read may be the one that is missed.
  if (errors.empty()) check_fed(drafts);
  if (errors.empty()) check_details(drafts);
}

std::vector<std::filesystem::path> list_toml(const std::filesystem::path& folder,
                                             ErrorList& errors) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().extension() == ".toml") paths.push_back(it->path());
  }
  if (error) {
    errors.add({folder.string()}, fmt::format("can't be read: {}; expected a folder of "
                                              "declarations",
                                              error.message()));
  } else if (paths.empty()) {
    errors.add({folder.string()}, "holds no declaration; expected files that end in .toml");
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

void read_file(const std::filesystem::path& path, std::vector<DeclarationFile>& out,
               ErrorList& errors) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) {
    errors.add({path.string()}, fmt::format("can't be read: {}", error.message()));
    return;
  }
  if (bytes > kFileBytesMax) {
    errors.add({path.string()},
               fmt::format("has {} bytes; expected at most {}", bytes, kFileBytesMax));
    return;
  }
  std::ifstream stream(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream) {
    errors.add({path.string()}, "can't be read");
    return;
  }
  out.push_back({path.string(), std::move(text)});
}

// Errors that are there already are about files that `files` lacks.
std::variant<Declaration, Errors> parse(std::span<const DeclarationFile> files,
                                        const ReadStatement& read_statement, ErrorList& errors) {
  Drafts drafts;
  drafts.read_statement = read_statement;
  drafts.complete = errors.empty();
  std::deque<toml::table> roots;  // drafts point into them
  for (const DeclarationFile& file : files) {
    std::optional<toml::table> root = parse_toml(file, errors);
    if (!root) {
      drafts.complete = false;
      continue;
    }
    roots.push_back(std::move(*root));
    read_head(Section(roots.back(), file.name, errors), drafts);
  }
  resolve(drafts, errors);
  if (!errors.empty()) return errors.take_sorted();

  Declaration declaration;
  for (TableDraft& draft : drafts.tables) declaration.tables.push_back(std::move(draft.table));
  for (AggregateDraft& draft : drafts.aggregates) {
    declaration.aggregates.push_back(std::move(draft.aggregate));
  }
  for (RuleDraft& draft : drafts.rules) declaration.rules.push_back(std::move(draft.rule));
  return declaration;
}

}  // namespace

std::string DeclarationError::text() const {
  if (line == 0) return fmt::format("{}: {}", file, message);
  return fmt::format("{}:{}:{}: {}", file, line, column, message);
}

std::variant<Declaration, std::vector<DeclarationError>> parse_declaration(
    std::span<const DeclarationFile> files, const ReadStatement& read_statement) {
  ErrorList errors;
  return parse(files, read_statement, errors);
}

std::variant<Declaration, std::vector<DeclarationError>> load_declaration(
    const std::filesystem::path& folder) {
  ErrorList errors;
  std::vector<DeclarationFile> files;
  for (const char* kind : {"tables", "aggregates", "rules"}) {
    std::error_code error;
    if (kind == std::string_view("rules") && !std::filesystem::exists(folder / kind, error)) {
      continue;  // an application may have counters alone
    }
    const std::vector<std::filesystem::path> paths = list_toml(folder / kind, errors);
    if (paths.size() > kFilesMax) {
      errors.add({(folder / kind).string()},
                 fmt::format("holds {} files; expected at most {}", paths.size(), kFilesMax));
      continue;
    }
    for (const std::filesystem::path& path : paths) read_file(path, files, errors);
  }
  const auto read_statement = [](const std::filesystem::path& path) {
    ErrorList unread;  // the error is the line's that names the file
    std::vector<DeclarationFile> statements;
    read_file(path, statements, unread);
    return statements.empty() ? std::nullopt : std::optional(std::move(statements.front().text));
  };
  return parse(files, read_statement, errors);
}

}  // namespace tidemark
