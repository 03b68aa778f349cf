#include "tests/support/captures.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace tidemark::testing {
namespace {

struct CloseGzip {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

// A file's text; zlib reads plain files as they are.
std::string read_text(const std::string& path) {
  const std::unique_ptr<gzFile_s, CloseGzip> file(gzopen(path.c_str(), "rb"));
  if (!file) throw std::runtime_error("can't open " + path);
  std::string text;
  std::array<char, 65536> chunk{};
  while (true) {
    const int got = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()));
    if (got < 0) throw std::runtime_error("can't read " + path);
    if (got == 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
}

std::optional<std::string> optional_text(const nlohmann::json& json) {
  if (json.is_null()) return std::nullopt;
  return json.get<std::string>();
}

}  // namespace

std::string_view CapturedRecord::table() const {
  if (std::count(topic.begin(), topic.end(), '.') != 2) return {};
  return std::string_view(topic).substr(topic.rfind('.') + 1);
}

Record CapturedRecord::record(std::uint32_t slot) const {
  return {slot, topic, Partition{partition}, Offset{offset}, KafkaTimestamp{timestamp_ms},
          key,  value};
}

std::vector<CapturedRecord> read_capture(std::string_view file) {
  const std::string path = TIDEMARK_SOURCE_DIR "/../shared/captures/" + std::string(file);
  std::istringstream lines(read_text(path));
  std::vector<CapturedRecord> records;
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json json = nlohmann::json::parse(line);
    CapturedRecord record;
    record.topic = json.at("topic").get<std::string>();
    record.partition = json.at("partition").get<std::int32_t>();
    record.offset = json.at("offset").get<std::int64_t>();
    record.timestamp_ms = json.at("timestamp").get<std::int64_t>();
    record.key = optional_text(json.at("key"));
    record.value = optional_text(json.at("value"));
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace tidemark::testing
