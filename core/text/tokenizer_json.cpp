// tokenizer.json of Hugging Face (tokenizers, tokenizer/mod.rs and models/bpe/serialization.rs).
// Declared in vocabulary.h.

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/text/byte_level.h"
#include "core/text/vocabulary.h"
#include "core/text/vocabulary_json.h"

namespace core {
namespace {

using vocabulary_json::checked_id;
using vocabulary_json::fail;
using vocabulary_json::json;
using vocabulary_json::quoted;
using vocabulary_json::read_document;
using vocabulary_json::set_piece;

class TokenizerJson {
  public:
    TokenizerJson(const json& root, const std::string& object) : root_(root), object_(object) {}

    Vocabulary read() {
        const json& model = root_.at("model");
        if (const auto type = model.value("type", std::string("BPE")); type != "BPE")
            fail(object_, "its tokenizer is of the kind " + quoted(type), "only BPE is supported");
        for (const auto& [piece, id] : model.at("vocab").items())
            set_piece(vocabulary_, checked_id(id, object_), piece, PieceKind::normal);
        read_pre_tokenizer(member(root_, "pre_tokenizer"));
        read_normalizer(member(root_, "normalizer"));
        if (vocabulary_.byte_level)
            vocabulary_.byte_level->ignore_merges = model.value("ignore_merges", false);
        else
            name_bytes(model);
        read_added_tokens();
        read_merges(model.at("merges"));
        read_post_processor(member(root_, "post_processor"));
        return std::move(vocabulary_);
    }

  private:
    static const json& member(const json& object, const char* key) {
        static const json nothing;
        const auto found = object.find(key);
        return found == object.end() ? nothing : *found;
    }
    static std::string type_of(const json& part) { return part.at("type").get<std::string>(); }

    void read_pre_tokenizer(const json& part) {
        vocabulary_.dummy_prefix = false;
        cut_by(part);
    }

    ByteLevel& byte_level() {
        if (!vocabulary_.byte_level) vocabulary_.byte_level.emplace();
        return *vocabulary_.byte_level;
    }

    void cut_by(const json& part) {
        if (part.is_null()) return;
        const std::string type = type_of(part);
        if (type == "Sequence") {
            for (const json& each : part.at("pretokenizers"))
                cut_by(each);
        } else if (type == "ByteLevel") {
            if (part.value("add_prefix_space", true))
                fail(object_, "its pre-tokenizer puts a space in front, which is not supported");
            if (part.value("use_regex", true))
                byte_level().patterns.emplace_back(word_split_named("gpt-2")->patterns.front());
            byte_level();
        } else if (type == "Split") {
            if (part.at("behavior") != "Isolated" || part.value("invert", false))
                fail(object_, "its pre-tokenizer splits otherwise than by isolating matches");
            byte_level().patterns.push_back(
                known_pattern(part.at("pattern").at("Regex").get<std::string>()));
        } else if (type == "Digits") {
            byte_level().patterns.emplace_back(part.value("individual_digits", false) ? "\\p{N}"
                                                                                      : "\\p{N}+");
        } else if (type == "Metaspace") {
            if (part.value("replacement", std::string(kEscapedSpace)) != kEscapedSpace)
                fail(object_, "its pre-tokenizer writes spaces in a way that is not supported");
            const bool always = part.value("add_prefix_space", true);
            vocabulary_.dummy_prefix =
                part.value("prepend_scheme", std::string(always ? "always" : "never")) != "never";
        } else {
            fail(object_, "its pre-tokenizer is of the kind " + quoted(type),
                 "known are Split, Digits, ByteLevel and Metaspace");
        }
    }

    void read_normalizer(const json& part) {
        if (part.is_null()) return;
        const std::string type = type_of(part);
        if (type == "Sequence") {
            for (const json& each : part.at("normalizers"))
                read_normalizer(each);
        } else if (type == "NFC" && vocabulary_.byte_level) {
            vocabulary_.byte_level->nfc = true;
        } else if (type == "Prepend" && !vocabulary_.byte_level &&
                   part.at("prepend") == kEscapedSpace) {
            vocabulary_.dummy_prefix = true;
        } else if (type != "Replace" || vocabulary_.byte_level ||
                   part.at("content") != kEscapedSpace ||
                   part.at("pattern") != json{{"String", " "}}) {
            fail(object_, "its normalizer is of the kind " + quoted(type),
                 "that would change the text in a way that is not supported");
        }
    }

    void name_bytes(const json& model) {
        if (model.value("byte_fallback", false))
            for (size_t id = 0; id < vocabulary_.pieces.size(); ++id)
                if (byte_of_piece(vocabulary_.pieces[id])) vocabulary_.kinds[id] = PieceKind::byte;
        const json& unknown = member(model, "unk_token");
        if (!unknown.is_string()) return;
        const auto found = std::ranges::find(vocabulary_.pieces, unknown.get<std::string>());
        if (found == vocabulary_.pieces.end())
            fail(object_, "its unknown token " + quoted(unknown.get<std::string>()) +
                              " is not in the vocabulary");
        vocabulary_.kinds[static_cast<size_t>(found - vocabulary_.pieces.begin())] =
            PieceKind::unknown;
    }

    void read_added_tokens() {
        for (const json& token : member(root_, "added_tokens")) {
            const size_t id = checked_id(token.at("id"), object_);
            const bool known = id < vocabulary_.kinds.size();
            if (known && vocabulary_.kinds[id] == PieceKind::unknown) continue;
            set_piece(vocabulary_, id, token.at("content").get<std::string>(),
                      token.value("special", false) ? PieceKind::control : PieceKind::user_defined);
        }
    }

    void read_merges(const json& merges) {
        const MergeReader reader(vocabulary_.pieces, object_);
        vocabulary_.scores.assign(vocabulary_.pieces.size(), 0);
        std::unordered_map<std::string_view, size_t> ids;
        if (!vocabulary_.byte_level)
            for (size_t id = 0; id < vocabulary_.pieces.size(); ++id)
                ids.emplace(vocabulary_.pieces[id], id);
        std::vector<bool> scored(vocabulary_.pieces.size());
        float rank = 0;
        for (const json& merge : merges) {
            const bool pair = merge.is_array() && merge.size() == 2;
            const auto parts = pair ? reader.read(merge[0].get_ref<const std::string&>(),
                                                  merge[1].get_ref<const std::string&>())
                                    : reader.read(merge.get_ref<const std::string&>());
            if (vocabulary_.byte_level) {
                vocabulary_.byte_level->merges.push_back(parts);
                continue;
            }
            // SentencePiece's kind: a piece has the rank of the first merge that makes it.
            rank -= 1;
            const auto made = ids.find(vocabulary_.pieces[static_cast<size_t>(parts[0])] +
                                       vocabulary_.pieces[static_cast<size_t>(parts[1])]);
            if (made == ids.end()) fail(object_, "a merge makes no piece");
            if (scored[made->second]) continue;
            scored[made->second] = true;
            vocabulary_.scores[made->second] = rank;
        }
    }

    // What comes before a single text: BOS, when it is one token.
    void read_post_processor(const json& part) {
        if (part.is_null()) return;
        const std::string type = type_of(part);
        if (type == "Sequence") {
            for (const json& each : part.at("processors"))
                read_post_processor(each);
            return;
        }
        if (type != "TemplateProcessing") return;
        const json& single = part.at("single");
        if (single.empty() || !single.front().contains("SpecialToken")) return;
        const auto name = single.front().at("SpecialToken").at("id").get<std::string>();
        const json& ids = part.at("special_tokens").at(name).at("ids");
        const size_t id = checked_id(ids.at(0), object_);
        if (ids.size() != 1 || id >= vocabulary_.pieces.size()) return;
        vocabulary_.bos = static_cast<TokenId>(id);
        vocabulary_.add_bos = true;
    }

    const json& root_;
    const std::string& object_;
    Vocabulary vocabulary_;
};

}  // namespace

Vocabulary read_tokenizer_json(std::span<const std::byte> bytes, const std::string& object) {
    return read_document(bytes, object,
                         [&](const json& root) { return TokenizerJson(root, object).read(); });
}

}  // namespace core
