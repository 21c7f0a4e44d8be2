#include "core/text/piece_tokenizer.h"

#include <algorithm>
#include <array>
#include <functional>
#include <unordered_map>
#include <utility>

#include "core/base/utf8.h"

namespace core {
namespace {

using PieceMap = std::unordered_map<std::string_view, TokenId>;

// `<|separator|>`: what a conversation is structured with, and what nobody may smuggle in.
bool special_shaped(std::string_view piece) {
    return piece.size() > 4 && piece.starts_with("<|") && piece.ends_with("|>");
}

// A set of strings with "which is the longest one at this place".
class PieceSet {
  public:
    // The view must stay valid.
    void insert(std::string_view piece, TokenId id) {
        ids_.emplace(piece, id);
        auto& lengths = lengths_[static_cast<unsigned char>(piece.front())];
        if (std::find(lengths.begin(), lengths.end(), piece.size()) == lengths.end())
            lengths.insert(
                std::upper_bound(lengths.begin(), lengths.end(), piece.size(), std::greater<>()),
                piece.size());
    }

    struct Match {
        TokenId id = -1;
        size_t length = 0;
    };
    // The longest member at the front of `text`; length 0 when there is none.
    Match longest(std::string_view text) const {
        for (const size_t length : lengths_[static_cast<unsigned char>(text.front())]) {
            if (length > text.size()) continue;
            const auto found = ids_.find(text.substr(0, length));
            if (found != ids_.end()) return {found->second, length};
        }
        return {};
    }

  private:
    PieceMap ids_;
    std::array<std::vector<size_t>, 256> lengths_;  // by first byte, descending
};

// Text between exact ids, as the merger writes it, with the parts where specials are allowed.
struct Run {
    std::string text;
    struct Part {
        size_t end = 0;
        bool specials = false;
    };
    std::vector<Part> parts;  // neighbours differ in `specials`

    void append(std::string_view written, bool specials) {
        text += written;
        if (!parts.empty() && parts.back().specials == specials)
            parts.back().end = text.size();
        else
            parts.push_back({text.size(), specials});
    }
};

class PieceTokenizer final : public Tokenizer {
  public:
    PieceTokenizer(Vocabulary vocabulary, std::unique_ptr<Merger> merger)
        : vocabulary_(std::move(vocabulary)), merger_(std::move(merger)) {
        vocabulary_.scores = {};  // the merger has what it needs
        if (vocabulary_.byte_level) vocabulary_.byte_level->merges = {};
        by_piece_.reserve(vocabulary_.pieces.size());
        for (size_t index = 0; index < vocabulary_.pieces.size(); ++index)
            add(index);
    }

    uint32_t size() const override { return static_cast<uint32_t>(vocabulary_.pieces.size()); }

    std::vector<TokenId> encode(std::span<const TextSpan> spans) const override {
        std::vector<TokenId> ids;
        Run run;
        bool at_start = true;
        for (const TextSpan& span : spans) {
            if (!span.tokens.empty()) {
                encode_run(run, ids);
                run = {};
                ids.insert(ids.end(), span.tokens.begin(), span.tokens.end());
                at_start = false;
            } else if (!span.text.empty()) {
                const bool prefixed = at_start && vocabulary_.dummy_prefix;
                run.append(merger_->write((prefixed ? " " : "") + span.text), span.specials);
                at_start = false;
            }
        }
        encode_run(run, ids);
        return ids;
    }

    std::string_view bytes(TokenId id) const override {
        if (!has(id)) return {};
        const size_t index = static_cast<size_t>(id);
        const size_t begin = index == 0 ? 0 : byte_ends_[index - 1];
        return std::string_view(bytes_).substr(begin, byte_ends_[index] - begin);
    }
    PieceKind kind(TokenId id) const override {
        return has(id) ? vocabulary_.kinds[static_cast<size_t>(id)] : PieceKind::unused;
    }
    std::string_view piece(TokenId id) const override {
        return has(id) ? std::string_view(vocabulary_.pieces[static_cast<size_t>(id)])
                       : std::string_view();
    }
    std::optional<TokenId> find_piece(std::string_view piece) const override {
        const auto found = by_piece_.find(piece);
        if (found == by_piece_.end()) return std::nullopt;
        return found->second;
    }

    std::optional<TokenId> bos() const override { return vocabulary_.bos; }
    std::optional<TokenId> eos() const override { return vocabulary_.eos; }
    bool add_bos() const override { return vocabulary_.add_bos && vocabulary_.bos; }
    bool dummy_prefix() const override { return vocabulary_.dummy_prefix; }

    std::vector<TokenId> never_sampled(uint32_t vocab) const override;
    std::vector<TokenId> end_of_generation() const override;

  private:
    bool has(TokenId id) const { return id >= 0 && static_cast<uint32_t>(id) < size(); }
    void add(size_t index);
    void encode_run(const Run& run, std::vector<TokenId>& ids) const;
    void encode_plain(std::string_view text, std::vector<TokenId>& ids) const {
        if (!text.empty()) merger_->encode(text, ids);
    }

    Vocabulary vocabulary_;
    std::unique_ptr<Merger> merger_;
    std::string bytes_;  // what each piece stands for, one after the other
    std::vector<size_t> byte_ends_;
    PieceMap by_piece_;
    PieceSet everywhere_;  // user-defined pieces: newlines, digits
    PieceSet specials_;    // special-shaped pieces, of any kind without merges
};

void PieceTokenizer::add(size_t index) {
    const std::string& piece = vocabulary_.pieces[index];
    const PieceKind kind = vocabulary_.kinds[index];
    const auto id = static_cast<TokenId>(index);
    if (!piece.empty()) by_piece_.emplace(piece, id);

    const bool matched = kind == PieceKind::user_defined || kind == PieceKind::control;
    if (matched && special_shaped(piece))
        specials_.insert(piece, id);
    else if (kind == PieceKind::user_defined)
        everywhere_.insert(piece, id);

    bytes_ += bytes_of_piece(vocabulary_, index);
    byte_ends_.push_back(bytes_.size());
}

void PieceTokenizer::encode_run(const Run& run, std::vector<TokenId>& ids) const {
    const std::string_view text = run.text;
    size_t plain = 0;  // begin of what is not encoded yet
    size_t part = 0;
    for (size_t at = 0; at < text.size();) {
        while (run.parts[part].end <= at)
            ++part;
        PieceSet::Match match = everywhere_.longest(text.substr(at));
        if (run.parts[part].specials) {
            const auto special = specials_.longest(text.substr(at, run.parts[part].end - at));
            if (special.length > match.length) match = special;
        }
        if (match.length == 0) {
            at += decode_utf8(text.substr(at)).length;
            continue;
        }
        encode_plain(text.substr(plain, at - plain), ids);
        ids.push_back(match.id);
        at += match.length;
        plain = at;
    }
    encode_plain(text.substr(plain), ids);
}

std::vector<TokenId> PieceTokenizer::never_sampled(uint32_t vocab) const {
    const std::vector<TokenId> ends = end_of_generation();
    std::vector<TokenId> ids;
    for (uint32_t index = 0; index < vocab; ++index) {
        const auto id = static_cast<TokenId>(index);
        const PieceKind what = kind(id);  // beyond the pieces: unused
        const bool never = what == PieceKind::unknown || what == PieceKind::unused ||
                           id == vocabulary_.bos || id == vocabulary_.pad;
        // Where a vocabulary uses one piece as bos and as eos, it must still be able to end.
        if (never && std::find(ends.begin(), ends.end(), id) == ends.end()) ids.push_back(id);
    }
    return ids;
}

std::vector<TokenId> PieceTokenizer::end_of_generation() const {
    static constexpr std::array<std::string_view, 14> kNames{
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
        "</s>",       "<|eom_id|>", "<EOT>",   "<_EOT>",        "<|end_of_text|>",
        "[EOS]",      "[EOT]",      "<|eos|>", "<|separator|>"};
    std::vector<TokenId> ids = vocabulary_.turn_ends;
    if (vocabulary_.eos) ids.push_back(*vocabulary_.eos);
    for (const std::string_view name : kNames) {
        // Grok-1 has <|separator|> as a user-defined piece, and nothing says that it ends there.
        const auto id = find_piece(name);
        if (id && kind(*id) == PieceKind::control) ids.push_back(*id);
    }
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

}  // namespace

std::unique_ptr<Tokenizer> make_piece_tokenizer(Vocabulary vocabulary,
                                                std::unique_ptr<Merger> merger) {
    return std::make_unique<PieceTokenizer>(std::move(vocabulary), std::move(merger));
}

}  // namespace core
