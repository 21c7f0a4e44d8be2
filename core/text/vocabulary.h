// A BPE vocabulary as plain data, of SentencePiece's kind or of bytes, however it was stored: a
// SentencePiece model file, a tokenizer.json, the tokenizer.ggml.* arrays of a GGUF. What comes out
// of a reader here has been checked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/token_id.h"
#include "core/formats/weight_file.h"
#include "core/text/tokenizer.h"

namespace core {

// How the two formats write a space inside a piece: U+2581.
inline constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";

// What a byte-level vocabulary has in place of scores. Its normal pieces are spelled as GPT-2
// spells bytes (byte_level.h), the others are plain text.
struct ByteLevel {
    std::vector<std::string> patterns;           // cut text into words, one after the other
    std::vector<std::array<TokenId, 2>> merges;  // neighbours that become one; index = rank
    bool ignore_merges = false;                  // a word that is a piece is that piece
    bool nfc = false;                            // text is composed before it is cut
};

struct Vocabulary {
    std::vector<std::string> pieces;  // index = id
    std::vector<float> scores;        // merge priority, higher first; finite; byte-level: zeros
    std::vector<PieceKind> kinds;
    std::optional<TokenId> bos;
    std::optional<TokenId> eos;
    std::optional<TokenId> pad;
    std::vector<TokenId> turn_ends;  // end-of-turn ids that the file names (eot, eom)
    bool dummy_prefix = true;
    bool add_bos = false;
    std::optional<ByteLevel> byte_level = {};  // nothing: of SentencePiece's kind
};

// Reads a SentencePiece ModelProto (sentencepiece_model.proto of google/sentencepiece). `object`
// names the file in messages. Throws Error(model_unusable) for damage, for models other than BPE
// and for normalizers that rewrite text.
Vocabulary read_sentencepiece_model(std::span<const std::byte> bytes, const std::string& object);

// Reads a tokenizer.json of Hugging Face: byte-level BPE, or BPE of SentencePiece's kind. BOS is
// what its post-processor puts in front. Throws Error(model_unusable) for anything in it that would
// change ids and that is not known here.
Vocabulary read_tokenizer_json(std::span<const std::byte> bytes, const std::string& object);

// Reads Grok-2's tokenizer.tok.json: bytes with the id as rank. Throws Error(model_unusable).
Vocabulary read_tok_json(std::span<const std::byte> bytes, const std::string& object);

// Reads Mistral's tekken.json: the same, after its special tokens. Throws Error(model_unusable).
Vocabulary read_tekken_json(std::span<const std::byte> bytes, const std::string& object);

// Reads the arrays of a GGUF whose tokenizer.ggml.model is "llama" or "gpt2". Throws
// Error(model_unusable).
Vocabulary read_gguf_vocabulary(const WeightFile& file);

// The reverse: what a GGUF says of a vocabulary. Throws Error(model_unusable) with `object` for a
// way to cut text that GGUF has no name for.
Metadata gguf_vocabulary(const Vocabulary& vocabulary, const std::string& object);

// The vocabulary that belongs to a weight file: its own arrays, or what lies beside it (in the
// folder of a checkpoint or above it). Nothing when there is none. Throws Error(model_unusable) for
// a kind that is not supported.
std::optional<Vocabulary> find_vocabulary(const WeightFile& file);

// Reads a SentencePiece model, a tokenizer.json, tokenizer.tok.json or tekken.json, told apart by
// content.
// Throws Error(model_unusable).
Vocabulary read_vocabulary_file(const std::string& path);

// A vocabulary by itself, a file or what a folder without weights has, as a model file without
// tensors whose metadata are those that a GGUF would have. Throws Error(model_unusable).
std::unique_ptr<WeightFile> open_vocabulary(const std::string& path);

// The checks that all readers end with: sizes agree, pieces are distinct non-empty UTF-8, scores
// are finite, byte pieces are all there or none, merges make pieces. Throws Error(model_unusable).
void check_vocabulary(const Vocabulary& vocabulary, const std::string& object);

// Merges by the spelling of their parts ("Ġ t"). The pieces must stay.
class MergeReader {
  public:
    MergeReader(std::span<const std::string> pieces, std::string object);

    // Throw Error(model_unusable) for a part that is no piece.
    std::array<TokenId, 2> read(std::string_view merge) const;
    std::array<TokenId, 2> read(std::string_view left, std::string_view right) const;

  private:
    TokenId id_of(std::string_view part) const;

    std::unordered_map<std::string_view, TokenId> ids_;
    std::string object_;
};

// The byte that a piece such as "<0x0A>" stands for.
std::optional<uint8_t> byte_of_piece(std::string_view piece);

// What a piece stands for: control and unused pieces nothing, the unknown piece U+FFFD.
std::string bytes_of_piece(const Vocabulary& vocabulary, size_t id);

// A ModelProto with these pieces for the library: BPE, identity normalizer, no dummy prefix,
// whitespace kept. REQUIRES: the three arrays have the same size.
std::string write_sentencepiece_model(std::span<const std::string> pieces,
                                      std::span<const float> scores,
                                      std::span<const PieceKind> kinds);

}  // namespace core
