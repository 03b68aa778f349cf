#include "consumer/core/decode_keys.h"

#include <algorithm>

namespace tidemark {
namespace {

// Places that are learned: PostgreSQL has at most 1,600 columns in a table. Later keys of a
// (hostile) object are searched each time, so that memory stays bounded.
constexpr std::size_t kPlacesMax = 2048;

}  // namespace

int KeyPlan::find(std::size_t place, std::string_view raw, std::string_view name) {
  const auto found = std::find(names_.begin(), names_.end(), name);
  const int index = found == names_.end() ? kOther : static_cast<int>(found - names_.begin());
  if (place <= learned_.size() && place < kPlacesMax && raw.size() <= kKeyBytesMax) {
    if (place == learned_.size()) learned_.emplace_back();
    Learned& learned = learned_[place];
    learned.quoted.assign(raw).push_back('"');
    learned.name = index;
    const std::size_t bytes = std::min(learned.quoted.size(), sizeof(Words));
    learned.head = {};
    learned.mask = {};
    std::memcpy(learned.head.data(), learned.quoted.data(), bytes);
    std::memset(learned.mask.data(), 0xff, bytes);
  }
  return index;
}

int KeyPlan::Cursor::find(std::string_view raw, std::string_view name) {
  const int index = plan_.find(place_ - 1, raw, name);
  at_ = plan_.learned_.data() + std::min(place_, plan_.learned_.size());
  end_ = plan_.learned_.data() + plan_.learned_.size();
  return index;
}

std::string_view raw_key(const char* raw, const char* end) {
  const char* at = raw;
  while (at < end && *at != '"') at += *at == '\\' ? 2 : 1;
  return {raw, static_cast<std::size_t>(std::min(at, end) - raw)};
}

}  // namespace tidemark
