#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/text/bpe.h"

#include <array>
#include <queue>
#include <unordered_map>
#include <utility>

#include <pcre2.h>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/byte_level.h"
#include "core/text/piece_tokenizer.h"

namespace core {
namespace {

struct FreeCode {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeContext {
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeMatch {
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

// One regular expression that cuts text into its matches and what lies between them.
class Cutter {
  public:
    Cutter(const std::string& pattern, const std::string& object) : object_(object) {
        int error = 0;
        PCRE2_SIZE at = 0;
        // \C would cut code points; UCP: \s and \p are those of Unicode.
        const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
        code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                  options, &error, &at, nullptr));
        if (!code_) {
            std::array<unsigned char, 256> text{};
            pcre2_get_error_message(error, text.data(), text.size());
            throw Error(ErrorKind::model_unusable, object,
                        "its pre-tokenizer has an expression that is refused at character " +
                            std::to_string(at) + ": " + reinterpret_cast<const char*>(text.data()));
        }
        // Where there is no JIT the interpreter matches the same.
        pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
        // The expressions in use need some ten steps a character; one of a file may be a trap.
        constexpr uint32_t kMostSteps = 10'000'000;
        context_.reset(pcre2_match_context_create(nullptr));
        pcre2_set_match_limit(context_.get(), kMostSteps);
    }

    // Calls take(word) for all of `text`, in order. REQUIRES: text is UTF-8.
    template <class Take>
    void cut(std::string_view text, Take take) const {
        const std::unique_ptr<pcre2_match_data, FreeMatch> match(
            pcre2_match_data_create_from_pattern(code_.get(), nullptr));
        size_t done = 0;   // given out
        size_t start = 0;  // where to look on
        while (start < text.size()) {
            const int found =
                pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                            start, PCRE2_NO_UTF_CHECK, match.get(), context_.get());
            if (found == PCRE2_ERROR_NOMATCH) break;
            if (found < 0) fail(found);
            const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
            if (ends[1] <= ends[0] || ends[0] < done) {  // of nothing
                start += decode_utf8(text.substr(start)).length;
                continue;
            }
            if (ends[0] > done) take(text.substr(done, ends[0] - done));
            take(text.substr(ends[0], ends[1] - ends[0]));
            done = start = ends[1];
        }
        if (done < text.size()) take(text.substr(done));
    }

  private:
    [[noreturn]] void fail(int error) const {
        throw Error(ErrorKind::model_unusable, object_,
                    "the expression of its pre-tokenizer cannot be matched with this text (PCRE2 " +
                        std::to_string(error) + ")");
    }

    std::string object_;
    std::unique_ptr<pcre2_code, FreeCode> code_;
    std::unique_ptr<pcre2_match_context, FreeContext> context_;
};

// Merges the bytes of one word, lowest rank first and leftmost among equals.
class WordMerger {
  public:
    explicit WordMerger(const Vocabulary& vocabulary) {
        std::unordered_map<std::string_view, TokenId> ids;
        for (size_t id = 0; id < vocabulary.pieces.size(); ++id)
            if (vocabulary.kinds[id] == PieceKind::normal)
                ids.emplace(vocabulary.pieces[id], static_cast<TokenId>(id));
        for (unsigned byte = 0; byte < 256; ++byte)
            bytes_[byte] = ids.at(spelled_byte(static_cast<uint8_t>(byte)));
        const ByteLevel& level = *vocabulary.byte_level;
        merges_.reserve(level.merges.size());
        for (size_t rank = 0; rank < level.merges.size(); ++rank) {
            const auto [left, right] = level.merges[rank];
            const auto result = ids.find(vocabulary.pieces[static_cast<size_t>(left)] +
                                         vocabulary.pieces[static_cast<size_t>(right)]);
            merges_.emplace(key(left, right), Merge{static_cast<uint32_t>(rank), result->second});
        }
        if (!level.ignore_merges) return;
        for (size_t id = 0; id < vocabulary.pieces.size(); ++id)
            if (vocabulary.kinds[id] == PieceKind::normal)
                words_.emplace(bytes_of_piece(vocabulary, id), static_cast<TokenId>(id));
    }

    void merge(std::string_view word, std::vector<TokenId>& ids) const {
        if (!words_.empty()) {
            if (const auto whole = words_.find(std::string(word)); whole != words_.end())
                return ids.push_back(whole->second);
        }
        std::vector<Symbol> symbols(word.size());
        for (size_t i = 0; i < word.size(); ++i)
            symbols[i] = {.id = bytes_[static_cast<uint8_t>(word[i])],
                          .before = i == 0 ? kNone : i - 1,
                          .after = i + 1 == word.size() ? kNone : i + 1};
        std::priority_queue<Candidate> candidates;
        for (size_t i = 0; i + 1 < symbols.size(); ++i)
            propose(symbols, i, candidates);
        while (!candidates.empty()) {
            const Candidate best = candidates.top();
            candidates.pop();
            Symbol& left = symbols[best.left];
            // One of the two has become part of another since.
            if (left.id != best.left_id || left.after == kNone) continue;
            const Symbol& right = symbols[left.after];
            if (right.id != best.right_id) continue;
            symbols[left.after].id = kGone;
            left.id = best.result;
            left.after = right.after;
            if (left.after != kNone) symbols[left.after].before = best.left;
            if (left.after != kNone) propose(symbols, best.left, candidates);
            if (left.before != kNone) propose(symbols, left.before, candidates);
        }
        for (const Symbol& symbol : symbols)
            if (symbol.id != kGone) ids.push_back(symbol.id);
    }

  private:
    static constexpr size_t kNone = SIZE_MAX;
    static constexpr TokenId kGone = -1;

    struct Merge {
        uint32_t rank;
        TokenId result;
    };
    struct Symbol {
        TokenId id = kGone;
        size_t before = kNone;
        size_t after = kNone;
    };
    struct Candidate {
        uint32_t rank;
        size_t left;
        TokenId left_id;
        TokenId right_id;
        TokenId result;
        // The top of the queue is the greatest.
        bool operator<(const Candidate& other) const {
            return rank != other.rank ? rank > other.rank : left > other.left;
        }
    };

    static uint64_t key(TokenId left, TokenId right) {
        return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
               static_cast<uint32_t>(right);
    }

    void propose(const std::vector<Symbol>& symbols, size_t left,
                 std::priority_queue<Candidate>& candidates) const {
        const TokenId left_id = symbols[left].id;
        const TokenId right_id = symbols[symbols[left].after].id;
        const auto merge = merges_.find(key(left_id, right_id));
        if (merge == merges_.end()) return;
        candidates.push({merge->second.rank, left, left_id, right_id, merge->second.result});
    }

    std::array<TokenId, 256> bytes_{};
    std::unordered_map<uint64_t, Merge> merges_;
    std::unordered_map<std::string, TokenId> words_;  // with ignore_merges
};

class ByteLevelMerger final : public Merger {
  public:
    ByteLevelMerger(const Vocabulary& vocabulary, const std::string& object)
        : nfc_(vocabulary.byte_level->nfc), words_(vocabulary) {
        for (const std::string& pattern : vocabulary.byte_level->patterns)
            cutters_.emplace_back(pattern, object);
    }

    std::string write(std::string_view text) const override {
        std::string written;
        while (!text.empty()) {
            const CodePoint point = decode_utf8(text);
            append_utf8(written, point.valid ? point.value : kReplacementCharacter);
            text.remove_prefix(point.length);
        }
        return nfc_ ? composed_utf8(written) : written;
    }

    void encode(std::string_view text, std::vector<TokenId>& ids) const override {
        cut(text, 0, ids);
    }

  private:
    // Each expression cuts what the one before it left.
    void cut(std::string_view text, size_t first, std::vector<TokenId>& ids) const {
        if (first == cutters_.size()) return words_.merge(text, ids);
        cutters_[first].cut(text, [&](std::string_view word) { cut(word, first + 1, ids); });
    }

    bool nfc_;
    WordMerger words_;
    std::vector<Cutter> cutters_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_level_bpe(Vocabulary vocabulary, const std::string& object) {
    auto merger = std::make_unique<ByteLevelMerger>(vocabulary, object);
    return make_piece_tokenizer(std::move(vocabulary), std::move(merger));
}

}  // namespace core
