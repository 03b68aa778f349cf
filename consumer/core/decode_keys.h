// Which of an object's expected names a key is, told from the order that was seen last time.
// Internal to the decoder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemark {

// Debezium writes an object's keys in the same order every time, so the key at a place is
// compared with the one that stood there before: one memcmp, no search. Learns by itself; any order
// gives the same answers, another than last time only more slowly.
class KeyPlan {
 public:
  // Answers beside an index into the names.
  static constexpr int kOther = -1;  // none of the names
  static constexpr int kMiss = -2;   // not what stood here last time: ask `find`
  // A longer key is never learned, so `match` reads at most this and a quote.
  static constexpr std::size_t kKeyBytesMax = 256;

  // `names` are unescaped, each once. Their indexes are the answers.
  explicit KeyPlan(std::vector<std::string> names) : names_(std::move(names)) {}

  class Cursor;

 private:
  // A key at a place. `head` and `mask` are its first bytes, and which of them count.
  using Words = std::array<std::uint64_t, 2>;
  struct Learned {
    Words head{};
    Words mask{};
    int name = kOther;
    std::string quoted;  // the key as it stood, and its closing quote, so that no prefix matches
  };

  int find(std::size_t place, std::string_view raw, std::string_view name);

  std::vector<std::string> names_;
  std::vector<Learned> learned_;  // by place
};

// Walks over one object's keys, in their order. One per object; the plan must outlive it, and a
// second cursor on the same plan must not be used meanwhile.
class KeyPlan::Cursor {
 public:
  explicit Cursor(KeyPlan& plan)
      : plan_(plan), at_(plan.learned_.data()), end_(at_ + plan.learned_.size()) {}

  // What the next key is. `raw` points behind its opening quote, at the key as it stands in the
  // document, escapes included, its closing quote, and at least kKeyBytesMax + 1 readable bytes.
  int match(const char* raw) {
    ++place_;
    if (at_ == end_) return kMiss;
    const Learned& last = *at_++;
    // A call of memcmp for each key would be a tenth of the whole decoding.
    Words words;
    std::memcpy(&words[0], raw, sizeof(words[0]));
    std::memcpy(&words[1], raw + sizeof(words[0]), sizeof(words[1]));
    if ((((words[0] & last.mask[0]) ^ last.head[0]) | ((words[1] & last.mask[1]) ^ last.head[1])) !=
        0) {
      return kMiss;
    }
    if (last.quoted.size() <= sizeof(Words)) return last.name;
    return std::memcmp(raw, last.quoted.data(), last.quoted.size()) == 0 ? last.name : kMiss;
  }

  // The same key, after kMiss: looks `name` up, and remembers that `raw` (without quotes, escapes
  // included) stood here.
  int find(std::string_view raw, std::string_view name);

 private:
  KeyPlan& plan_;
  const Learned* at_;
  const Learned* end_;
  std::size_t place_ = 0;  // of the key after the current one
};

// The key that starts at `raw`, escapes included, without its closing quote, which must come
// before `end`.
std::string_view raw_key(const char* raw, const char* end);

}  // namespace tidemark
