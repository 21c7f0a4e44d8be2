// Going through the transcript: found places, folded items, chosen rows.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ui/transcript.h"

namespace ui {
namespace {

using Rows = std::vector<std::string>;

class TranscriptBrowse : public testing::Test {
  protected:
    TranscriptBrowse() {
        for (uint64_t key = 1; key <= 9; ++key) {
            transcript.add({.key = key, .label = "m ▾"});
            transcript.append_text(key - 1, "one " + std::to_string(key) + "\nTwo\nthree");
        }
        draw();
    }

    Rows draw(Size size = {.rows = 6, .columns = 40}) {
        surface = Surface(size);
        transcript.draw(surface,
                        {.row = 0, .column = 0, .rows = size.rows, .columns = size.columns}, theme);
        Rows rows;
        for (int row = 0; row < size.rows; ++row)
            rows.push_back(surface.row_text(row));
        return rows;
    }
    bool is_reverse(int row, int column) const {
        return (surface.at(row, column).style.attributes & kReverse) != 0;
    }

    Theme theme;
    Transcript transcript;
    Surface surface{Size{}};
};

TEST_F(TranscriptBrowse, APlaceIsShownInTheMiddleAndStandsOut) {
    transcript.highlight("TWO");
    transcript.show(3, 6);
    EXPECT_EQ(draw(), (Rows{"  three", "", "m ▾ one 3", "  Two", "  three", ""}));
    EXPECT_EQ(surface.at(3, 2).style, theme[StyleName::search_hit]);
    EXPECT_EQ(surface.at(3, 4).style, theme[StyleName::search_hit]);
    EXPECT_EQ(surface.at(4, 2).style, theme[StyleName::text]);
    const Rows before = draw();
    transcript.show(3, 10);
    EXPECT_EQ(draw(), before) << "what is seen already stays where it is";
    transcript.highlight("");
    draw();
    EXPECT_EQ(surface.at(3, 2).style, theme[StyleName::text]);
}

TEST_F(TranscriptBrowse, APlaceThatIsCutByABreakStandsOutOnBothRows) {
    transcript.add({.key = 20});
    transcript.append_text(9, "aaaaaaaa bbbbbbbb aaaaaaaaaaaaaaa cccccccc");
    transcript.highlight("aaaa cccc");
    transcript.to_end();
    EXPECT_EQ(draw({.rows = 2, .columns = 40}),
              (Rows{"  aaaaaaaa bbbbbbbb aaaaaaaaaaaaaaa", "  cccccccc"}));
    EXPECT_EQ(surface.at(0, 30).style, theme[StyleName::text]);
    EXPECT_EQ(surface.at(0, 31).style, theme[StyleName::search_hit]);
    EXPECT_EQ(surface.at(1, 5).style, theme[StyleName::search_hit]);
    EXPECT_EQ(surface.at(1, 6).style, theme[StyleName::text]);
}

TEST_F(TranscriptBrowse, AFoldedItemShowsOneRowAndHowManyMore) {
    transcript.fold(9);
    EXPECT_EQ(draw({.rows = 3, .columns = 40}), (Rows{"", "m ▾ one 9", "  ▸ 2 more rows"}));
    transcript.fold(9);
    EXPECT_EQ(draw({.rows = 3, .columns = 40}), (Rows{"m ▾ one 9", "  Two", "  three"}));
    transcript.fold(9);
    transcript.show(9, 8);
    EXPECT_EQ(draw({.rows = 3, .columns = 40}).back(), "  three") << "a found place unfolds it";
}

TEST_F(TranscriptBrowse, ChosenRowsStandOutAndAreTakenWithoutTheirBreaks) {
    transcript.choose_rows(8);
    draw();
    EXPECT_TRUE(transcript.choosing());
    transcript.extend_choice(1);
    const Rows rows = draw();
    int chosen = 0;
    for (int row = 0; row < 6; ++row)
        if (is_reverse(row, 4) && !rows[static_cast<size_t>(row)].empty()) ++chosen;
    EXPECT_EQ(chosen, 2);
    EXPECT_EQ(transcript.take_choice(), "one 8\nTwo");
    EXPECT_FALSE(transcript.choosing());

    transcript.choose_rows(8);
    transcript.extend_choice(-3);
    EXPECT_EQ(transcript.take_choice(), "Two\nthree\none 8") << "upwards, into the one before";

    transcript.choose_rows(8);
    draw({.rows = 6, .columns = 50});
    EXPECT_FALSE(transcript.choosing()) << "another width has other rows";
}

TEST_F(TranscriptBrowse, ALongItemIsReadFromItsTop) {
    transcript.add({.key = 20});
    transcript.append_text(9, "first\n2\n3\n4\n5\n6\n7\nlast");
    transcript.show_from_top(20);
    EXPECT_EQ(draw()[0], "  first");
    EXPECT_FALSE(transcript.following());
    transcript.to_end();
    EXPECT_EQ(draw()[5], "  last");
    transcript.add({.key = 21});
    transcript.append_text(10, "short");
    transcript.show_from_top(21);
    EXPECT_EQ(draw()[5], "  short") << "the window stays full";
    EXPECT_TRUE(transcript.following());
}

}  // namespace
}  // namespace ui
