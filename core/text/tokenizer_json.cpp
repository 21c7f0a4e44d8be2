// Vocabularies stored as JSON: tokenizer.json of Hugging Face (tokenizers, tokenizer/mod.rs and
// models/bpe/serialization.rs) and Grok-2's tokenizer.tok.json (SGLang, tiktoken_tokenizer.py).
// Declared in vocabulary.h.

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/byte_level.h"
#include "core/text/vocabulary.h"

namespace core {
namespace {

using nlohmann::json;

// Real files have a million values, at most ten deep: memory stays bounded.
constexpr size_t kMaxValues = size_t{1} << 22;
constexpr int kMaxDepth = 16;
constexpr size_t kMaxIds = size_t{1} << 20;  // published ones are below 262,144

[[noreturn]] void fail(const std::string& object, std::string problem, std::string advice = {}) {
    throw Error(ErrorKind::model_unusable, object, std::move(problem), std::move(advice));
}

std::string quoted(const std::string& text) {
    return '"' + sanitize(std::string_view(text).substr(0, 64)) + '"';
}

json parse(std::span<const std::byte> bytes, const std::string& object) {
    size_t values = 0;
    const auto limit = [&](int depth, json::parse_event_t /*event*/, json& /*value*/) {
        if (depth > kMaxDepth) fail(object, "is nested more than 16 deep");
        if (++values > kMaxValues) fail(object, "has more than 4194304 values");
        return true;
    };
    const char* text = reinterpret_cast<const char*>(bytes.data());
    return json::parse(text, text + bytes.size(), limit);
}

// Runs `read` on the document; what nlohmann throws says where a member is missing or of another
// type.
template <class Read>
Vocabulary read_document(std::span<const std::byte> bytes, const std::string& object, Read read) {
    try {
        Vocabulary vocabulary = read(parse(bytes, object));
        check_vocabulary(vocabulary, object);
        return vocabulary;
    } catch (const json::exception& error) {
        fail(object, "does not make sense as a vocabulary: " + sanitize(error.what()));
    }
}

// A whole number below `limit`. nlohmann would convert any number, huge ones to anything.
size_t number_below(size_t limit, const json& value, const char* what, const std::string& object) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() >= limit)
        fail(object, std::string("has the ") + what + " " + quoted(value.dump(-1, ' ', true)),
             "expected a whole number below " + std::to_string(limit));
    return static_cast<size_t>(value.get<uint64_t>());
}

size_t checked_id(const json& value, const std::string& object) {
    return number_below(kMaxIds, value, "token id", object);
}

// Ids without a piece stay unused.
void set_piece(Vocabulary& vocabulary, size_t id, std::string piece, PieceKind kind) {
    if (id >= vocabulary.pieces.size()) {
        vocabulary.pieces.resize(id + 1);
        vocabulary.kinds.resize(id + 1, PieceKind::unused);
    }
    vocabulary.pieces[id] = std::move(piece);
    vocabulary.kinds[id] = kind;
}

// --- tokenizer.json ---------------------------------------------------------------------------

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

// --- tokenizer.tok.json -----------------------------------------------------------------------

std::string bytes_of(const json& token, const std::string& object) {
    std::string bytes;
    for (const json& byte : token.at("bytes"))
        bytes += static_cast<char>(number_below(256, byte, "byte", object));
    return bytes;
}

// Where a token's id is its rank, its merge is what its bytes become by the merges before it: two
// parts. Three or more: no merge makes it.
class MergeFinder {
  public:
    explicit MergeFinder(const std::vector<std::pair<std::string, TokenId>>& by_rank) {
        for (const auto& [bytes, id] : by_rank)
            ids_.emplace(bytes, id);
    }

    std::vector<TokenId> parts_of(std::string_view token, TokenId rank) const {
        std::vector<std::string_view> parts;
        parts.reserve(token.size());
        for (size_t i = 0; i < token.size(); ++i)
            parts.push_back(token.substr(i, 1));
        for (;;) {
            TokenId best = rank;
            size_t at = 0;
            for (size_t i = 0; i + 1 < parts.size(); ++i) {
                const TokenId id = id_of({parts[i].data(), parts[i].size() + parts[i + 1].size()});
                if (id >= 0 && id < best) {
                    best = id;
                    at = i;
                }
            }
            if (best == rank) break;
            parts[at] = {parts[at].data(), parts[at].size() + parts[at + 1].size()};
            parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
        }
        std::vector<TokenId> ids;
        ids.reserve(parts.size());
        for (const std::string_view part : parts)
            ids.push_back(id_of(part));
        return ids;
    }

  private:
    TokenId id_of(std::string_view bytes) const {
        const auto found = ids_.find(bytes);
        return found == ids_.end() ? -1 : found->second;
    }

    std::unordered_map<std::string_view, TokenId> ids_;
};

// Finding a merge takes the square of the token's length. In all as much as 131,072 tokens of 32
// bytes need.
constexpr size_t kMaxTokenBytes = 1024;
constexpr size_t kMaxMergeWork = size_t{1} << 27;

Vocabulary read_tok(const json& root, const std::string& object) {
    if (const auto split = root.value("word_split", std::string("V1")); split != "V1")
        fail(object, "its word_split is " + quoted(split), "only V1 is known");
    Vocabulary vocabulary;
    vocabulary.dummy_prefix = false;
    ByteLevel& level = vocabulary.byte_level.emplace();
    const json& pattern = root.value("pat_str", json());
    const WordSplit& usual = *word_split_named("grok-2");
    level.patterns = {pattern.is_string() ? known_pattern(pattern.get<std::string>())
                                          : std::string(usual.patterns.front())};

    std::vector<std::pair<std::string, TokenId>> by_rank;
    size_t work = 0;
    for (const json& token : root.at("regular_tokens")) {
        const size_t id = checked_id(token.at("token"), object);
        by_rank.emplace_back(bytes_of(token, object), static_cast<TokenId>(id));
        const std::string& bytes = by_rank.back().first;
        if (bytes.size() > kMaxTokenBytes)
            fail(object, "a token has " + std::to_string(bytes.size()) + " bytes");
        work += bytes.size() * bytes.size();
        if (work > kMaxMergeWork) fail(object, "its tokens are too long, taken together");
        set_piece(vocabulary, id, spell(bytes), PieceKind::normal);
    }
    for (const json& token : root.at("special_tokens"))
        set_piece(vocabulary, checked_id(token.at("token"), object), bytes_of(token, object),
                  PieceKind::control);
    vocabulary.scores.resize(vocabulary.pieces.size());

    std::ranges::sort(by_rank, {}, &std::pair<std::string, TokenId>::second);
    const MergeFinder finder(by_rank);
    for (const auto& [bytes, id] : by_rank) {
        const std::vector<TokenId> parts = finder.parts_of(bytes, id);
        if (parts.size() == 2 && parts[0] >= 0 && parts[1] >= 0)
            level.merges.push_back({parts[0], parts[1]});
    }
    const auto find = [&](const char* piece) -> std::optional<TokenId> {
        const auto found = std::ranges::find(vocabulary.pieces, piece);
        if (found == vocabulary.pieces.end()) return std::nullopt;
        return static_cast<TokenId>(found - vocabulary.pieces.begin());
    };
    vocabulary.eos = find("<|eos|>");
    vocabulary.pad = find("<|pad|>");
    return vocabulary;
}

}  // namespace

Vocabulary read_tokenizer_json(std::span<const std::byte> bytes, const std::string& object) {
    return read_document(bytes, object,
                         [&](const json& root) { return TokenizerJson(root, object).read(); });
}

Vocabulary read_tok_json(std::span<const std::byte> bytes, const std::string& object) {
    return read_document(bytes, object, [&](const json& root) { return read_tok(root, object); });
}

}  // namespace core
