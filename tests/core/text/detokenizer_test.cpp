#include "core/text/detokenizer.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/utf8.h"
#include "tests/core/text/text_fixtures.h"

namespace core {
namespace {

// Tokens that stand for whatever bytes a test wants.
class ScriptedTokenizer final : public Tokenizer {
  public:
    explicit ScriptedTokenizer(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
    uint32_t size() const override { return static_cast<uint32_t>(pieces_.size()); }
    std::vector<TokenId> encode(std::span<const TextSpan>) const override { return {}; }
    std::string_view bytes(TokenId id) const override { return pieces_[static_cast<size_t>(id)]; }
    PieceKind kind(TokenId) const override { return PieceKind::normal; }
    std::string_view piece(TokenId id) const override { return bytes(id); }
    std::optional<TokenId> find_piece(std::string_view) const override { return std::nullopt; }
    std::optional<TokenId> bos() const override { return std::nullopt; }
    std::optional<TokenId> eos() const override { return std::nullopt; }
    bool add_bos() const override { return false; }
    bool dummy_prefix() const override { return false; }
    std::vector<TokenId> never_sampled(uint32_t) const override { return {}; }
    std::vector<TokenId> end_of_generation() const override { return {}; }

  private:
    std::vector<std::string> pieces_;
};

// Streams the pieces one by one. Every part that comes out must be whole UTF-8.
std::string stream(const std::vector<std::string>& pieces, const std::vector<std::string>& stops,
                   bool strip_space = false) {
    const ScriptedTokenizer tokenizer(pieces);
    Detokenizer detokenizer(tokenizer, stops, strip_space);
    std::string text;
    for (size_t index = 0; index < pieces.size(); ++index) {
        const std::string part = detokenizer.push(static_cast<TokenId>(index));
        EXPECT_TRUE(is_utf8(part));
        text += part;
    }
    return text + detokenizer.finish();
}

// The definition: decode at once, cut where the first stop string begins.
std::string decode_at_once(std::string_view bytes, const std::vector<std::string>& stops,
                           bool strip_space) {
    std::string text;
    while (!bytes.empty()) {
        const CodePoint point = decode_utf8(bytes);
        append_utf8(text, point.valid ? point.value : kReplacementCharacter);
        bytes.remove_prefix(point.length);
    }
    if (strip_space && text.starts_with(' ')) text.erase(0, 1);
    size_t end = text.size();
    for (const std::string& stop : stops)
        if (!stop.empty()) end = std::min(end, text.find(stop));
    return text.substr(0, end);
}

TEST(Detokenizer, HoldsBytesBackUntilACodePointIsWhole) {
    const ScriptedTokenizer tokenizer({"\xF0\x9F", "\x99", "\x82!"});
    Detokenizer detokenizer(tokenizer, {}, false);
    EXPECT_EQ(detokenizer.push(0), "");
    EXPECT_EQ(detokenizer.push(1), "");
    EXPECT_EQ(detokenizer.push(2), "\U0001F642!");
    EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Detokenizer, ReplacesWhatIsNotUtf8) {
    EXPECT_EQ(stream({"a\xFF", "b"}, {}), "a\uFFFDb");
    EXPECT_EQ(stream({"a\xE2\x82"}, {}), "a\uFFFD");
    EXPECT_EQ(stream({"\xE2\x82", "x"}, {}), "\uFFFDx");
    EXPECT_EQ(stream({"\xC0\x80"}, {}), "\uFFFD\uFFFD");
}

TEST(Detokenizer, HoldsBackOnlyWhatMayBeAStopString) {
    const ScriptedTokenizer tokenizer({"hi\n", "\n", "Hu", "ge", "\n\nHuman", ":", "x"});
    Detokenizer detokenizer(tokenizer, {"\n\nHuman:"}, false);
    EXPECT_EQ(detokenizer.push(0), "hi");
    EXPECT_EQ(detokenizer.push(1), "");
    EXPECT_EQ(detokenizer.push(2), "");
    EXPECT_EQ(detokenizer.push(3), "\n\nHuge");
    EXPECT_EQ(detokenizer.push(4), "");
    EXPECT_FALSE(detokenizer.stopped());
    EXPECT_EQ(detokenizer.push(5), "");
    EXPECT_TRUE(detokenizer.stopped());
    EXPECT_EQ(detokenizer.push(6), "");
    EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Detokenizer, GivesOutAHeldBeginningAtTheEnd) {
    EXPECT_EQ(stream({"a\n\nHum"}, {"\n\nHuman:"}), "a\n\nHum");
}

TEST(Detokenizer, TheStopThatBeginsFirstWins) {
    EXPECT_EQ(stream({"xabc"}, {"b", "abc"}), "x");
    EXPECT_EQ(stream({"x", "a", "b", "c"}, {"b", "abc"}), "x");
    EXPECT_EQ(stream({"x", "a", "b", "d"}, {"b", "abc"}), "xa");
    EXPECT_EQ(stream({"x", "a", "b"}, {"b", "abc"}), "xa");
    EXPECT_EQ(stream({"a\n", "\nHuman:"}, {"\nHuman:", "\n\nHuman:"}), "a");
}

TEST(Detokenizer, IgnoresStopStringsThatMatchNothingOrEverything) {
    EXPECT_EQ(stream({"a\u20AC"}, {"", "\x82"}), "a\u20AC");
}

TEST(Detokenizer, DropsOneLeadingSpaceOfTheWholeOutput) {
    EXPECT_EQ(stream({" a", " b"}, {}, true), "a b");
    EXPECT_EQ(stream({"", "  a"}, {}, true), " a");
    EXPECT_EQ(stream({"a", " b"}, {}, true), "a b");
    EXPECT_EQ(stream({" a"}, {}, false), " a");
}

TEST(Detokenizer, StreamingAtEverySplitEqualsWhole) {
    // Pieces that collide: parts of code points, of stop strings, of each other.
    const std::vector<std::string> parts{" ",    "a",    "ab",       "b",    "ba",   "\n",
                                         "\n\n", "Hu",   "\xE2\x82", "\xAC", "\xFF", "\xF0\x9F",
                                         "\x99", "\x82", "\u00E9",   "aab",  "abab", "\xE2"};
    const std::vector<std::vector<std::string>> stop_lists{
        {}, {"abab"}, {"aab", "b\n"}, {"\n\nHu", "\nHu", "Hub"}, {"\u20AC\n", "ba\uFFFD"}};
    std::mt19937 random(11);
    size_t stopped = 0;
    for (int round = 0; round < 3000; ++round) {
        std::string bytes;
        for (size_t count = random() % 12; count > 0; --count)
            bytes += parts[random() % parts.size()];
        const auto& stops = stop_lists[random() % stop_lists.size()];
        const bool strip = random() % 2 == 0;
        const std::string whole = decode_at_once(bytes, stops, strip);
        stopped += whole.size() < decode_at_once(bytes, {}, strip).size() ? 1 : 0;
        std::vector<std::string> pieces;
        for (size_t at = 0; at < bytes.size();) {
            const size_t length = std::min<size_t>(random() % 4, bytes.size() - at);
            pieces.push_back(bytes.substr(at, length));
            at += length;
        }
        ASSERT_EQ(stream(pieces, stops, strip), whole) << "round " << round;
    }
    EXPECT_GT(stopped, 300U);
}

}  // namespace
}  // namespace core
