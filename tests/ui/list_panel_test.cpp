// Lists to move in: what is drawn of rows that do not fit, and the keys that leave.
#include "ui/list_panel.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ui {
namespace {

std::string drawn(ListPanel& panel, Size size) {
    Surface surface(size);
    panel.draw(surface, {.row = 0, .column = 0, .rows = size.rows, .columns = size.columns},
               Theme::named("mono", {}));
    std::string text;
    for (int row = 0; row < size.rows; ++row)
        text += surface.row_text(row) + "\n";
    return text;
}

Key key(std::string_view bytes) {
    KeyDecoder decoder(std::chrono::milliseconds(0));
    const std::vector<Input> inputs = decoder.feed(bytes, {});
    return std::get<Key>(inputs.at(0));
}

TEST(ListPanel, DetailsAreWrappedAndTextsShowThatThereIsMore) {
    ListPanel panel("a title that is too long");
    panel.set_hint("Enter does anything at all");
    panel.set_rows({{.key = 1, .text = "first", .detail = "the message stays and is not answered"},
                    {.key = 2, .text = "a rather long second row"}});
    EXPECT_EQ(drawn(panel, {.rows = 8, .columns = 20}),
              "a title that is too…\n"
              "  first\n"
              "    the message\n"
              "    stays and is not\n"
              "    answered\n"
              "  a rather long sec…\n"
              "\n"
              "Enter does anything…\n");
}

TEST(ListPanel, ARowThatIsTallerThanThePanelIsCutAtItsEnd) {
    ListPanel panel("t");
    panel.set_hint("hint");
    panel.set_rows({{.key = 1, .text = "first", .detail = "one two three four five six seven"}});
    EXPECT_EQ(drawn(panel, {.rows = 4, .columns = 10}), "t\n  first\n    one\nhint\n");
}

TEST(ListPanel, ARowOfTheListIsWorthMoreThanTheHint) {
    ListPanel panel("t");
    panel.set_hint("hint");
    panel.set_rows({{.key = 1, .text = "first", .detail = "one"}, {.key = 2, .text = "second"}});
    EXPECT_EQ(drawn(panel, {.rows = 2, .columns = 10}), "t\n  first\n");
    panel.ask("/");
    EXPECT_EQ(drawn(panel, {.rows = 2, .columns = 10}), "t\n/\n");
}

TEST(ListPanel, WideCharactersAreNeverHalved) {
    ListPanel panel("t");
    panel.set_rows({{.key = 1, .text = "漢字漢字漢字"}});
    EXPECT_EQ(drawn(panel, {.rows = 3, .columns = 10}), "t\n  漢字漢…\n\n");
}

TEST(ListPanel, WhatLeavesThingsElsewhereLeavesTheInputFirst) {
    for (const char* leave : {"\x03", "\x04", "\x07"}) {
        ListPanel panel("t");
        panel.set_rows({{.key = 1, .text = "first"}});
        panel.ask("/");
        EXPECT_EQ(panel.on_key(key(leave)), PanelEvent::typed);
        EXPECT_FALSE(panel.asking());
        EXPECT_EQ(panel.on_key(key(leave)), PanelEvent::closed);
    }
}

}  // namespace
}  // namespace ui
