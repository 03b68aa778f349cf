// The only file that includes simdjson. Its On-Demand interface finds all tokens first, and checks
// there that strings end and that the text is UTF-8; then it reads the document once, from front to
// back, and checks only what is read. What it leaves unchecked, and what we do:
// - what follows the document: `read_document` looks, so a record cut at any byte is found;
// - depth, as values that nobody reads are not descended into: `skip_container` measures them;
// - the inside of values that nobody reads (undeclared columns, `transaction`): brackets balance;
//   no more is promised.
#include "consumer/core/decode.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "consumer/core/decode_envelope.h"
#include "consumer/core/decode_frame.h"
#include "consumer/core/decode_keys.h"
#include "consumer/core/decode_plan.h"
#include "consumer/core/decode_value.h"

namespace tidemark {
namespace {

namespace od = simdjson::ondemand;

// Zero bytes behind the document: what simdjson reads beyond it, and KeyPlan::match.
constexpr std::size_t kPaddingBytes = simdjson::SIMDJSON_PADDING + KeyPlan::kKeyBytesMax + 1;
constexpr std::size_t kBufferBytesMin = 4096;
// A buffer that grew beyond this is given back at the next record that fits below: a parser takes
// six times its document's bytes, and one large record must not hold them for ever.
constexpr std::size_t kKeepBytesMax = 1024 * 1024;
// A longer schema text is not remembered, but read each time.
constexpr std::size_t kSchemaBytesMax = 256 * 1024;

// Objects around the fields of the outermost one.
constexpr std::size_t kRootDepth = 1;

// An object's or array's text; consumes it.
simdjson::simdjson_result<std::string_view> raw_container(od::value& value,
                                                          std::string_view token) {
  if (token.front() == '{') {
    od::object object;
    if (const auto error = value.get_object().get(object)) return error;
    return object.raw_json();
  }
  od::array array;
  if (const auto error = value.get_array().get(array)) return error;
  return array.raw_json();
}

}  // namespace

// Its functions return false when the record is bad, and say in `bad` why. Those that do so are
// kept out of line, as the way of good records is measured in nanoseconds.
struct Decoder::Impl {
  Impl(const Declaration& declaration, DecodeLimits decode_limits)
      : limits(decode_limits),
        root_keys(to_names(kFieldNames)),
        payload_keys(to_names(kFieldNames)),
        source_keys(to_names(kSourceNames)) {
    for (std::size_t i = 0; i < declaration.tables.size(); ++i) {
      plans.emplace_back(TableIndex{static_cast<std::uint32_t>(i)}, declaration.tables[i]);
    }
  }

  DecodeResult decode(const Record& record, const TopicTables& topic, Change& change);
  bool load(std::string_view json);
  bool reserve(std::size_t bytes);
  bool read(const TopicTables& topic, Change& change);
  bool read_document(Change& change);

  template <class Visit>
  bool each_field(od::value& value, KeyPlan& keys, Visit&& visit);
  template <class Visit>
  bool each_field(od::object& object, KeyPlan& keys, Visit&& visit);
  bool find_key(od::field& field, KeyPlan::Cursor& cursor, int& name);
  bool skip(od::value& value, std::string_view token, std::size_t depth);
  bool skip_container(od::value& value, std::string_view token, std::size_t depth);
  bool read_text(od::value& value, std::string_view token, std::string_view& text);
  bool unescape(od::value& value, std::string_view inner, std::string_view& text);

  bool read_fields(od::object& object, KeyPlan& keys, Change& change);
  bool read_field(Field field, od::value& value, std::string_view token, Change& change);
  bool read_word(Field field, od::value& value, std::string_view token);
  bool read_payload(od::value& value, std::string_view token, Change& change);
  bool read_image(Field field, od::value& value, std::string_view token, RowImage& row);
  bool read_row(Field image, od::value& value, RowImage& row);
  bool read_value(Field image, const Column& column, TimeUnit unit, od::value& value,
                  std::string_view token, Value& out);

  bool read_source(od::value& value, std::string_view token, Change& change);
  bool read_source_field(SourceField field, od::value& value, std::string_view token,
                         Change& change);
  bool read_sequence(od::value& value, std::string_view token, std::optional<Position>& position);
  SequenceForm sequence_slowly(std::string_view text, std::optional<Position>& position);

  bool read_schema(od::value& value, std::string_view token);
  bool use_schema();
  bool read_units();

  // Objects around the fields of the envelope.
  std::size_t depth() const { return kRootDepth + (envelope.has(Field::kPayload) ? 1 : 0); }

  [[gnu::cold, gnu::noinline]] bool fail(BadCode code, std::string reason);
  [[gnu::cold, gnu::noinline]] bool fail_json(simdjson::error_code error);
  [[gnu::cold, gnu::noinline]] bool fail_deep();
  [[gnu::cold, gnu::noinline]] bool fail_type(std::string_view token, std::string_view place,
                                              std::string_view expected);
  [[gnu::cold, gnu::noinline]] bool fail_range(std::string_view place);
  [[gnu::cold, gnu::noinline]] bool fail_doubled(std::string_view within, std::string_view name);
  [[gnu::cold, gnu::noinline]] bool fail_value(BadCode code, Field image, const Column& column);
  [[gnu::cold, gnu::noinline]] bool fail_within(Field image, const Column& column);
  [[gnu::cold, gnu::noinline]] bool fail_missing(Field image);
  [[gnu::cold, gnu::noinline]] bool fail_no_object(std::string_view json);

  DecodeLimits limits;
  std::vector<TablePlan> plans;  // by TableIndex
  KeyPlan root_keys;
  KeyPlan payload_keys;
  KeyPlan source_keys;

  od::parser parser;
  simdjson::dom::parser small_parser;  // for texts within the document; seldom used
  std::unique_ptr<char[]> buffer;      // the document and its padding
  std::size_t capacity = 0;            // bytes that `buffer` has for a document
  std::size_t length = 0;              // of the document
  od::document document;

  // Of the record that is being decoded.
  Envelope envelope;
  TablePlan* plan = nullptr;                     // none: rows are skipped
  const std::vector<TimeUnit>* units = nullptr;  // of `plan`
  std::string_view schema;                       // raw JSON, in `buffer`; empty: none was seen
  bool read_again = false;                       // the schema came behind its payload
  BadRecord bad{};
};

// --- What is wrong ---

bool Decoder::Impl::fail(BadCode code, std::string reason) {
  bad = {code, std::move(reason)};
  return false;
}

bool Decoder::Impl::fail_json(simdjson::error_code error) {
  if (error == simdjson::MEMALLOC) throw std::bad_alloc();
  if (error == simdjson::UTF8_ERROR) return fail(BadCode::kBadEncoding, "not UTF-8");
  return fail(BadCode::kBadJson,
              fmt::format("not JSON, or cut off: {}", simdjson::error_message(error)));
}

bool Decoder::Impl::fail_deep() {
  return fail(BadCode::kTooDeep, fmt::format("nested deeper than {}", limits.depth_max));
}

bool Decoder::Impl::fail_type(std::string_view token, std::string_view place,
                              std::string_view expected) {
  if (!is_string(token) && literal_kind(token) == LiteralKind::kInvalid) {
    return fail_json(simdjson::TAPE_ERROR);
  }
  return fail(BadCode::kWrongType, fmt::format("{}: expected {}", place, expected));
}

bool Decoder::Impl::fail_range(std::string_view place) {
  return fail(BadCode::kOutOfRange, fmt::format("{}: out of range", place));
}

bool Decoder::Impl::fail_doubled(std::string_view within, std::string_view name) {
  return fail(BadCode::kDoubledField, fmt::format("{}{} stands twice", within, name));
}

bool Decoder::Impl::fail_value(BadCode code, Field image, const Column& column) {
  return fail(code, bad_value_reason(code, name_of(image), column));
}

bool Decoder::Impl::fail_within(Field image, const Column& column) {
  return fail(bad.code, fmt::format("{}.{}: {}", name_of(image), column.name, bad.reason));
}

bool Decoder::Impl::fail_missing(Field image) {
  const auto first = std::find(plan->found.begin(), plan->found.end(), 0) - plan->found.begin();
  return fail(BadCode::kMissingColumn,
              fmt::format("{}.{}: the declared column is missing", name_of(image),
                          plan->table->columns[static_cast<std::size_t>(first)].name));
}

bool Decoder::Impl::fail_no_object(std::string_view json) {
  if (deeper_than(json, limits.depth_max)) return fail_deep();
  if (const auto error = small_parser.parse(json.data(), json.size()).error()) {
    return fail_json(error);
  }
  return fail(BadCode::kNotAnEnvelope, "JSON, but no object");
}

// --- The bytes ---

bool Decoder::Impl::load(std::string_view json) {
  const bool shrink = capacity > kKeepBytesMax && json.size() <= kKeepBytesMax;
  if ((json.size() > capacity || shrink || capacity == 0) && !reserve(json.size())) return false;
  length = json.size();
  std::copy(json.begin(), json.end(), buffer.get());
  std::memset(buffer.get() + length, 0, kPaddingBytes);
  const simdjson::padded_string_view text(buffer.get(), length, capacity + kPaddingBytes);
  if (const auto error = parser.iterate(text).get(document)) return fail_json(error);
  return true;
}

bool Decoder::Impl::reserve(std::size_t bytes) {
  std::size_t wanted = kBufferBytesMin;
  while (wanted < bytes) wanted *= 2;
  document = od::document();
  parser = od::parser();
  small_parser = simdjson::dom::parser();
  buffer = std::make_unique<char[]>(wanted + kPaddingBytes);
  capacity = wanted;
  if (const auto error = parser.allocate(capacity)) return fail_json(error);
  return true;
}

// --- JSON ---

template <class Visit>
bool Decoder::Impl::each_field(od::value& value, KeyPlan& keys, Visit&& visit) {
  od::object object;
  if (const auto error = value.get_object().get(object)) return fail_json(error);
  return each_field(object, keys, std::forward<Visit>(visit));
}

// Calls visit(name, value, token) for each field; `name` is what `keys` says.
template <class Visit>
bool Decoder::Impl::each_field(od::object& object, KeyPlan& keys, Visit&& visit) {
  KeyPlan::Cursor cursor(keys);
  for (simdjson::simdjson_result<od::field> item : object) {
    if (const auto error = item.error()) return fail_json(error);
    // In place: a copy is read back in wider pieces than it was stored, and each stalls.
    od::field& field = const_cast<od::field&>(item.value_unsafe());
    int name = cursor.match(field.key().raw());
    if (name == KeyPlan::kMiss && !find_key(field, cursor, name)) return false;
    const std::string_view token = trimmed(field.value().raw_json_token());
    if (token.empty()) return fail_json(simdjson::INCOMPLETE_ARRAY_OR_OBJECT);
    if (!visit(name, field.value(), token)) return false;
  }
  return true;
}

bool Decoder::Impl::find_key(od::field& field, KeyPlan::Cursor& cursor, int& name) {
  const std::string_view raw = raw_key(field.key().raw(), buffer.get() + length);
  std::string_view key = raw;
  if (raw.find('\\') != std::string_view::npos) {
    if (const auto error = field.unescaped_key().get(key)) return fail_json(error);
  }
  name = cursor.find(raw, key);
  return true;
}

// Passes over a value within `outside` objects.
bool Decoder::Impl::skip(od::value& value, std::string_view token, std::size_t outside) {
  const char first = token.front();
  if (first == '"' || (first >= '0' && first <= '9')) return true;
  if (is_container(token)) return skip_container(value, token, outside);
  return literal_kind(token) != LiteralKind::kInvalid || fail_json(simdjson::TAPE_ERROR);
}

bool Decoder::Impl::skip_container(od::value& value, std::string_view token, std::size_t outside) {
  std::string_view raw;
  if (const auto error = raw_container(value, token).get(raw)) return fail_json(error);
  const bool deep = outside > limits.depth_max || deeper_than(raw, limits.depth_max - outside);
  return !deep || fail_deep();
}

// A string's text: in the document where it has no escapes, else in the parser's buffer.
bool Decoder::Impl::read_text(od::value& value, std::string_view token, std::string_view& text) {
  text = token.substr(1, token.size() - 2);
  if (std::memchr(text.data(), '\\', text.size()) == nullptr) return true;
  return unescape(value, text, text);
}

bool Decoder::Impl::unescape(od::value& value, std::string_view inner, std::string_view& text) {
  if (const auto error = value.get_string().get(text)) {
    const bool surrogate = inner.find("\\ud") != std::string_view::npos ||
                           inner.find("\\uD") != std::string_view::npos;
    if (error != simdjson::STRING_ERROR || !surrogate) return fail_json(error);
    return fail(BadCode::kBadEncoding, "a lone surrogate in a string");
  }
  if (text.find('\0') == std::string_view::npos) return true;
  return fail(BadCode::kBadEncoding, "a NUL in a string, which Postgres can't hold");
}

// --- Rows ---

bool Decoder::Impl::read_image(Field image, od::value& value, std::string_view token,
                               RowImage& row) {
  if (token == "null") return true;
  if (token.front() != '{') return fail_type(token, name_of(image), "an object or null");
  if (plan == nullptr) return skip_container(value, token, depth());
  if (!read_row(image, value, row)) return false;
  if (image == Field::kBefore) {
    hide_partial(*plan, row);
    return true;
  }
  const std::optional<std::size_t> null = forbidden_null(*plan, row);
  if (!null) return true;
  return fail(BadCode::kNullNotAllowed, fmt::format("after.{}: null, but declared not null",
                                                    plan->table->columns[*null].name));
}

bool Decoder::Impl::read_row(Field image, od::value& value, RowImage& row) {
  const Column* const columns = plan->table->columns.data();
  const TimeUnit* const column_units = units->data();
  std::size_t missing = plan->table->columns.size();
  row.assign(missing, Unknown{});
  plan->found.assign(missing, 0);
  const std::size_t row_depth = depth() + 1;
  Value* const values = row.data();
  std::uint8_t* const found = plan->found.data();
  const bool read =
      each_field(value, plan->keys, [&](int name, od::value& field, std::string_view token) {
        if (name < 0) return skip(field, token, row_depth);
        const auto i = static_cast<std::size_t>(name);
        if (found[i] != 0)
          return fail_doubled(image == Field::kBefore ? "before." : "after.", columns[i].name);
        found[i] = 1;
        --missing;
        return read_value(image, columns[i], column_units[i], field, token, values[i]);
      });
  if (!read) return false;
  return missing == 0 || fail_missing(image);
}

bool Decoder::Impl::read_value(Field image, const Column& column, TimeUnit unit, od::value& value,
                               std::string_view token, Value& out) {
  BadCode wrong{};
  if (!is_string(token)) {
    return decode_literal(column, unit, token, out, wrong) || fail_value(wrong, image, column);
  }
  std::string_view text;
  if (!read_text(value, token, text)) return fail_within(image, column);
  return decode_text(column, text, out, wrong) || fail_value(wrong, image, column);
}

// --- The source block ---

bool Decoder::Impl::read_source(od::value& value, std::string_view token, Change& change) {
  if (token == "null") return true;
  if (token.front() != '{') return fail_type(token, "source", "an object");
  std::uint32_t seen = 0;
  return each_field(value, source_keys, [&](int name, od::value& field, std::string_view text) {
    if (name < 0) return skip(field, text, depth() + 1);
    const auto which = static_cast<SourceField>(name);
    if ((seen & bit(which)) != 0) return fail_doubled("source.", name_of(which));
    seen |= bit(which);
    if (text == "null") return true;
    envelope.source_fields |= bit(which);
    return read_source_field(which, field, text, change);
  });
}

bool Decoder::Impl::read_source_field(SourceField field, od::value& value, std::string_view token,
                                      Change& change) {
  if (field <= SourceField::kTable) {
    if (!is_string(token)) return fail_type(token, "source.schema and source.table", "strings");
    return read_text(value, token,
                     field == SourceField::kSchema ? envelope.schema_name : envelope.table_name);
  }
  if (field == SourceField::kSequence) return read_sequence(value, token, change.position);
  std::int64_t number = 0;
  if (!integer_of(token, number)) {
    return fail_type(token, fmt::format("source.{}", name_of(field)), "an integer of 64 bits");
  }
  if (field == SourceField::kTxId && number < 0) return fail_range("source.txId");
  if (field == SourceField::kTxId) {
    change.tx_id = static_cast<std::uint64_t>(number);
  } else if (field == SourceField::kTsUs) {
    change.source_time_us = number;
  } else if ((envelope.source_fields & bit(SourceField::kTsUs)) == 0) {
    change.source_time_us = to_micros(number, TimeUnit::kMillis);
  }
  return true;
}

bool Decoder::Impl::read_sequence(od::value& value, std::string_view token,
                                  std::optional<Position>& position) {
  if (!is_string(token)) return fail_type(token, "source.sequence", "a string or null");
  SequenceForm form = sequence_of(token.substr(1, token.size() - 2), position);
  if (form == SequenceForm::kOther) {
    std::string_view text;
    if (!read_text(value, token, text)) return false;
    form = sequence_slowly(text, position);
  }
  if (form == SequenceForm::kRead) return true;
  if (form == SequenceForm::kOther) {
    return fail_type(token, "source.sequence", "an array of two LSNs or nulls, in a string");
  }
  return fail_range("source.sequence");
}

// With white space, say: brings it into the form that Debezium writes.
SequenceForm Decoder::Impl::sequence_slowly(std::string_view text,
                                            std::optional<Position>& position) {
  simdjson::dom::array pair;
  if (small_parser.parse(text.data(), text.size()).get(pair) || pair.size() != 2) {
    return SequenceForm::kOther;
  }
  std::array<std::string, 2> items{"null", "null"};
  for (std::size_t i = 0; i < items.size(); ++i) {
    const simdjson::dom::element item = pair.at(i).value_unsafe();
    std::string_view digits;
    if (item.is_null()) continue;
    if (item.get(digits)) return SequenceForm::kOther;
    items[i] = fmt::format(R"(\"{}\")", digits);
  }
  return sequence_of(fmt::format("[{},{}]", items[0], items[1]), position);
}

// --- The envelope ---

bool Decoder::Impl::read_fields(od::object& object, KeyPlan& keys, Change& change) {
  const bool in_payload = envelope.has(Field::kPayload);
  const std::uint32_t around =
      in_payload ? bit(Field::kSchema) | bit(Field::kPayload) : std::uint32_t{0};
  return each_field(object, keys, [&](int name, od::value& value, std::string_view token) {
    const auto field = static_cast<Field>(name);
    if (name < 0 || (bit(field) & around) != 0) {
      envelope.other_fields = true;
      return skip(value, token, depth());
    }
    if (envelope.has(field)) return fail_doubled("", name_of(field));
    if (field >= Field::kPassedOver) {
      envelope.fields |= bit(field);
      return skip(value, token, depth());
    }
    return read_field(field, value, token, change);
  });
}

bool Decoder::Impl::read_field(Field field, od::value& value, std::string_view token,
                               Change& change) {
  envelope.fields |= bit(field);
  switch (field) {
    case Field::kBefore:
      return read_image(field, value, token, change.before);
    case Field::kAfter:
      return read_image(field, value, token, change.after);
    case Field::kSource:
      return read_source(value, token, change);
    case Field::kOp:
    case Field::kStatus:
      return read_word(field, value, token);
    case Field::kSchema:
      return read_schema(value, token);
    case Field::kPayload:
      return read_payload(value, token, change);
    default:  // those that are passed over
      return skip(value, token, depth());
  }
}

bool Decoder::Impl::read_word(Field field, od::value& value, std::string_view token) {
  const bool is_op = field == Field::kOp;
  if (!is_string(token))
    return is_op ? fail_type(token, "op", "a string") : skip(value, token, depth());
  std::string_view text;
  if (!read_text(value, token, text)) return false;
  if (is_op) {
    envelope.op = known_op(text);
  } else {
    envelope.is_boundary = text == "BEGIN" || text == "END";
  }
  return true;
}

bool Decoder::Impl::read_payload(od::value& value, std::string_view token, Change& change) {
  envelope.null_payload = token == "null";
  if (token.front() != '{') return skip(value, token, kRootDepth);
  od::object object;
  if (const auto error = value.get_object().get(object)) return fail_json(error);
  return read_fields(object, payload_keys, change);
}

// --- Schemas (schemas.enable=true) ---

bool Decoder::Impl::read_schema(od::value& value, std::string_view token) {
  if (token.front() != '{' || !schema.empty()) return skip(value, token, kRootDepth);
  if (const auto error = raw_container(value, token).get(schema)) return fail_json(error);
  read_again = envelope.has(Field::kPayload);
  return plan == nullptr || use_schema();
}

// Takes the units of timestamps from `schema`. The same text is looked into only once.
bool Decoder::Impl::use_schema() {
  if (plan->schema_text != schema) {
    if (deeper_than(schema, limits.depth_max - std::min(limits.depth_max, kRootDepth))) {
      return fail_deep();
    }
    plan->schema_text.clear();
    if (!read_units()) return false;
    if (schema.size() <= kSchemaBytesMax) plan->schema_text = schema;
  }
  units = &plan->schema_units;
  return true;
}

bool Decoder::Impl::read_units() {
  plan->schema_units = plan->declared_units;
  simdjson::dom::object root;
  if (const auto error = small_parser.parse(schema.data(), schema.size()).get(root)) {
    return fail_json(error);
  }
  simdjson::dom::array images;
  if (root["fields"].get(images)) return true;
  for (const simdjson::dom::element image : images) {
    std::string_view name;
    simdjson::dom::array columns;
    if (image["field"].get(name) || name != name_of(Field::kAfter)) continue;
    if (image["fields"].get(columns)) continue;
    for (const simdjson::dom::element column : columns) {
      std::string_view type;
      if (!column["field"].get(name) && !column["name"].get(type)) use_unit(*plan, name, type);
    }
  }
  return true;
}

// --- The record ---

bool Decoder::Impl::read_document(Change& change) {
  envelope = {};
  change.before.clear();
  change.after.clear();
  change.position.reset();
  change.tx_id.reset();
  change.source_time_us = 0;
  read_again = false;
  od::object root;
  if (const auto error = document.get_object().get(root)) return fail_json(error);
  if (!read_fields(root, root_keys, change)) return false;
  if (document.current_location().error() == simdjson::OUT_OF_BOUNDS) return true;
  return fail(BadCode::kBadJson, "something follows the JSON object");
}

// Reads the document once; twice where rows can't be read before something that comes later: the
// table's name when the topic carries several, or a schema behind its payload.
bool Decoder::Impl::read(const TopicTables& topic, Change& change) {
  plan = topic.tables.size() == 1 ? &plans[topic.tables.front().value] : nullptr;
  schema = {};
  if (plan == nullptr) {
    if (!read_document(change)) return false;
    plan = find_plan(plans, topic.tables, envelope.schema_name, envelope.table_name);
    if (plan == nullptr) return true;
    document.rewind();
  }
  units = &plan->declared_units;
  if (!schema.empty() && !use_schema()) return false;
  if (!read_document(change)) return false;
  if (!read_again) return true;
  document.rewind();
  return read_document(change);
}

DecodeResult Decoder::Impl::decode(const Record& record, const TopicTables& topic, Change& change) {
  if (topic.heartbeat) return SkipReason::kHeartbeat;
  if (!record.value) return SkipReason::kTombstone;
  if (record.value->size() > limits.message_bytes_max) {
    return BadRecord{BadCode::kTooLarge,
                     fmt::format("{} bytes; at most {} are taken", record.value->size(),
                                 limits.message_bytes_max)};
  }
  const std::optional<std::string_view> json = json_in(*record.value);
  if (!json) {
    return BadRecord{BadCode::kUnsupportedFormat,
                     "a schema registry's prefix before something else than a JSON object (Avro, "
                     "Protobuf?): set value.converter to JsonConverter"};
  }
  if (!load(*json)) return std::move(bad);
  if (is_other_json(*json) && !fail_no_object(*json)) return std::move(bad);
  if (!read(topic, change)) return std::move(bad);
  change.has_key = record.key.has_value();
  return judge(envelope, plan, topic, change);
}

Decoder::Decoder(const Declaration& declaration, DecodeLimits limits)
    : impl_(std::make_unique<Impl>(declaration, limits)) {}
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;

DecodeResult Decoder::decode(const Record& record, const TopicTables& tables, Change& change) {
  return impl_->decode(record, tables, change);
}

}  // namespace tidemark
