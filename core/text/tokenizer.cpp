#include "core/text/tokenizer.h"

#include <cstring>
#include <filesystem>
#include <utility>

#include "core/base/error.h"
#include "core/base/mapped_file.h"
#include "core/text/bpe.h"
#include "core/text/sentencepiece.h"
#include "core/text/vocabulary.h"

namespace core {
namespace {

bool is_weight_file(const std::string& path) {
    constexpr std::string_view kGgufMagic = "GGUF";
    const MappedFile file(path);
    const auto bytes = file.bytes();
    return bytes.size() >= kGgufMagic.size() &&
           std::memcmp(bytes.data(), kGgufMagic.data(), kGgufMagic.size()) == 0;
}

std::unique_ptr<Tokenizer> make_tokenizer(Vocabulary vocabulary, const std::string& object) {
    const auto make = vocabulary.byte_level ? make_byte_level_bpe : make_sentencepiece;
    return make(std::move(vocabulary), object);
}

}  // namespace

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool specials) const {
    const TextSpan span{.text = std::string(text), .specials = specials};
    return encode(std::span(&span, 1));
}

std::unique_ptr<Tokenizer> load_tokenizer(const WeightFile& file) {
    std::optional<Vocabulary> vocabulary = find_vocabulary(file);
    if (!vocabulary) return nullptr;
    return make_tokenizer(std::move(*vocabulary), file.path());
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
    if (std::filesystem::is_directory(path) || is_weight_file(path)) {
        auto tokenizer = load_tokenizer(*open_weight_file(path));
        if (!tokenizer) throw Error(ErrorKind::model_unusable, path, "has no tokenizer");
        return tokenizer;
    }
    return make_tokenizer(read_vocabulary_file(path), path);
}

}  // namespace core
