#include "core/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/error.h"
#include "core/base/mapped_file.h"
#include "core/base/utf8.h"
#include "core/text/sentencepiece.h"
#include "core/text/vocabulary.h"

namespace core {
namespace {

// The largest published SentencePiece models have 5 MB; what is larger is another file.
constexpr size_t kMaxModelBytes = size_t{64} << 20;
constexpr std::string_view kGgufMagic = "GGUF";

bool begins_with(std::span<const std::byte> bytes, std::string_view magic) {
    return bytes.size() >= magic.size() &&
           std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

}  // namespace

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool specials) const {
    const TextSpan span{.text = std::string(text), .specials = specials};
    return encode(std::span(&span, 1));
}

std::unique_ptr<Tokenizer> load_tokenizer(const WeightFile& file) {
    const auto model = file.meta_string("tokenizer.ggml.model");
    if (!model || *model == "no_vocab" || *model == "none") return nullptr;
    if (*model == "llama") return make_sentencepiece(read_gguf_vocabulary(file), file.path());
    const std::string name = sanitize(std::string_view(*model).substr(0, 64));
    throw Error(ErrorKind::model_unusable, file.path(),
                *model == "gpt2"
                    ? "its tokenizer is byte-level BPE (gpt2), which moxie cannot use yet"
                    : "its tokenizer is of the unknown kind \"" + name + "\"",
                "only SentencePiece BPE (llama) is supported");
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
    const MappedFile file(path);
    if (begins_with(file.bytes(), kGgufMagic)) {
        auto tokenizer = load_tokenizer(*open_weight_file(path));
        if (!tokenizer) throw Error(ErrorKind::model_unusable, path, "has no tokenizer");
        return tokenizer;
    }
    if (file.bytes().empty()) throw Error(ErrorKind::model_unusable, path, "is empty");
    if (file.bytes().size() > kMaxModelBytes)
        throw Error(ErrorKind::model_unusable, path, "is neither a GGUF nor a SentencePiece model",
                    "a SentencePiece model has at most 64 MiB");
    Vocabulary vocabulary = read_sentencepiece_model(file.bytes(), path);
    if (file.damaged())
        throw Error(ErrorKind::model_unusable, path, "became shorter while it was read");
    return make_sentencepiece(std::move(vocabulary), path);
}

}  // namespace core
