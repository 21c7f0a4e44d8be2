// What the readers of vocabularies in JSON share: documents within bounds, numbers that are
// checked.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/vocabulary.h"

namespace core::vocabulary_json {

using nlohmann::json;

inline constexpr size_t kMaxIds = size_t{1} << 20;  // published ones are below 262,144

[[noreturn]] void fail(const std::string& object, std::string problem, std::string advice = {});

// For messages: the beginning of a text.
std::string quoted(const std::string& text);

// Throws Error(model_unusable) for depth and size without bounds, json::exception for no JSON.
json parse(std::span<const std::byte> bytes, const std::string& object);

// A whole number below `limit`. nlohmann would convert any number, huge ones to anything.
size_t number_below(size_t limit, const json& value, const char* what, const std::string& object);
size_t checked_id(const json& value, const std::string& object);

// Ids without a piece stay unused.
void set_piece(Vocabulary& vocabulary, size_t id, std::string piece, PieceKind kind);

// Runs `read` on the document; what nlohmann throws says where a member is missing or of another
// type.
template <class Read>
Vocabulary read_document(std::span<const std::byte> bytes, const std::string& object, Read read) {
    try {
        Vocabulary vocabulary = read(parse(bytes, object));
        check_vocabulary(vocabulary, object);
        return vocabulary;
    } catch (const json::exception& error) {
        fail(object, "does not make sense as a vocabulary: " + sanitize(error.what()));
    }
}

}  // namespace core::vocabulary_json
