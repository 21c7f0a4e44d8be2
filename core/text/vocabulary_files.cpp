// Where the vocabulary of a model lies, for each container that models come in.

#include <array>
#include <filesystem>
#include <utility>

#include "core/base/error.h"
#include "core/base/mapped_file.h"
#include "core/base/utf8.h"
#include "core/formats/json_metadata.h"
#include "core/text/vocabulary.h"

namespace core {
namespace {

namespace fs = std::filesystem;

// The largest published SentencePiece models have 5 MB; what is larger is another file.
constexpr size_t kMaxModelBytes = size_t{64} << 20;

constexpr const char* kSentencePieceName = "tokenizer.model";

// Tokenizers that are published without a SentencePiece model are byte-level BPE.
constexpr std::array kByteLevelNames{"tokenizer.json", "tokenizer.tok.json", "vocab.json"};

[[noreturn]] void refuse_byte_level(const std::string& object, const char* where) {
    throw Error(
        ErrorKind::model_unusable, object,
        "its tokenizer is byte-level BPE (" + std::string(where) + "), which moxie cannot use yet",
        "only SentencePiece BPE (llama) is supported");
}

// The folder of a checkpoint and the one above: Grok-1's tokenizer lies beside `ckpt-0`.
std::array<fs::path, 2> folders_of(const std::string& path) {
    const fs::path whole = fs::absolute(path).lexically_normal();
    // Without a file name it ended in a slash: a folder, whose parent by name is itself.
    const fs::path folder =
        fs::is_directory(whole) && whole.has_filename() ? whole : whole.parent_path();
    return {folder, folder.parent_path()};
}

// Whether a conversation begins with BOS is not in the model file but beside it.
void read_settings(const fs::path& folder, Vocabulary& vocabulary) {
    const fs::path path = folder / "tokenizer_config.json";
    if (!fs::exists(path)) return;
    const MappedFile file(path.string());
    for (const auto& [key, value] : read_json_metadata(file.bytes(), path.string())) {
        const auto* flag = std::get_if<bool>(&value.value);
        if (key == "add_bos_token" && flag != nullptr)
            vocabulary.add_bos = *flag && vocabulary.bos.has_value();
    }
}

std::optional<Vocabulary> find_beside(const std::string& path) {
    for (const fs::path& folder : folders_of(path)) {
        const fs::path model = folder / kSentencePieceName;
        if (!fs::exists(model)) continue;
        Vocabulary vocabulary = read_sentencepiece_file(model.string());
        read_settings(folder, vocabulary);
        return vocabulary;
    }
    const fs::path folder = folders_of(path).front();
    for (const char* name : kByteLevelNames)
        if (fs::exists(folder / name)) refuse_byte_level(path, name);
    return std::nullopt;
}

}  // namespace

Vocabulary read_sentencepiece_file(const std::string& path) {
    const MappedFile file(path);
    if (file.bytes().empty()) throw Error(ErrorKind::model_unusable, path, "is empty");
    if (file.bytes().size() > kMaxModelBytes)
        throw Error(ErrorKind::model_unusable, path, "is neither a GGUF nor a SentencePiece model",
                    "a SentencePiece model has at most 64 MiB");
    Vocabulary vocabulary = read_sentencepiece_model(file.bytes(), path);
    if (file.damaged())
        throw Error(ErrorKind::model_unusable, path, "became shorter while it was read");
    return vocabulary;
}

std::optional<Vocabulary> find_vocabulary(const WeightFile& file) {
    const auto model = file.meta_string("tokenizer.ggml.model");
    if (!model) {
        if (file.format().starts_with("GGUF")) return std::nullopt;
        return find_beside(file.path());
    }
    if (*model == "no_vocab" || *model == "none") return std::nullopt;
    if (*model == "llama") return read_gguf_vocabulary(file);
    if (*model == "gpt2") refuse_byte_level(file.path(), "gpt2");
    throw Error(ErrorKind::model_unusable, file.path(),
                "its tokenizer is of the unknown kind \"" +
                    sanitize(std::string_view(*model).substr(0, 64)) + "\"",
                "only SentencePiece BPE (llama) is supported");
}

}  // namespace core
