#include "consumer/core/decode_frame.h"

#include <algorithm>
#include <charconv>

#include "consumer/core/types.h"

namespace tidemark {
namespace {

constexpr std::size_t kRegistryPrefixBytes = 5;

bool take(std::string_view& text, std::string_view wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(wanted.size());
  return true;
}

// Takes `null` or a number between escaped quotes.
SequenceForm take_lsn(std::string_view& text, std::optional<Lsn>& lsn) {
  if (take(text, "null")) return SequenceForm::kRead;
  if (!take(text, R"(\")")) return SequenceForm::kOther;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) return SequenceForm::kTooBig;
  if (error != std::errc{}) return SequenceForm::kOther;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!take(text, R"(\")")) return SequenceForm::kOther;
  lsn = Lsn{number};
  return SequenceForm::kRead;
}

}  // namespace

std::optional<std::string_view> json_in(std::string_view value) {
  if (value.empty() || value.front() != '\0') return value;
  if (value.size() <= kRegistryPrefixBytes) return std::nullopt;
  value.remove_prefix(kRegistryPrefixBytes);
  if (value.front() != '{') return std::nullopt;
  return value;
}

bool is_other_json(std::string_view json) {
  const std::size_t begin = json.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && json[begin] != '{';
}

bool deeper_than(std::string_view text, std::size_t depth_max) {
  if (text.size() <= depth_max) return false;
  // Most texts have fewer brackets than the limit, and counting is a fraction of scanning. '[' and
  // '{' differ in the one bit 0x20.
  const auto opening =
      std::count_if(text.begin(), text.end(), [](char c) { return (c | 0x20) == '{'; });
  if (static_cast<std::size_t>(opening) <= depth_max) return false;
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > depth_max) return true;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

SequenceForm sequence_of(std::string_view raw, std::optional<Position>& position) {
  position.reset();
  std::optional<Lsn> last_commit;
  std::optional<Lsn> lsn;
  if (!take(raw, "[")) return SequenceForm::kOther;
  if (const auto form = take_lsn(raw, last_commit); form != SequenceForm::kRead) return form;
  if (!take(raw, ",")) return SequenceForm::kOther;
  if (const auto form = take_lsn(raw, lsn); form != SequenceForm::kRead) return form;
  if (raw != "]") return SequenceForm::kOther;
  if (lsn) position = Position{last_commit, *lsn};
  return SequenceForm::kRead;
}

}  // namespace tidemark
