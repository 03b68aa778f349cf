// The house rules that a compiler doesn't check: arrows between layers, sizes, who includes which
// library (consumer/ARCHITECTURE.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace tidemark {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFileLinesMax = 600;
constexpr std::size_t kLineColumnsMax = 100;

const fs::path kRoot = TIDEMARK_SOURCE_DIR;

struct SourceFile {
  std::string name;    // "consumer/core/fold.cc"
  std::string folder;  // "core"; "" for main.cc
  std::vector<std::string> lines;
  std::vector<std::string> includes;
};

SourceFile read_source(const fs::path& path, const fs::path& below) {
  SourceFile file;
  file.name = fs::relative(path, kRoot).string();
  file.folder = path.parent_path() == below ? "" : path.parent_path().filename().string();
  std::ifstream in(path);
  const std::regex include(R"rx(^\s*#\s*include\s*[<"]([^>"]+)[>"])rx");
  for (std::string line; std::getline(in, line);) {
    if (std::smatch match; std::regex_search(line, match, include)) {
      file.includes.push_back(match[1]);
    }
    file.lines.push_back(line);
  }
  return file;
}

std::vector<SourceFile> sources(const std::string& below) {
  std::vector<SourceFile> files;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / below)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".cc" || extension == ".h") {
      files.push_back(read_source(entry.path(), kRoot / below));
    }
  }
  return files;
}

TEST(Tidy, LayersKnowOnlyWhatIsBelowThem) {
  const std::map<std::string, std::set<std::string>> may_know = {
      {"core", {"core"}},           {"kafka", {"core", "kafka"}},
      {"store", {"core", "store"}}, {"service", {"core", "kafka", "store", "service"}},
      {"", {"core", "service"}},  // main starts
  };
  const std::regex ours("^consumer/([a-z]+)/");
  const auto files = sources("consumer");
  ASSERT_GT(files.size(), 20U);
  for (const SourceFile& file : files) {
    ASSERT_TRUE(may_know.contains(file.folder)) << file.name << ": an unknown layer";
    for (const std::string& include : file.includes) {
      std::smatch match;
      if (!std::regex_search(include, match, ours)) continue;
      EXPECT_TRUE(may_know.at(file.folder).contains(match[1]))
          << file.name << " includes " << include;
    }
  }
}

TEST(Tidy, ThePipelineKnowsTheCoreAlone) {
  const std::set<std::string> pure = {"pipeline", "applier", "lane", "advisory_commit", "observer"};
  for (const SourceFile& file : sources("consumer")) {
    if (file.folder != "service" || !pure.contains(fs::path(file.name).stem().string())) continue;
    for (const std::string& include : file.includes) {
      EXPECT_FALSE(include.starts_with("consumer/kafka/") || include.starts_with("consumer/store/"))
          << file.name << " includes " << include;
    }
  }
}

TEST(Tidy, EachLibraryHasOneUser) {
  const std::vector<std::pair<std::regex, std::string>> users = {
      {std::regex("librdkafka/"), "^consumer/kafka/"},
      {std::regex("^pqxx|libpq"), "^consumer/store/"},
      {std::regex("^simdjson"), "^consumer/core/decode"},
      {std::regex("^toml\\+\\+"), "^consumer/core/declaration_toml"},
      {std::regex("^httplib"), "^consumer/service/http"},
      {std::regex("^prometheus"), "^consumer/service/([a-z]+_)?metrics"},
      {std::regex("^CLI/"), "^consumer/main"},
      {std::regex("^systemd/"), "^consumer/service/sd_notify"},
  };
  for (const SourceFile& file : sources("consumer")) {
    for (const std::string& include : file.includes) {
      for (const auto& [library, user] : users) {
        if (!std::regex_search(include, library)) continue;
        EXPECT_TRUE(std::regex_search(file.name, std::regex(user)))
            << file.name << " includes " << include;
      }
    }
  }
}

TEST(Tidy, FilesAndLinesStayShort) {
  for (const std::string tree : {"consumer", "tests"}) {
    for (const SourceFile& file : sources(tree)) {
      EXPECT_LE(file.lines.size(), kFileLinesMax) << file.name;
      for (std::size_t i = 0; i < file.lines.size(); ++i) {
        EXPECT_LE(file.lines[i].size(), kLineColumnsMax) << file.name << ":" << i + 1;
      }
    }
  }
}

TEST(Tidy, HeadersBeginWithTheirContract) {
  for (const SourceFile& file : sources("consumer")) {
    if (!file.name.ends_with(".h")) continue;
    ASSERT_FALSE(file.lines.empty()) << file.name;
    EXPECT_TRUE(file.lines[0].starts_with("// ")) << file.name;
    EXPECT_NE(std::ranges::find(file.lines, "#pragma once"), file.lines.end()) << file.name;
  }
}

TEST(Tidy, CoreHasNoClockAndNoSocket) {
  const std::regex forbidden(R"((_clock::now|gettimeofday|std::thread|sleep_for|::socket\())");
  for (const SourceFile& file : sources("consumer/core")) {
    for (const std::string& line : file.lines) {
      EXPECT_FALSE(std::regex_search(line, forbidden)) << file.name << ": " << line;
    }
  }
}

// user_ids @> array[id] uses the GIN index; id = any(user_ids) never does (DOMAIN 4).
TEST(Tidy, SqlAsksForMembershipAsTheIndexServesIt) {
  const std::regex slow(R"(=\s*any\s*\(\s*user_ids)", std::regex::icase);
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / "sql")) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) {
      EXPECT_FALSE(std::regex_search(line, slow)) << entry.path() << ": " << line;
    }
  }
}

}  // namespace
}  // namespace tidemark
