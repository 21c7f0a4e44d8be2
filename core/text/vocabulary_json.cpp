#include "core/text/vocabulary_json.h"

#include <string_view>
#include <utility>

namespace core::vocabulary_json {

namespace {

// Real files have a million values, at most ten deep: memory stays bounded.
constexpr size_t kMaxValues = size_t{1} << 22;
constexpr int kMaxDepth = 16;

}  // namespace

void fail(const std::string& object, std::string problem, std::string advice) {
    throw Error(ErrorKind::model_unusable, object, std::move(problem), std::move(advice));
}

std::string quoted(const std::string& text) {
    return '"' + sanitize(std::string_view(text).substr(0, 64)) + '"';
}

json parse(std::span<const std::byte> bytes, const std::string& object) {
    size_t values = 0;
    const auto limit = [&](int depth, json::parse_event_t /*event*/, json& /*value*/) {
        if (depth > kMaxDepth) fail(object, "is nested more than 16 deep");
        if (++values > kMaxValues) fail(object, "has more than 4194304 values");
        return true;
    };
    const char* text = reinterpret_cast<const char*>(bytes.data());
    return json::parse(text, text + bytes.size(), limit);
}

size_t number_below(size_t limit, const json& value, const char* what, const std::string& object) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() >= limit)
        fail(object, std::string("has the ") + what + " " + quoted(value.dump(-1, ' ', true)),
             "expected a whole number below " + std::to_string(limit));
    return static_cast<size_t>(value.get<uint64_t>());
}

size_t checked_id(const json& value, const std::string& object) {
    return number_below(kMaxIds, value, "token id", object);
}

void set_piece(Vocabulary& vocabulary, size_t id, std::string piece, PieceKind kind) {
    if (id >= vocabulary.pieces.size()) {
        vocabulary.pieces.resize(id + 1);
        vocabulary.kinds.resize(id + 1, PieceKind::unused);
    }
    vocabulary.pieces[id] = std::move(piece);
    vocabulary.kinds[id] = kind;
}

}  // namespace core::vocabulary_json
