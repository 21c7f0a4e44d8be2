#include "core/text/vocabulary.h"

#include <array>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/byte_level.h"

namespace core {
namespace {

// Published vocabularies have up to 262,144 pieces; a cap keeps ids and tables small.
constexpr size_t kMaxPieces = size_t{1} << 22;
// The longest published pieces are runs of some hundred spaces.
constexpr size_t kMaxPieceBytes = 4096;
// Pieces that are looked for at every place of a text, with every length that occurs: the work
// grows with the square of the longest. Published ones are names and runs of blanks.
constexpr size_t kMaxAddedBytes = 256;
constexpr size_t kMaxPatterns = 16;  // each is compiled, and each cuts what the ones before left

[[noreturn]] void fail(const std::string& object, std::string problem, std::string advice = {}) {
    throw Error(ErrorKind::model_unusable, object, std::move(problem), std::move(advice));
}

std::string piece_name(size_t id) {
    return "piece " + std::to_string(id);
}

void check_piece(const Vocabulary& vocabulary, size_t id, const std::string& object) {
    const std::string& piece = vocabulary.pieces[id];
    const PieceKind kind = vocabulary.kinds[id];
    if (!std::isfinite(vocabulary.scores[id]))
        fail(object, piece_name(id) + " has the score " + std::to_string(vocabulary.scores[id]),
             "scores must be finite");
    if (piece.empty() && kind != PieceKind::unused) fail(object, piece_name(id) + " is empty");
    if (piece.size() > kMaxPieceBytes)
        fail(object, piece_name(id) + " has " + std::to_string(piece.size()) +
                         " bytes, more than the " + std::to_string(kMaxPieceBytes) + " allowed");
    const bool added = kind == PieceKind::user_defined || kind == PieceKind::control;
    if (added && piece.size() > kMaxAddedBytes)
        fail(object, piece_name(id) + " has " + std::to_string(piece.size()) +
                         " bytes, an added one has at most " + std::to_string(kMaxAddedBytes));
    if (!is_utf8(piece)) fail(object, piece_name(id) + " is not UTF-8");
    if (kind == PieceKind::byte && !byte_of_piece(piece))
        fail(object, piece_name(id) + " is a byte but is spelled \"" +
                         sanitize(std::string_view(piece).substr(0, 16)) +
                         "\", expected the form <0x0A>");
}

// Every text can be written, and merging never leaves the vocabulary.
void check_byte_level(const Vocabulary& vocabulary, const std::string& object) {
    if (const size_t patterns = vocabulary.byte_level->patterns.size(); patterns > kMaxPatterns)
        fail(object, "its pre-tokenizer has " + std::to_string(patterns) + " expressions",
             "at most " + std::to_string(kMaxPatterns) + " are taken");
    std::unordered_set<std::string_view> normal;
    normal.reserve(vocabulary.pieces.size());
    for (size_t id = 0; id < vocabulary.pieces.size(); ++id) {
        if (vocabulary.kinds[id] == PieceKind::normal) normal.insert(vocabulary.pieces[id]);
    }
    for (unsigned byte = 0; byte < 256; ++byte)
        if (!normal.contains(spelled_byte(static_cast<uint8_t>(byte))))
            fail(object, "the vocabulary has no piece for the byte " + std::to_string(byte),
                 "some text could not be written with it");
    for (const auto& [left, right] : vocabulary.byte_level->merges) {
        const std::string result = vocabulary.pieces[static_cast<size_t>(left)] +
                                   vocabulary.pieces[static_cast<size_t>(right)];
        if (!normal.contains(result))
            fail(object, "a merge makes \"" + sanitize(std::string_view(result).substr(0, 64)) +
                             "\", which is no piece");
    }
}

void check_bytes_and_unknown(const Vocabulary& vocabulary, const std::string& object) {
    size_t bytes = 0;
    bool unknown = false;
    for (const PieceKind kind : vocabulary.kinds) {
        bytes += kind == PieceKind::byte ? 1 : 0;
        unknown = unknown || kind == PieceKind::unknown;
    }
    if (bytes != 0 && bytes != 256)
        fail(object, "the vocabulary has " + std::to_string(bytes) + " byte pieces, expected 256");
    if (bytes == 0 && !unknown)
        fail(object, "the vocabulary has neither byte pieces nor an unknown piece",
             "some text could not be written with it");
}

void check_id(const Vocabulary& vocabulary, std::optional<TokenId> id, std::string_view name,
              const std::string& object) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= vocabulary.pieces.size()))
        fail(object, "the " + std::string(name) + " token id is " + std::to_string(*id) +
                         ", the vocabulary has " + std::to_string(vocabulary.pieces.size()) +
                         " pieces");
}

}  // namespace

MergeReader::MergeReader(std::span<const std::string> pieces, std::string object)
    : object_(std::move(object)) {
    ids_.reserve(pieces.size());
    for (size_t id = 0; id < pieces.size(); ++id)
        ids_.emplace(pieces[id], static_cast<TokenId>(id));
}

std::array<TokenId, 2> MergeReader::read(std::string_view merge) const {
    // A piece may begin with a space of its own.
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos)
        fail(object_, "the merge \"" + sanitize(merge.substr(0, 64)) + "\" has no two parts");
    return read(merge.substr(0, space), merge.substr(space + 1));
}

std::array<TokenId, 2> MergeReader::read(std::string_view left, std::string_view right) const {
    return {id_of(left), id_of(right)};
}

TokenId MergeReader::id_of(std::string_view part) const {
    const auto found = ids_.find(part);
    if (found == ids_.end())
        fail(object_,
             "a merge has the part \"" + sanitize(part.substr(0, 64)) + "\", which is no piece");
    return found->second;
}

std::optional<uint8_t> byte_of_piece(std::string_view piece) {
    if (piece.size() != 6 || piece.substr(0, 3) != "<0x" || piece[5] != '>') return std::nullopt;
    unsigned value = 0;
    for (const char digit : piece.substr(3, 2)) {
        if (digit >= '0' && digit <= '9')
            value = value * 16 + static_cast<unsigned>(digit - '0');
        else if (digit >= 'A' && digit <= 'F')
            value = value * 16 + static_cast<unsigned>(digit - 'A') + 10;
        else
            return std::nullopt;
    }
    return static_cast<uint8_t>(value);
}

void check_vocabulary(const Vocabulary& vocabulary, const std::string& object) {
    const size_t count = vocabulary.pieces.size();
    if (count == 0) fail(object, "the vocabulary has no pieces");
    if (count > kMaxPieces)
        fail(object, "the vocabulary has " + std::to_string(count) + " pieces, more than the " +
                         std::to_string(kMaxPieces) + " allowed");
    if (vocabulary.scores.size() != count || vocabulary.kinds.size() != count)
        fail(object, "the vocabulary has " + std::to_string(count) + " pieces but " +
                         std::to_string(vocabulary.scores.size()) + " scores and " +
                         std::to_string(vocabulary.kinds.size()) + " types");
    std::unordered_set<std::string_view> seen;
    seen.reserve(count);
    for (size_t id = 0; id < count; ++id) {
        check_piece(vocabulary, id, object);
        if (vocabulary.kinds[id] == PieceKind::unused) continue;
        if (!seen.insert(vocabulary.pieces[id]).second)
            fail(object, piece_name(id) + " \"" +
                             sanitize(std::string_view(vocabulary.pieces[id]).substr(0, 64)) +
                             "\" is in the vocabulary twice");
    }
    if (vocabulary.byte_level)
        check_byte_level(vocabulary, object);
    else
        check_bytes_and_unknown(vocabulary, object);
    check_id(vocabulary, vocabulary.bos, "bos", object);
    check_id(vocabulary, vocabulary.eos, "eos", object);
    check_id(vocabulary, vocabulary.pad, "padding", object);
}

std::string bytes_of_piece(const Vocabulary& vocabulary, size_t id) {
    const std::string& piece = vocabulary.pieces[id];
    std::string bytes;
    switch (vocabulary.kinds[id]) {
        case PieceKind::control:
        case PieceKind::unused: return {};
        case PieceKind::unknown: append_utf8(bytes, kReplacementCharacter); return bytes;
        case PieceKind::byte: return {static_cast<char>(byte_of_piece(piece).value_or(0))};
        case PieceKind::normal:
            // Some files forget to say that an added piece is none of the merges'.
            if (vocabulary.byte_level) return bytes_of_spelled(piece).value_or(piece);
            break;
        case PieceKind::user_defined:
            if (vocabulary.byte_level) return piece;
            break;
    }
    std::string_view rest = piece;
    for (size_t at = rest.find(kEscapedSpace); at != std::string_view::npos;
         at = rest.find(kEscapedSpace)) {
        bytes.append(rest.substr(0, at)).push_back(' ');
        rest.remove_prefix(at + kEscapedSpace.size());
    }
    return bytes.append(rest);
}

}  // namespace core
