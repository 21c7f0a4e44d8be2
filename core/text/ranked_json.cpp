// Vocabularies that list their tokens by rank and no merges, as tiktoken does: Grok-2's
// tokenizer.tok.json (SGLang, tiktoken_tokenizer.py) and Mistral's tekken.json (mistral-common,
// tekken.py). Declared in vocabulary.h.

#include <algorithm>
#include <array>
#include <optional>
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
using vocabulary_json::number_below;
using vocabulary_json::quoted;
using vocabulary_json::read_document;
using vocabulary_json::set_piece;

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

// The tokens of a byte-level vocabulary in the making, whose order is that of their ids.
class RankedTokens {
  public:
    RankedTokens(Vocabulary& vocabulary, const std::string& object)
        : vocabulary_(vocabulary), object_(object) {
        vocabulary_.dummy_prefix = false;
        vocabulary_.byte_level.emplace();
    }

    void add(size_t id, std::string bytes) {
        if (bytes.size() > kMaxTokenBytes)
            fail(object_, "a token has " + std::to_string(bytes.size()) + " bytes");
        work_ += bytes.size() * bytes.size();
        if (work_ > kMaxWork) fail(object_, "its tokens are too long, taken together");
        set_piece(vocabulary_, id, spell(bytes), PieceKind::normal);
        by_rank_.emplace_back(std::move(bytes), static_cast<TokenId>(id));
    }

    void add_merges() {
        vocabulary_.scores.resize(vocabulary_.pieces.size());
        std::ranges::sort(by_rank_, {}, &std::pair<std::string, TokenId>::second);
        const MergeFinder finder(by_rank_);
        for (const auto& [bytes, id] : by_rank_) {
            const std::vector<TokenId> parts = finder.parts_of(bytes, id);
            if (parts.size() == 2 && parts[0] >= 0 && parts[1] >= 0)
                vocabulary_.byte_level->merges.push_back({parts[0], parts[1]});
        }
    }

    std::optional<TokenId> find(const char* piece) const {
        const auto found = std::ranges::find(vocabulary_.pieces, piece);
        if (found == vocabulary_.pieces.end()) return std::nullopt;
        return static_cast<TokenId>(found - vocabulary_.pieces.begin());
    }

  private:
    // Finding a merge takes the square of the token's length. In all as much as 131,072 tokens of
    // 32 bytes need.
    static constexpr size_t kMaxTokenBytes = 1024;
    static constexpr size_t kMaxWork = size_t{1} << 27;

    Vocabulary& vocabulary_;
    const std::string& object_;
    std::vector<std::pair<std::string, TokenId>> by_rank_;
    size_t work_ = 0;
};

// --- tokenizer.tok.json -----------------------------------------------------------------------

std::string bytes_of(const json& token, const std::string& object) {
    std::string bytes;
    for (const json& byte : token.at("bytes"))
        bytes += static_cast<char>(number_below(256, byte, "byte", object));
    return bytes;
}

Vocabulary read_tok(const json& root, const std::string& object) {
    if (const auto split = root.value("word_split", std::string("V1")); split != "V1")
        fail(object, "its word_split is " + quoted(split), "only V1 is known");
    Vocabulary vocabulary;
    RankedTokens tokens(vocabulary, object);
    const json& pattern = root.value("pat_str", json());
    const WordSplit& usual = *word_split_named("grok-2");
    vocabulary.byte_level->patterns = {pattern.is_string()
                                           ? known_pattern(pattern.get<std::string>())
                                           : std::string(usual.patterns.front())};
    for (const json& token : root.at("regular_tokens"))
        tokens.add(checked_id(token.at("token"), object), bytes_of(token, object));
    for (const json& token : root.at("special_tokens"))
        set_piece(vocabulary, checked_id(token.at("token"), object), bytes_of(token, object),
                  PieceKind::control);
    tokens.add_merges();
    vocabulary.eos = tokens.find("<|eos|>");
    vocabulary.pad = tokens.find("<|pad|>");
    return vocabulary;
}

// --- tekken.json ------------------------------------------------------------------------------

// Of files that do not list them: those of versions up to 7.
constexpr std::array<const char*, 20> kTekkenSpecials{"<unk>",
                                                      "<s>",
                                                      "</s>",
                                                      "[INST]",
                                                      "[/INST]",
                                                      "[AVAILABLE_TOOLS]",
                                                      "[/AVAILABLE_TOOLS]",
                                                      "[TOOL_RESULTS]",
                                                      "[/TOOL_RESULTS]",
                                                      "[TOOL_CALLS]",
                                                      "[IMG]",
                                                      "<pad>",
                                                      "[IMG_BREAK]",
                                                      "[IMG_END]",
                                                      "[PREFIX]",
                                                      "[MIDDLE]",
                                                      "[SUFFIX]",
                                                      "[SYSTEM_PROMPT]",
                                                      "[/SYSTEM_PROMPT]",
                                                      "[TOOL_CONTENT]"};

std::string decode_base64(const std::string& text, const std::string& object) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t end = text.find_last_not_of('=') + 1;
    if (text.size() % 4 != 0 || text.size() - end > 2)
        fail(object, "has the token " + quoted(text), "expected base64");
    std::string bytes;
    uint32_t bits = 0;
    int count = 0;
    for (const char c : std::string_view(text).substr(0, end)) {
        const size_t digit = kDigits.find(c);
        if (digit == std::string_view::npos)
            fail(object, "has the token " + quoted(text), "expected base64");
        bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xFFFF;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        bytes += static_cast<char>(bits >> count & 0xFF);
    }
    return bytes;
}

// The ids below `count`: what the file lists, the usual ones where it lists none, fillers.
void add_specials(const json& root, size_t count, Vocabulary& vocabulary,
                  const std::string& object) {
    for (size_t id = 0; id < count; ++id)
        set_piece(vocabulary, id, "<SPECIAL_" + std::to_string(id) + ">", PieceKind::control);
    const auto listed = root.find("special_tokens");
    if (listed == root.end() || listed->is_null()) {
        for (size_t id = 0; id < std::min(count, kTekkenSpecials.size()); ++id)
            vocabulary.pieces[id] = kTekkenSpecials[id];
        return;
    }
    for (const json& token : *listed)
        vocabulary.pieces[number_below(count, token.at("rank"), "rank", object)] =
            token.at("token_str").get<std::string>();
}

Vocabulary read_tekken(const json& root, const std::string& object) {
    const json& config = root.at("config");
    const size_t size = checked_id(config.at("default_vocab_size"), object);
    const size_t specials = number_below(size, config.at("default_num_special_tokens"),
                                         "number of special tokens", object);
    Vocabulary vocabulary;
    RankedTokens tokens(vocabulary, object);
    vocabulary.byte_level->patterns = {known_pattern(config.at("pattern").get<std::string>())};
    // tiktoken looks a whole word up before it merges.
    vocabulary.byte_level->ignore_merges = true;
    add_specials(root, specials, vocabulary, object);
    for (const json& token : root.at("vocab")) {
        // The file may list more than the model has.
        const size_t rank = checked_id(token.at("rank"), object);
        if (rank < size - specials)
            tokens.add(specials + rank,
                       decode_base64(token.at("token_bytes").get<std::string>(), object));
    }
    tokens.add_merges();
    vocabulary.bos = tokens.find("<s>");
    vocabulary.eos = tokens.find("</s>");
    vocabulary.pad = tokens.find("<pad>");
    vocabulary.add_bos = vocabulary.bos.has_value();
    return vocabulary;
}

}  // namespace

Vocabulary read_tok_json(std::span<const std::byte> bytes, const std::string& object) {
    return read_document(bytes, object, [&](const json& root) { return read_tok(root, object); });
}

Vocabulary read_tekken_json(std::span<const std::byte> bytes, const std::string& object) {
    return read_document(bytes, object,
                         [&](const json& root) { return read_tekken(root, object); });
}

}  // namespace core
