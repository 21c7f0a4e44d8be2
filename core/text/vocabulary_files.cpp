// Where the vocabulary of a model lies, for each container that models come in.

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "core/base/error.h"
#include "core/base/mapped_file.h"
#include "core/base/utf8.h"
#include "core/formats/json_metadata.h"
#include "core/formats/mapped_weights.h"
#include "core/text/byte_level.h"
#include "core/text/vocabulary.h"

namespace core {
namespace {

namespace fs = std::filesystem;

// The largest published vocabularies have 35 MB; what is larger is another file.
constexpr size_t kMaxFileBytes = size_t{64} << 20;

// In this order: where a folder has several they are the same vocabulary, and reading
// SentencePiece's own needs no guesses.
constexpr std::array kFileNames{"tokenizer.model", "tokenizer.tok.json", "tokenizer.json",
                                "tekken.json"};

// The folder of a checkpoint and the one above: Grok-1's tokenizer lies beside `ckpt-0`.
std::array<fs::path, 2> folders_of(const std::string& path) {
    const fs::path whole = fs::absolute(path).lexically_normal();
    // Without a file name it ended in a slash: a folder, whose parent by name is itself.
    const fs::path folder =
        fs::is_directory(whole) && whole.has_filename() ? whole : whole.parent_path();
    return {folder, folder.parent_path()};
}

Metadata read_json_file(const fs::path& path) {
    if (!fs::exists(path)) return {};
    const MappedFile file(path.string());
    return read_json_metadata(file.bytes(), path.string());
}

// What else a folder says of its vocabulary: whether a conversation begins with BOS, and what ends
// an answer.
class FolderSettings {
  public:
    explicit FolderSettings(const fs::path& folder)
        : tokenizer_(read_json_file(folder / "tokenizer_config.json")),
          generation_(read_json_file(folder / "generation_config.json")) {}

    void apply(Vocabulary& vocabulary) const {
        set_named(vocabulary, "bos_token", vocabulary.bos);
        set_named(vocabulary, "eos_token", vocabulary.eos);
        set_named(vocabulary, "pad_token", vocabulary.pad);
        const WordSplit* split =
            vocabulary.byte_level ? word_split_of(*vocabulary.byte_level) : nullptr;
        const bool usual = vocabulary.add_bos || (split != nullptr && split->add_bos);
        const auto* flag = find<bool>(tokenizer_, "add_bos_token");
        vocabulary.add_bos = (flag == nullptr ? usual : *flag) && vocabulary.bos.has_value();
        add_end(vocabulary, find_value(generation_, "eos_token_id"));
    }

  private:
    static const MetaValue* find_value(const Metadata& metadata, std::string_view key) {
        const auto found = std::ranges::find(metadata, key, &Metadata::value_type::first);
        return found == metadata.end() ? nullptr : &found->second;
    }
    template <class T>
    static const T* find(const Metadata& metadata, std::string_view key) {
        const MetaValue* value = find_value(metadata, key);
        return value == nullptr ? nullptr : std::get_if<T>(&value->value);
    }

    // Either the piece itself or an object that has it as its content.
    void set_named(const Vocabulary& vocabulary, const std::string& key,
                   std::optional<TokenId>& id) const {
        const auto* piece = find<std::string>(tokenizer_, key);
        if (piece == nullptr) piece = find<std::string>(tokenizer_, key + ".content");
        if (piece == nullptr) return;
        const auto found = std::ranges::find(vocabulary.pieces, *piece);
        if (found != vocabulary.pieces.end())
            id = static_cast<TokenId>(found - vocabulary.pieces.begin());
    }

    // One id, or several.
    static void add_end(Vocabulary& vocabulary, const MetaValue* value) {
        if (value == nullptr) return;
        if (const auto* id = std::get_if<uint64_t>(&value->value);
            id != nullptr && *id < vocabulary.pieces.size())
            vocabulary.turn_ends.push_back(static_cast<TokenId>(*id));
        if (const auto* ids = std::get_if<std::shared_ptr<const MetaArray>>(&value->value))
            for (const MetaValue& each : **ids)
                if (std::holds_alternative<uint64_t>(each.value)) add_end(vocabulary, &each);
    }

    Metadata tokenizer_;
    Metadata generation_;
};

std::optional<Vocabulary> find_beside(const std::string& path) {
    for (const fs::path& folder : folders_of(path)) {
        for (const char* name : kFileNames) {
            if (!fs::exists(folder / name)) continue;
            Vocabulary vocabulary = read_vocabulary_file((folder / name).string());
            FolderSettings(folder).apply(vocabulary);
            return vocabulary;
        }
    }
    return std::nullopt;
}

bool begins_with_brace(std::span<const std::byte> bytes) {
    const auto first = std::ranges::find_if(
        bytes, [](std::byte b) { return b != std::byte{' '} && b != std::byte{'\n'}; });
    return first != bytes.end() && *first == std::byte{'{'};
}

bool contains(std::span<const std::byte> bytes, std::string_view text) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).find(text) !=
           std::string_view::npos;
}

}  // namespace

Vocabulary read_vocabulary_file(const std::string& path) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    if (bytes.empty()) throw Error(ErrorKind::model_unusable, path, "is empty");
    if (bytes.size() > kMaxFileBytes)
        throw Error(ErrorKind::model_unusable, path, "is neither a GGUF nor a vocabulary",
                    "a vocabulary has at most 64 MiB");
    const auto read = !begins_with_brace(bytes)               ? read_sentencepiece_model
                      : contains(bytes, "\"regular_tokens\"") ? read_tok_json
                      : contains(bytes, "\"token_bytes\"")    ? read_tekken_json
                                                              : read_tokenizer_json;
    Vocabulary vocabulary = read(bytes, path);
    if (file.damaged())
        throw Error(ErrorKind::model_unusable, path, "became shorter while it was read");
    return vocabulary;
}

std::unique_ptr<WeightFile> open_vocabulary(const std::string& path) {
    class VocabularyFile final : public MappedWeights {
      public:
        VocabularyFile(const std::string& name, Metadata metadata)
            : MappedWeights(name, std::move(metadata)) {
            count_bytes(fs::file_size(name));
        }
        std::string_view format() const override { return "vocabulary"; }
    };
    std::string name = path;
    if (fs::is_directory(path)) {
        const auto there = std::ranges::find_if(
            kFileNames, [&](const char* each) { return fs::exists(fs::path(path) / each); });
        if (there == kFileNames.end()) {
            throw Error(ErrorKind::model_not_found, path, "holds neither weights nor a vocabulary",
                        "a folder needs safetensors files or tensor00000_000 and its companions");
        }
        name = (fs::path(path) / *there).string();
    }
    return std::make_unique<VocabularyFile>(name,
                                            gguf_vocabulary(read_vocabulary_file(name), name));
}

std::optional<Vocabulary> find_vocabulary(const WeightFile& file) {
    const auto model = file.meta_string("tokenizer.ggml.model");
    if (!model) {
        if (file.format().starts_with("GGUF")) return std::nullopt;
        return find_beside(file.path());
    }
    if (*model == "no_vocab" || *model == "none") return std::nullopt;
    if (*model == "llama" || *model == "gpt2") return read_gguf_vocabulary(file);
    throw Error(ErrorKind::model_unusable, file.path(),
                "its tokenizer is of the unknown kind \"" +
                    sanitize(std::string_view(*model).substr(0, 64)) + "\"",
                "known are SentencePiece BPE (llama) and byte-level BPE (gpt2)");
}

}  // namespace core
