// Cells, wide characters and clipping.
#include "ui/surface.h"

#include <gtest/gtest.h>

namespace ui {
namespace {

TEST(Surface, WideCharactersTakeTwoCells) {
    Surface surface({.rows = 1, .columns = 8});
    EXPECT_EQ(surface.put({}, "a日b", {}), 4);
    EXPECT_EQ(surface.at(0, 1).text, "日");
    EXPECT_EQ(surface.at(0, 2).text, "");
    EXPECT_EQ(surface.at(0, 3).text, "b");
    EXPECT_EQ(surface.row_text(0), "a日b");
}

TEST(Surface, AWideCharacterThatDoesNotFitIsNotDrawn) {
    Surface surface({.rows = 1, .columns = 3});
    EXPECT_EQ(surface.put({}, "ab日c", {}), 2);
    EXPECT_EQ(surface.row_text(0), "ab");
}

TEST(Surface, WritingOverHalfOfAWideCharacterBlanksTheOtherHalf) {
    Surface surface({.rows = 1, .columns = 6});
    surface.put({}, "日本", {});
    surface.put({.row = 0, .column = 1}, "x", {});
    EXPECT_EQ(surface.row_text(0), " x本");
    surface.put({.row = 0, .column = 2}, "y", {});
    EXPECT_EQ(surface.row_text(0), " xy");
    EXPECT_EQ(surface.at(0, 3).text, " ");
}

TEST(Surface, ControlCharactersNeverReachACell) {
    Surface surface({.rows = 1, .columns = 20});
    surface.put({}, "a\x1b[2J\r\n\x07\u009b\x7f b", {});
    EXPECT_EQ(surface.row_text(0), "a[2J b");
}

TEST(Surface, DrawingOutsideOfTheGridDoesNothing) {
    Surface surface({.rows = 2, .columns = 4});
    surface.put({.row = -1, .column = 0}, "x", {});
    surface.put({.row = 2, .column = 0}, "x", {});
    surface.put({.row = 0, .column = 9}, "x", {});
    surface.put({.row = 1, .column = -1}, "xy", {});
    EXPECT_EQ(surface.row_text(0), "");
    EXPECT_EQ(surface.row_text(1), "y");
    surface.fill({.row = -5, .column = -5, .rows = 100, .columns = 100}, {.attributes = kBold});
    EXPECT_EQ(surface.at(1, 3).style.attributes, kBold);
}

TEST(Surface, LimitEndsTheText) {
    Surface surface({.rows = 1, .columns = 10});
    EXPECT_EQ(surface.put({}, "abcdef", {}, 3), 3);
    EXPECT_EQ(surface.row_text(0), "abc");
}

}  // namespace
}  // namespace ui
