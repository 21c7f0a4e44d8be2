// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/token_id.h"
#include "core/formats/weight_file.h"

namespace core {

// A piece of rendered text with its origin. Adjacent spans are one text for the merges; only where
// `specials` is set may special-shaped pieces (`<|separator|>`, user-defined or control) become
// their ids. What a person or a file wrote is never parsed for them. Control pieces of another
// shape (`[BOS]`, `</s>`) never come from text at all, as in SentencePiece.
struct TextSpan {
    std::string text;
    bool specials = false;
    // Exact ids in place of a text; nothing merges across them. A span has either.
    std::vector<TokenId> tokens = {};
};

enum class PieceKind : uint8_t { normal, unknown, control, user_defined, unused, byte };

class Tokenizer {
  public:
    virtual ~Tokenizer() = default;

    virtual uint32_t size() const = 0;  // ids with a piece; the model's vocab may be larger
    // Token ids of the whole text, without BOS. The dummy prefix, if the vocabulary has one, is put
    // before the whole text only.
    virtual std::vector<TokenId> encode(std::span<const TextSpan> spans) const = 0;

    // Bytes that a token stands for; control pieces have none, the unknown piece is U+FFFD. Not
    // always whole code points.
    // The leading space of a dummy prefix is the detokenizer's business.
    virtual std::string_view bytes(TokenId id) const = 0;
    virtual PieceKind kind(TokenId id) const = 0;
    // The piece as the vocabulary spells it, for people ("<|separator|>", "▁the").
    virtual std::string_view piece(TokenId id) const = 0;
    virtual std::optional<TokenId> find_piece(std::string_view piece) const = 0;

    virtual std::optional<TokenId> bos() const = 0;
    virtual std::optional<TokenId> eos() const = 0;
    virtual bool add_bos() const = 0;       // prepend BOS to a prompt
    virtual bool dummy_prefix() const = 0;  // decoding drops one leading space of the whole output

    // Ids that must never be sampled: pad, bos, unk, unused, ids without a piece up to `vocab`.
    virtual std::vector<TokenId> never_sampled(uint32_t vocab) const = 0;
    // Ids that end an answer: eos and the family's own (specs: EOG set).
    virtual std::vector<TokenId> end_of_generation() const = 0;

    // Convenience: one span.
    std::vector<TokenId> encode(std::string_view text, bool specials) const;
};

// From a GGUF's tokenizer.ggml.* arrays, or from what lies beside the weights of a checkpoint
// (tokenizer.model, tokenizer.json, tokenizer.tok.json); null when there is no tokenizer. Throws
// Error(model_unusable) for a kind that is not supported.
std::unique_ptr<Tokenizer> load_tokenizer(const WeightFile& file);
// From a model (a GGUF of a vocabulary only is enough, a folder) or a vocabulary file (a
// SentencePiece model, a tokenizer.json), told apart by content.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

}  // namespace core
