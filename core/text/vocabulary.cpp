#include "core/text/vocabulary.h"

#include <array>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"

namespace core {
namespace {

// Published vocabularies have up to 262,144 pieces; a cap keeps ids and tables small.
constexpr size_t kMaxPieces = size_t{1} << 22;
// The longest published pieces are runs of some hundred spaces.
constexpr size_t kMaxPieceBytes = 4096;

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
    if (!is_utf8(piece)) fail(object, piece_name(id) + " is not UTF-8");
    if (kind == PieceKind::byte && !byte_of_piece(piece))
        fail(object, piece_name(id) + " is a byte but is spelled \"" +
                         sanitize(std::string_view(piece).substr(0, 16)) +
                         "\", expected the form <0x0A>");
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

// An id that the file names, or the default where the vocabulary has a piece without text there.
std::optional<TokenId> special_id(const WeightFile& file, const Vocabulary& vocabulary,
                                  const std::string& key, std::optional<size_t> fallback) {
    if (const auto id = file.meta_uint(key)) {
        // llama.cpp writes 2^32 - 1 for "none".
        if (*id == UINT32_MAX) return std::nullopt;
        if (*id >= vocabulary.pieces.size())
            fail(file.path(), key + " is " + std::to_string(*id) + ", the vocabulary has " +
                                  std::to_string(vocabulary.pieces.size()) + " pieces");
        return static_cast<TokenId>(*id);
    }
    if (fallback && *fallback < vocabulary.pieces.size() &&
        vocabulary.kinds[*fallback] == PieceKind::control)
        return static_cast<TokenId>(*fallback);
    return std::nullopt;
}

std::vector<PieceKind> read_kinds(const WeightFile& file, std::span<const std::string> pieces) {
    std::vector<PieceKind> kinds(pieces.size(), PieceKind::normal);
    const auto types = file.meta_ints("tokenizer.ggml.token_type");
    if (!types) {
        // Old converters wrote no types; byte pieces are the ones that cannot be missed.
        for (size_t id = 0; id < pieces.size(); ++id)
            if (byte_of_piece(pieces[id])) kinds[id] = PieceKind::byte;
        return kinds;
    }
    if (types->size() != pieces.size())
        fail(file.path(), "tokenizer.ggml.token_type has " + std::to_string(types->size()) +
                              " entries, expected " + std::to_string(pieces.size()));
    constexpr std::array kKinds{PieceKind::normal,       PieceKind::unknown, PieceKind::control,
                                PieceKind::user_defined, PieceKind::unused,  PieceKind::byte};
    for (size_t id = 0; id < pieces.size(); ++id) {
        const int64_t type = (*types)[id];
        if (type < 1 || type > static_cast<int64_t>(kKinds.size()))
            fail(file.path(),
                 piece_name(id) + " has the type " + std::to_string(type) + ", expected 1 to 6");
        kinds[id] = kKinds[static_cast<size_t>(type - 1)];
    }
    return kinds;
}

}  // namespace

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
    check_bytes_and_unknown(vocabulary, object);
    check_id(vocabulary, vocabulary.bos, "bos", object);
    check_id(vocabulary, vocabulary.eos, "eos", object);
    check_id(vocabulary, vocabulary.pad, "padding", object);
}

Vocabulary read_gguf_vocabulary(const WeightFile& file) {
    auto pieces = file.meta_strings("tokenizer.ggml.tokens");
    auto scores = file.meta_floats("tokenizer.ggml.scores");
    if (!pieces) fail(file.path(), "tokenizer.ggml.tokens is missing");
    if (!scores) fail(file.path(), "tokenizer.ggml.scores is missing");

    Vocabulary vocabulary;
    vocabulary.pieces = std::move(*pieces);
    vocabulary.scores = std::move(*scores);
    vocabulary.kinds = read_kinds(file, vocabulary.pieces);

    const std::string prefix = "tokenizer.ggml.";
    vocabulary.bos = special_id(file, vocabulary, prefix + "bos_token_id", 1);
    vocabulary.eos = special_id(file, vocabulary, prefix + "eos_token_id", 2);
    vocabulary.pad = special_id(file, vocabulary, prefix + "padding_token_id", std::nullopt);
    for (const char* name : {"eot_token_id", "eom_token_id"})
        if (const auto id = special_id(file, vocabulary, prefix + name, std::nullopt))
            vocabulary.turn_ends.push_back(*id);

    // The default of this tokenizer kind is to prepend BOS, but Grok-1's reference runner does not.
    const bool grok = file.meta_string("general.architecture").value_or("") == "grok";
    vocabulary.add_bos = file.meta_bool(prefix + "add_bos_token").value_or(!grok);
    vocabulary.dummy_prefix = file.meta_bool(prefix + "add_space_prefix").value_or(true);
    if (file.meta_bool(prefix + "remove_extra_whitespaces").value_or(false))
        fail(file.path(), "its tokenizer removes repeated spaces, which moxie does not support");
    check_vocabulary(vocabulary, file.path());
    return vocabulary;
}

}  // namespace core
