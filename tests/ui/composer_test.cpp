// Rows and cursor of the composer: wide characters, newlines, controls, scrolling.
#include "ui/composer.h"

#include <string>

#include <gtest/gtest.h>

#include "core/base/utf8.h"

namespace ui {
namespace {

struct Drawn {
    std::vector<std::string> rows;
    Position cursor;
};

Drawn draw(const ComposerState& state, Size size) {
    Surface surface(size);
    const Composer composer(state, size.columns);
    Drawn drawn;
    drawn.cursor = composer.draw(
        surface, {.row = 0, .column = 0, .rows = size.rows, .columns = size.columns}, Theme());
    for (int row = 0; row < size.rows; ++row)
        drawn.rows.push_back(surface.row_text(row));
    return drawn;
}

TEST(Composer, CursorColumnIsTheWidthOfWhatIsBeforeIt) {
    const std::string text = "a日e\u0301🙂👩\u200D🌾b";
    for (size_t at = 0; at <= text.size();) {
        const Drawn drawn = draw({.text = text, .cursor = at}, {.rows = 1, .columns = 40});
        EXPECT_EQ(drawn.cursor.column,
                  2 + static_cast<int>(core::display_width(std::string_view(text).substr(0, at))));
        if (at == text.size()) break;
        at += core::first_grapheme_bytes(std::string_view(text).substr(at));
    }
}

TEST(Composer, RowsWrapAndNewlinesCount) {
    const Composer composer({.text = "0123456789\nx", .cursor = 0}, 10);
    EXPECT_EQ(composer.rows(), 3);  // 7 columns of text: prompt and cursor take theirs
    const Drawn drawn = draw({.text = "0123456789\nx", .cursor = 12}, {.rows = 3, .columns = 10});
    EXPECT_EQ(drawn.rows, (std::vector<std::string>{"> 0123456", "  789", "  x"}));
    EXPECT_EQ(drawn.cursor, (Position{.row = 2, .column = 3}));
}

TEST(Composer, ManyRowsScrollWithTheCursor) {
    std::string text;
    for (int i = 0; i < 30; ++i)
        text += std::to_string(i) + "\n";
    EXPECT_EQ(Composer({.text = text}, 20).rows(), kMaxComposerRows);
    const Drawn end = draw({.text = text, .cursor = text.size()}, {.rows = 3, .columns = 20});
    EXPECT_EQ(end.rows, (std::vector<std::string>{"  28", "  29", ""}));
    EXPECT_EQ(end.cursor.row, 2);
    const Drawn begin = draw({.text = text, .cursor = 0}, {.rows = 3, .columns = 20});
    EXPECT_EQ(begin.rows[0], "> 0");
    EXPECT_EQ(begin.cursor.row, 0);
}

TEST(Composer, ControlCharactersAreShownAndCounted) {
    const Drawn drawn = draw({.text = "a\x1b\tb", .cursor = 3}, {.rows = 1, .columns = 20});
    EXPECT_EQ(drawn.rows[0], "> a␛    b");
    EXPECT_EQ(drawn.cursor.column, 2 + 6);
}

TEST(Composer, UpAndDownKeepTheColumn) {
    const ComposerState state{.text = "日本語\nabcdef\nx", .cursor = 9 + 1 + 3};
    const Composer composer(state, 40);
    EXPECT_EQ(composer.vertical(-1), 3U);  // column 3 lies inside of the second wide character
    EXPECT_EQ(composer.vertical(1), 18U);
    EXPECT_EQ(composer.vertical(2), std::nullopt);
    EXPECT_EQ(composer.vertical(-2), std::nullopt);
}

TEST(Composer, ASearchPromptReplacesOurs) {
    const Drawn drawn = draw({.text = "found", .cursor = 5, .prompt = "(reverse-i-search)`fo': "},
                             {.rows = 1, .columns = 60});
    EXPECT_EQ(drawn.rows[0], "(reverse-i-search)`fo': found");
    EXPECT_EQ(drawn.cursor.column, 29);
}

TEST(Composer, NoWidthIsTooSmall) {
    for (int columns = 1; columns < 12; ++columns) {
        const Drawn drawn =
            draw({.text = "日本 text\n🙂", .cursor = 3}, {.rows = 2, .columns = columns});
        EXPECT_LT(drawn.cursor.column, columns);
        EXPECT_GE(drawn.cursor.column, 0);
    }
}

}  // namespace
}  // namespace ui
