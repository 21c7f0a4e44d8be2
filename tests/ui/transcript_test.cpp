// The transcript: growing, marks, scrolling, following, other widths.
#include "ui/transcript.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/utf8.h"

namespace ui {
namespace {

std::vector<std::string> draw(Transcript& transcript, Size size) {
    Surface surface(size);
    transcript.draw(surface, {.row = 0, .column = 0, .rows = size.rows, .columns = size.columns},
                    Theme());
    std::vector<std::string> rows;
    for (int row = 0; row < size.rows; ++row)
        rows.push_back(surface.row_text(row));
    return rows;
}

void add_lines(Transcript& transcript, uint64_t key, int from, int to) {
    transcript.add({.key = key});
    std::string text;
    for (int i = from; i < to; ++i)
        text += (i == from ? "" : "\n") + std::to_string(i);
    transcript.append_text(transcript.size() - 1, text);
}

using Rows = std::vector<std::string>;

TEST(Transcript, LabelTextAsideAndTrailer) {
    Transcript transcript;
    transcript.add({.key = 1, .label = "you ▸", .aside = "3t"});
    transcript.append_text(0, "hello wide world of terminals and text");
    transcript.set_trailer(0, "stopped", StyleName::notice);
    EXPECT_EQ(draw(transcript, {.rows = 4, .columns = 32}),
              (Rows{"you ▸ hello wide world of     3t", "  terminals and text", "  stopped", ""}));
}

TEST(Transcript, GrowingTextEqualsTextAtOnce) {
    std::mt19937 random(9);
    const std::vector<std::string> parts = {"word ",   "日本、", "\n", "🙂", "\x1b[2J",
                                            "e\u0301", "a",      " ",  "-",    "👩\u200D🌾"};
    for (const int columns : {20, 40, 80, 120})
        for (int round = 0; round < 40; ++round) {
            std::string text;
            for (int i = 0; i < 60; ++i)
                text += parts[random() % parts.size()];
            Transcript whole;
            whole.add({.key = 1, .label = "m ▾"});
            whole.append_text(0, text);
            const Size size{.rows = 40, .columns = columns};
            Transcript grown;
            grown.add({.key = 1, .label = "m ▾"});
            for (size_t at = 0; at < text.size();) {
                size_t end = std::min(at + 1 + random() % 7, text.size());
                while (core::whole_utf8(std::string_view(text).substr(0, end)) != end)
                    ++end;
                grown.append_text(0, std::string_view(text).substr(at, end - at));
                draw(grown, size);
                at = end;
            }
            ASSERT_EQ(draw(grown, size), draw(whole, size));
        }
}

TEST(Transcript, FollowsTheEndUntilScrolledAndAgainAtTheEnd) {
    Transcript transcript;
    add_lines(transcript, 1, 0, 20);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  17", "  18", "  19"}));
    transcript.scroll(-5);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  12", "  13", "  14"}));
    EXPECT_FALSE(transcript.following());
    transcript.append_text(0, "\n20\n21");
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  12", "  13", "  14"}));
    EXPECT_EQ(transcript.rows_below(), 7U);
    EXPECT_EQ(transcript.new_rows(), 2U);
    transcript.scroll(100);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  19", "  20", "  21"}));
    EXPECT_TRUE(transcript.following());
    transcript.append_text(0, "\n22");
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40}), (Rows{"  20", "  21", "  22"}));
}

TEST(Transcript, ScrollingStopsAtTheTop) {
    Transcript transcript;
    add_lines(transcript, 1, 0, 20);
    draw(transcript, {.rows = 3, .columns = 40});
    transcript.scroll_page(-100);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40})[0], "  0");
    transcript.scroll(-1);
    EXPECT_EQ(draw(transcript, {.rows = 3, .columns = 40})[0], "  0");
}

TEST(Transcript, AnotherWidthKeepsWhatIsAtTheTop) {
    Transcript transcript;
    std::string text;
    for (int i = 0; i < 200; ++i)
        text += "word" + std::to_string(i) + " ";
    transcript.add({.key = 1});
    transcript.append_text(0, text);
    draw(transcript, {.rows = 4, .columns = 40});
    transcript.scroll(-20);
    const std::string top = draw(transcript, {.rows = 4, .columns = 40})[0];
    const std::string first_word = top.substr(2, top.find(' ', 2) - 2);
    const std::string narrow = draw(transcript, {.rows = 4, .columns = 23})[0] + " ";
    EXPECT_NE(narrow.find(first_word + " "), std::string::npos) << top << " / " << narrow;
    EXPECT_FALSE(transcript.following());
}

TEST(Transcript, MarksStandWhereTheTextWasAndAreWrappedWithIt) {
    Transcript transcript;
    transcript.add({.key = 1});
    transcript.append_text(0, "before ");
    transcript.append_mark(0, "┊T 0.7→1.1 @2┊");
    transcript.append_text(0, "after");
    EXPECT_EQ(draw(transcript, {.rows = 1, .columns = 60})[0], "  before ┊T 0.7→1.1 @2┊after");
    EXPECT_EQ(transcript.text_bytes(0), 12U);
    EXPECT_EQ(transcript.marks(0), 1U);
    Surface surface({.rows = 1, .columns = 60});
    transcript.draw(surface, {.row = 0, .column = 0, .rows = 1, .columns = 60}, Theme());
    EXPECT_EQ(surface.at(0, 9).style, Theme()[StyleName::mark]);
    EXPECT_EQ(surface.at(0, 2).style, Theme()[StyleName::text]);
    EXPECT_EQ(surface.at(0, 24).style, Theme()[StyleName::text]);
}

TEST(Transcript, TruncatingAndAddingReplacesTheEnd) {
    Transcript transcript;
    add_lines(transcript, 1, 0, 2);
    add_lines(transcript, 2, 5, 7);
    transcript.truncate(1);
    add_lines(transcript, 3, 8, 9);
    EXPECT_EQ(draw(transcript, {.rows = 4, .columns = 40}), (Rows{"  0", "  1", "", "  8"}));
    transcript.truncate(0);
    EXPECT_EQ(draw(transcript, {.rows = 1, .columns = 40}), (Rows{""}));
}

TEST(Transcript, NoSizeIsTooSmall) {
    Transcript transcript;
    transcript.add({.key = 1, .label = "日本語日本語 ▾", .aside = "12/13 400t"});
    transcript.append_text(0, "日本語 text with 🙂 and\nlines");
    for (int rows = 0; rows < 4; ++rows)
        for (int columns = 1; columns < 40; ++columns)
            draw(transcript, {.rows = rows, .columns = columns});
}

}  // namespace
}  // namespace ui
