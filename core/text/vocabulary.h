// A SentencePiece BPE vocabulary as plain data, however it was stored: a SentencePiece model file
// or the tokenizer.ggml.* arrays of a GGUF. What comes out of a reader here has been checked.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/token_id.h"
#include "core/formats/weight_file.h"
#include "core/text/tokenizer.h"

namespace core {

// How the two formats write a space inside a piece: U+2581.
inline constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";

struct Vocabulary {
    std::vector<std::string> pieces;  // index = id
    std::vector<float> scores;        // merge priority, higher first; finite
    std::vector<PieceKind> kinds;
    std::optional<TokenId> bos;
    std::optional<TokenId> eos;
    std::optional<TokenId> pad;
    std::vector<TokenId> turn_ends;  // end-of-turn ids that the file names (eot, eom)
    bool dummy_prefix = true;
    bool add_bos = false;
};

// Reads a SentencePiece ModelProto (sentencepiece_model.proto of google/sentencepiece). `object`
// names the file in messages. Throws Error(model_unusable) for damage, for models other than BPE
// and for normalizers that rewrite text.
Vocabulary read_sentencepiece_model(std::span<const std::byte> bytes, const std::string& object);

// Reads the arrays of a GGUF whose tokenizer.ggml.model is "llama". Throws Error(model_unusable).
Vocabulary read_gguf_vocabulary(const WeightFile& file);

// The vocabulary that belongs to a weight file: its own arrays, or what lies beside it (in the
// folder of a checkpoint or above it). Nothing when there is none. Throws Error(model_unusable) for
// a kind that is not supported.
std::optional<Vocabulary> find_vocabulary(const WeightFile& file);

// Reads a SentencePiece model file, see above. Throws Error(model_unusable).
Vocabulary read_sentencepiece_file(const std::string& path);

// The checks that both readers end with: sizes agree, pieces are distinct non-empty UTF-8, scores
// are finite, byte pieces are all there or none. Throws Error(model_unusable).
void check_vocabulary(const Vocabulary& vocabulary, const std::string& object);

// The byte that a piece such as "<0x0A>" stands for.
std::optional<uint8_t> byte_of_piece(std::string_view piece);

// A ModelProto with these pieces for the library: BPE, identity normalizer, no dummy prefix,
// whitespace kept. REQUIRES: the three arrays have the same size.
std::string write_sentencepiece_model(std::span<const std::string> pieces,
                                      std::span<const float> scores,
                                      std::span<const PieceKind> kinds);

}  // namespace core
