// What the tests of core/text share: a tiny vocabulary, a weight file of metadata only, and the
// way to the data that lies outside the source tree.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/formats/weight_file.h"
#include "core/text/sentencepiece.h"
#include "core/text/vocabulary.h"

namespace core {

// The folder of shared data, or an empty path.
inline std::filesystem::path shared_data() {
    const char* named = std::getenv("MOXIE_SHARED");
    const std::filesystem::path folder =
        named != nullptr ? named : std::string(MOXIE_SOURCE_DIR) + "/../shared";
    return std::filesystem::is_directory(folder / "data") ? folder / "data"
                                                          : std::filesystem::path();
}

// Adds pieces one by one.
class VocabularyBuilder {
  public:
    TokenId add(std::string piece, PieceKind kind = PieceKind::normal, float score = 0) {
        vocabulary.pieces.push_back(std::move(piece));
        vocabulary.scores.push_back(score);
        vocabulary.kinds.push_back(kind);
        return static_cast<TokenId>(vocabulary.pieces.size() - 1);
    }
    void add_bytes() {
        const char* digits = "0123456789ABCDEF";
        for (unsigned byte = 0; byte < 256; ++byte)
            add({'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'}, PieceKind::byte);
    }

    Vocabulary vocabulary;
};

// [PAD] [BOS] [EOS] [UNK], <|separator|>, newlines, bytes, letters and the merges of "Human",
// "Assistant" and "hello". `separator` is control or user-defined.
inline Vocabulary tiny_vocabulary(PieceKind separator = PieceKind::control) {
    VocabularyBuilder builder;
    builder.vocabulary.pad = builder.add("[PAD]", PieceKind::control);
    builder.vocabulary.bos = builder.add("[BOS]", PieceKind::control);
    builder.vocabulary.eos = builder.add("[EOS]", PieceKind::control);
    builder.add("[UNK]", PieceKind::unknown);
    builder.add("<|separator|>", separator);
    builder.add("\n", PieceKind::user_defined);
    builder.add("\n\n", PieceKind::user_defined);
    builder.add_bytes();
    float score = 0;
    for (const char* piece :
         {"\u2581h", "el", "lo", "\u2581hel", "\u2581hello", "Hu", "man", "Human", "As", "si", "st",
          "ant", "Assi", "stant", "Assistant", "\u2581Human", "an", "\u2581\u2581"})
        builder.add(piece, PieceKind::normal, score -= 1);
    for (char letter = 'a'; letter <= 'z'; ++letter)
        builder.add(std::string(1, letter), PieceKind::normal, score -= 1);
    for (const char* piece : {"\u2581", "A", "H", ":", "<", ">", "|", ".", "!"})
        builder.add(piece, PieceKind::normal, score -= 1);
    return builder.vocabulary;
}

inline std::unique_ptr<Tokenizer> tiny_tokenizer(PieceKind separator = PieceKind::control) {
    return make_sentencepiece(tiny_vocabulary(separator), "tiny");
}

// A weight file that has metadata and nothing else.
class MetaFile final : public WeightFile {
  public:
    std::string_view format() const override { return "metadata"; }
    const std::string& path() const override { return path_; }
    uint64_t file_bytes() const override { return 0; }
    std::span<const TensorInfo> tensors() const override { return {}; }
    std::span<const std::pair<std::string, MetaValue>> metadata() const override { return meta_; }
    bool damaged() const override { return false; }
    void release(std::span<const std::byte>) const override {}
    void prefetch(std::span<const std::byte>) const override {}

    template <class T>
    void set(const std::string& key, T value) {
        std::erase_if(meta_, [&](const auto& entry) { return entry.first == key; });
        meta_.emplace_back(key, MetaValue{std::move(value)});
    }
    template <class T>
    void set_array(const std::string& key, const std::vector<T>& values) {
        MetaArray array(values.size());
        for (size_t index = 0; index < values.size(); ++index)
            array[index].value.template emplace<T>(values[index]);
        set(key, std::make_shared<const MetaArray>(std::move(array)));
    }
    // The tokenizer arrays of a vocabulary.
    void set_vocabulary(const Vocabulary& vocabulary) {
        set("tokenizer.ggml.model", std::string("llama"));
        set_array("tokenizer.ggml.tokens", vocabulary.pieces);
        set_array("tokenizer.ggml.scores",
                  std::vector<double>(vocabulary.scores.begin(), vocabulary.scores.end()));
        std::vector<int64_t> types;
        for (const PieceKind kind : vocabulary.kinds)
            types.push_back(static_cast<int64_t>(kind) + 1);
        set_array("tokenizer.ggml.token_type", types);
    }

  private:
    std::string path_ = "meta.gguf";
    std::vector<std::pair<std::string, MetaValue>> meta_;
};

}  // namespace core
