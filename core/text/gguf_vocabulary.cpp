// The vocabulary of a GGUF file: its tokenizer.ggml.* arrays, read and written. Declared in
// vocabulary.h.

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/byte_level.h"
#include "core/text/vocabulary.h"

namespace core {
namespace {

// Of every key.
std::string key_of(const char* name) {
    return std::string("tokenizer.ggml.") + name;
}

[[noreturn]] void fail(const std::string& object, std::string problem, std::string advice = {}) {
    throw Error(ErrorKind::model_unusable, object, std::move(problem), std::move(advice));
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
            fail(file.path(), "piece " + std::to_string(id) + " has the type " +
                                  std::to_string(type) + ", expected 1 to 6");
        kinds[id] = kKinds[static_cast<size_t>(type - 1)];
    }
    return kinds;
}

// How a GGUF of a byte-level vocabulary cuts text. Nothing is guessed: other words, other ids.
const WordSplit& read_split(const WeightFile& file) {
    constexpr const char* kKey = "tokenizer.ggml.pre";
    const auto name = file.meta_string(kKey);
    if (!name)
        fail(file.path(), std::string(kKey) + " is missing",
             "convert the model anew: without it nobody knows how its text is cut");
    const WordSplit* split = word_split_named(*name);
    if (split == nullptr)
        fail(file.path(),
             std::string(kKey) + " is \"" + sanitize(std::string_view(*name).substr(0, 64)) + '"',
             "known are " + word_split_names());
    return *split;
}

ByteLevel read_byte_level(const WeightFile& file, const WordSplit& split,
                          std::span<const std::string> pieces) {
    ByteLevel level{.patterns = {split.patterns.begin(), split.patterns.end()},
                    .merges = {},
                    .ignore_merges = split.ignore_merges,
                    .nfc = split.nfc};
    const auto merges = file.meta_strings("tokenizer.ggml.merges");
    if (!merges) fail(file.path(), "tokenizer.ggml.merges is missing");
    const MergeReader reader(pieces, file.path());
    for (const std::string& merge : *merges)
        level.merges.push_back(reader.read(merge));
    return level;
}

}  // namespace

Vocabulary read_gguf_vocabulary(const WeightFile& file) {
    const bool byte_level = file.meta_string(key_of("model")) == "gpt2";
    auto pieces = file.meta_strings(key_of("tokens"));
    auto scores = file.meta_floats(key_of("scores"));
    if (!pieces) fail(file.path(), "tokenizer.ggml.tokens is missing");
    if (!scores && !byte_level) fail(file.path(), "tokenizer.ggml.scores is missing");

    Vocabulary vocabulary;
    vocabulary.pieces = std::move(*pieces);
    vocabulary.kinds = read_kinds(file, vocabulary.pieces);
    const WordSplit* split = nullptr;
    if (byte_level) {
        split = &read_split(file);
        vocabulary.scores.resize(vocabulary.pieces.size());
        vocabulary.byte_level = read_byte_level(file, *split, vocabulary.pieces);
    } else {
        vocabulary.scores = std::move(*scores);
    }

    const auto named_id = [&](const char* name, size_t id) {
        return special_id(file, vocabulary, key_of(name),
                          byte_level ? std::nullopt : std::optional(id));
    };
    vocabulary.bos = named_id("bos_token_id", 1);
    vocabulary.eos = named_id("eos_token_id", 2);
    vocabulary.pad = special_id(file, vocabulary, key_of("padding_token_id"), std::nullopt);
    for (const char* name : {"eot_token_id", "eom_token_id"})
        if (const auto id = special_id(file, vocabulary, key_of(name), std::nullopt))
            vocabulary.turn_ends.push_back(*id);

    // The default of SentencePiece's kind is to prepend BOS, but Grok-1's reference runner does
    // not.
    const bool grok = file.meta_string("general.architecture").value_or("") == "grok";
    const bool usual_bos = byte_level ? split->add_bos : !grok;
    vocabulary.add_bos = file.meta_bool(key_of("add_bos_token")).value_or(usual_bos);
    vocabulary.dummy_prefix = file.meta_bool(key_of("add_space_prefix")).value_or(!byte_level);
    if (file.meta_bool(key_of("remove_extra_whitespaces")).value_or(false))
        fail(file.path(), "its tokenizer removes repeated spaces, which moxie does not support");
    check_vocabulary(vocabulary, file.path());
    return vocabulary;
}

namespace {

// Arrays as metadata hold them.
template <class Values, class Convert>
MetaValue array_of(const Values& values, Convert convert) {
    MetaArray array(values.size());
    for (size_t i = 0; i < values.size(); ++i)
        array[i].value = convert(values[i]);
    return {std::make_shared<const MetaArray>(std::move(array))};
}

}  // namespace

Metadata gguf_vocabulary(const Vocabulary& vocabulary, const std::string& object) {
    Metadata metadata;
    const auto set = [&](const char* key, MetaValue value) {
        metadata.emplace_back(key_of(key), std::move(value));
    };
    const auto set_id = [&](const char* key, std::optional<TokenId> id) {
        if (id) set(key, {static_cast<uint64_t>(*id)});
    };
    set("model", {std::string(vocabulary.byte_level ? "gpt2" : "llama")});
    set("tokens", array_of(vocabulary.pieces, [](const std::string& piece) { return piece; }));
    set("token_type",
        array_of(vocabulary.kinds, [](PieceKind kind) { return static_cast<int64_t>(kind) + 1; }));
    if (const auto& level = vocabulary.byte_level) {
        const WordSplit* split = word_split_of(*level);
        if (split == nullptr)
            fail(object, "cuts its text in a way that GGUF has no name for",
                 "known are " + word_split_names());
        const auto spelled = [&](TokenId id) { return vocabulary.pieces[static_cast<size_t>(id)]; };
        set("pre", {std::string(split->name)});
        set("merges", array_of(level->merges, [&](const std::array<TokenId, 2>& merge) {
                return spelled(merge[0]) + ' ' + spelled(merge[1]);
            }));
    } else {
        set("scores", array_of(vocabulary.scores, [](float score) { return double{score}; }));
    }
    set_id("bos_token_id", vocabulary.bos);
    set_id("eos_token_id", vocabulary.eos);
    set_id("padding_token_id", vocabulary.pad);
    const auto end = std::ranges::find_if(vocabulary.turn_ends,
                                          [&](TokenId id) { return id != vocabulary.eos; });
    if (end != vocabulary.turn_ends.end()) set_id("eot_token_id", *end);
    set("add_bos_token", {vocabulary.add_bos});
    set("add_space_prefix", {vocabulary.dummy_prefix});
    return metadata;
}

}  // namespace core
