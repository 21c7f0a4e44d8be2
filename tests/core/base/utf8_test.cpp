// Decoding, graphemes, widths and the inertness of hostile text.
#include "core/base/utf8.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace core {
namespace {

std::vector<std::string> graphemes(std::string_view text) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const size_t bytes = first_grapheme_bytes(text);
        parts.emplace_back(text.substr(0, bytes));
        text.remove_prefix(bytes);
    }
    return parts;
}

TEST(Utf8, EveryScalarValueSurvivesEncodingAndDecoding) {
    for (char32_t c = 0; c <= 0x10FFFF; ++c) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        std::string bytes;
        append_utf8(bytes, c);
        const CodePoint point = decode_utf8(bytes);
        ASSERT_TRUE(point.valid) << std::hex << static_cast<uint32_t>(c);
        ASSERT_EQ(point.value, c);
        ASSERT_EQ(point.length, bytes.size());
        ASSERT_EQ(whole_utf8(bytes), bytes.size());
        ASSERT_EQ(whole_utf8(std::string_view(bytes).substr(0, bytes.size() - 1)), 0U);
    }
}

TEST(Utf8, OverlongSurrogateAndStrayBytesAreInvalid) {
    for (const char* bytes :
         {"\xC0\xAF", "\xC1\xBF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF0\x80\x80\xAF",
          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xBF", "\xFE", "\xFF", "\xE2\x82"})
        EXPECT_FALSE(is_utf8(bytes)) << testing::PrintToString(std::string(bytes));
}

TEST(Utf8, ErrorsAreReplacedByMaximalParts) {
    // The example of Unicode 15, table 3-11.
    EXPECT_EQ(sanitize("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"),
              "\uFFFD\uFFFD\uFFFD\uFFFD"
              "A");
    EXPECT_EQ(sanitize("\xC0\xAF"), "\uFFFD\uFFFD");
}

TEST(Utf8, WholePartHoldsBackOnlyWhatCanStillBeCompleted) {
    EXPECT_EQ(whole_utf8("ab\xE2\x82"), 2U);
    EXPECT_EQ(whole_utf8("ab\xF0\x9F\x98"), 2U);
    EXPECT_EQ(whole_utf8("ab\xFF"), 3U);
    EXPECT_EQ(whole_utf8("ab\xE0\x80"), 4U);  // overlong: nothing can complete it
    EXPECT_EQ(whole_utf8("ab\x82\x82"), 4U);
    EXPECT_EQ(whole_utf8(""), 0U);
}

TEST(Utf8, GraphemesAreUserPerceivedCharacters) {
    EXPECT_EQ(graphemes("e\u0301a"), (std::vector<std::string>{"e\u0301", "a"}));
    EXPECT_EQ(graphemes("👩\u200D🌾x"), (std::vector<std::string>{"👩\u200D🌾", "x"}));
    EXPECT_EQ(graphemes("🇫🇷🇩🇪"), (std::vector<std::string>{"🇫🇷", "🇩🇪"}));
    EXPECT_EQ(last_grapheme_bytes("a🇫🇷🇩🇪"), 8U);
    EXPECT_EQ(last_grapheme_bytes("xe\u0301"), 3U);
    EXPECT_EQ(last_grapheme_bytes(""), 0U);
}

TEST(Utf8, WidthsFollowThePolicySafe) {
    EXPECT_EQ(display_width("plain"), 5U);
    EXPECT_EQ(display_width("日本語"), 6U);
    EXPECT_EQ(display_width("한국"), 4U);
    EXPECT_EQ(display_width("e\u0301"), 1U);
    EXPECT_EQ(display_width("🙂"), 2U);
    EXPECT_EQ(display_width("🇫🇷"), 2U);
    EXPECT_EQ(display_width("α"), 1U);  // ambiguous
    EXPECT_EQ(display_width("\u1112\u1161\u11AB"), 2U);
    EXPECT_EQ(display_width("👨\u200D👩\u200D👧\u200D👦"), 2U);
    EXPECT_EQ(display_width("👍🏽"), 2U);
    EXPECT_EQ(display_width("❤\uFE0F"), 1U);
    EXPECT_EQ(next_grapheme("👩\u200D🌾").drawn, "👩");
    EXPECT_EQ(next_grapheme("👍🏽").drawn, "👍");
    EXPECT_EQ(next_grapheme("❤\uFE0F").drawn, "❤");
}

TEST(Utf8, MarksBeyondACellAreNotDrawn) {
    std::string zalgo = "a";
    for (int i = 0; i < 100; ++i)
        zalgo += "\u0301";
    const Grapheme grapheme = next_grapheme(zalgo);
    EXPECT_EQ(grapheme.bytes, zalgo.size());
    EXPECT_EQ(grapheme.width, 1);
    EXPECT_EQ(grapheme.drawn, "a\u0301\u0301\u0301\u0301");
}

TEST(Utf8, FittingNeverSplitsAGrapheme) {
    EXPECT_EQ(fit_width("日本語", 5), "日本");
    EXPECT_EQ(fit_width("ab", 0), "");
    EXPECT_EQ(fit_width("e\u0301x", 1), "e\u0301");
}

TEST(Sanitize, ControlsBecomePictures) {
    EXPECT_EQ(sanitize("\x1b[2J"), "␛[2J");
    EXPECT_EQ(sanitize("\x1b]52;c;aGk=\x07"), "␛]52;c;aGk=␇");
    EXPECT_EQ(sanitize("a\rb"), "a␍b");
    EXPECT_EQ(sanitize(std::string_view("\0", 1)), "␀");
    EXPECT_EQ(sanitize("\x7f"), "␡");
    EXPECT_EQ(sanitize("\u009b2J"), "␛[2J");
    EXPECT_EQ(sanitize("\x9b"), "\uFFFD");  // a bare C1 byte is not UTF-8
    EXPECT_EQ(sanitize("\u202Egnp.exe"), "\uFFFDgnp.exe");
    EXPECT_EQ(sanitize("x\ty\nz"), "x    y\nz");
    EXPECT_EQ(sanitize("a\u2028b"), "a\nb");
    EXPECT_EQ(sanitize("\u05D0\u200F!"), "\u05D0!");
    EXPECT_EQ(sanitize("日本 e\u0301 👩\u200D🌾"), "日本 e\u0301 👩\u200D🌾");
}

TEST(Sanitize, RandomBytesComeOutInertWholeAndInPieces) {
    std::mt19937 random(1);
    const std::string_view alphabet("a \n\t\r\x1b[]\x07\x7f\x80\x9b\xc2\xe2\x80\xae\xf0\x9f\x98");
    for (int round = 0; round < 3000; ++round) {
        std::string bytes;
        for (size_t i = random() % 24; i > 0; --i)
            bytes.push_back(alphabet[random() % alphabet.size()]);
        const std::string clean = sanitize(bytes);
        ASSERT_TRUE(is_utf8(clean));
        ASSERT_EQ(sanitize(clean), clean);
        for (size_t i = 0; i < clean.size();) {
            const CodePoint point = decode_utf8(std::string_view(clean).substr(i));
            ASSERT_TRUE(point.value == '\n' || (point.value >= 0x20 && point.value != 0x7F));
            ASSERT_FALSE(point.value >= 0x80 && point.value < 0xA0);
            i += point.length;
        }
        std::string pieces;
        for (std::string_view rest = bytes; !rest.empty();) {
            const size_t length = decode_utf8(rest).length;
            pieces += sanitize(rest.substr(0, length));
            rest.remove_prefix(length);
        }
        ASSERT_EQ(pieces, clean);
    }
}

TEST(Utf8, CharactersAreComposed) {
    EXPECT_EQ(composed_utf8("plain"), "plain");
    EXPECT_EQ(composed_utf8("e\u0301 \u1100\u1161"), "\u00E9 \uAC00");
    EXPECT_EQ(composed_utf8("\u00E9"), "\u00E9");
    EXPECT_EQ(composed_utf8("\xFF\u00E9"), "\xFF\u00E9");
}

}  // namespace
}  // namespace core
