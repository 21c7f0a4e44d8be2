// Wrapping: where rows may break, that nothing is lost, and that growing equals laying out at once.
#include "ui/text_layout.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/utf8.h"

namespace ui {
namespace {

std::vector<std::string> wrap(std::string_view text, int width, Indent indent = {}) {
    TextLayout layout;
    layout.update(text, width, indent);
    std::vector<std::string> rows;
    for (const Row& row : layout.rows())
        rows.emplace_back(text.substr(row.begin, row.end - row.begin));
    return rows;
}

using Rows = std::vector<std::string>;

std::string random_text(std::mt19937& random, size_t pieces) {
    const Rows parts = {"a",      "word", "longerword", " ", "  ",     "\n",      "日本",
                        "、",     "。",   "(",          ")", "-",      "e\u0301", "🙂",
                        ",",      "한",   "👩\u200D🌾",   "x", "\u4DC0", "“",       "https://a.b/c",
                        "\u0301", ".",    "ー"};
    std::string text;
    for (size_t i = 0; i < pieces; ++i)
        text += parts[random() % parts.size()];
    return text;
}

TEST(TextLayout, BreaksAfterSpacesWhichHangOver) {
    EXPECT_EQ(wrap("the quick brown fox", 9), (Rows{"the quick ", "brown fox"}));
    EXPECT_EQ(wrap("", 9), (Rows{""}));
    EXPECT_EQ(wrap("a\n\nb", 9), (Rows{"a", "", "b"}));
    EXPECT_EQ(wrap("word\n", 9), (Rows{"word", ""}));
}

TEST(TextLayout, CutsWordsThatAreLongerThanARow) {
    EXPECT_EQ(wrap("abcdefghij", 4), (Rows{"abcd", "efgh", "ij"}));
    EXPECT_EQ(wrap("x abcdefghij", 4), (Rows{"x ", "abcd", "efgh", "ij"}));
}

TEST(TextLayout, BreaksAroundWideCharactersButNotBeforeClosingPunctuation) {
    EXPECT_EQ(wrap("日本語の文", 6), (Rows{"日本語", "の文"}));
    EXPECT_EQ(wrap("日本語、文", 6), (Rows{"日本", "語、文"}));
    EXPECT_EQ(wrap("日本（語）", 6), (Rows{"日本", "（語）"}));
    EXPECT_EQ(wrap("well-known", 6), (Rows{"well-", "known"}));
    EXPECT_EQ(wrap("-5 -6", 4), (Rows{"-5 ", "-6"}));
}

TEST(TextLayout, ASingleLetterKeepsWhatFollowsItsHyphen) {
    EXPECT_EQ(wrap("press C-x c", 8), (Rows{"press ", "C-x c"}));
    EXPECT_EQ(wrap("press (C-x)", 10), (Rows{"press ", "(C-x)"}));
    EXPECT_EQ(wrap("an e-mail", 6), (Rows{"an ", "e-mail"}));
}

TEST(TextLayout, IndentTakesItsColumns) {
    EXPECT_EQ(wrap("aa bb cc dd", 8, {.first = 4, .rest = 2}), (Rows{"aa ", "bb cc ", "dd"}));
}

TEST(TextLayout, RowsJoinToTheSourceAndKeepTheWidth) {
    std::mt19937 random(3);
    for (const int width : {20, 40, 80, 120})
        for (int round = 0; round < 200; ++round) {
            const std::string text = random_text(random, 120);
            TextLayout layout;
            layout.update(text, width, {.first = 6, .rest = 2});
            std::string joined;
            size_t at = 0;
            for (const Row& row : layout.rows()) {
                if (row.begin == at + 1) {
                    ASSERT_EQ(text[at], '\n');
                    joined += '\n';
                }
                std::string shown = text.substr(row.begin, row.end - row.begin);
                joined += shown;
                at = row.end;
                shown.erase(shown.find_last_not_of(' ') + 1);
                const int room = width - (row.begin == 0 ? 6 : 2);
                ASSERT_LE(core::display_width(shown), static_cast<size_t>(room)) << shown;
            }
            ASSERT_EQ(joined, text);
        }
}

TEST(TextLayout, GrowingEqualsLayingOutAtOnce) {
    std::mt19937 random(5);
    for (int round = 0; round < 300; ++round) {
        const std::string text = random_text(random, 80);
        TextLayout grown;
        for (size_t at = 0; at < text.size();) {
            // Any whole code points: tokens end inside graphemes.
            size_t end = std::min(at + 1 + random() % 9, text.size());
            while (core::whole_utf8(std::string_view(text).substr(0, end)) != end)
                ++end;
            grown.update(std::string_view(text).substr(0, end), 20, {.first = 3, .rest = 1});
            at = end;
        }
        TextLayout whole;
        whole.update(text, 20, {.first = 3, .rest = 1});
        ASSERT_EQ(grown.rows(), whole.rows());
    }
}

TEST(TextLayout, AnotherWidthLaysOutEverything) {
    TextLayout layout;
    layout.update("one two three\nfour five", 9);
    layout.update("one two three\nfour five", 40);
    EXPECT_EQ(layout.rows().size(), 2U);
    layout.update("one two three\nfour five", 5);
    EXPECT_EQ(layout.rows().size(), 5U);
}

TEST(TextLayout, CutRowsFillEveryColumn) {
    const std::string text = "ab cd\n日本語";
    std::vector<std::string> rows;
    for (const Row& row : cut_rows(text, 4))
        rows.push_back(text.substr(row.begin, row.end - row.begin));
    EXPECT_EQ(rows, (Rows{"ab c", "d", "日本", "語"}));
    EXPECT_EQ(cut_rows("", 4).size(), 1U);
    EXPECT_EQ(cut_rows("a\n", 4).size(), 2U);
}

}  // namespace
}  // namespace ui
