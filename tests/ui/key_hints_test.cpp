// Keys and what they do, in columns.
#include "ui/key_hints.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ui {
namespace {

std::vector<std::string> drawn(Size size, const std::vector<KeyHint>& hints) {
    Surface surface(size);
    for (int row = 0; row < size.rows; ++row)
        surface.put({.row = row, .column = 0}, "text below", Style{});
    draw_key_hints(surface, {.row = 0, .column = 0, .rows = size.rows, .columns = size.columns},
                   hints, {});
    std::vector<std::string> rows;
    rows.reserve(static_cast<size_t>(size.rows));
    for (int row = 0; row < size.rows; ++row)
        rows.push_back(surface.row_text(row));
    return rows;
}

const std::vector<KeyHint> kHints = {
    {"r", "regen"}, {"s", "list"}, {"C-e", "editor"}, {"z", "zoom"}, {"q", "quit"}};

TEST(KeyHints, GoDownTheColumnsOverTheEndOfTheArea) {
    EXPECT_EQ(
        drawn({.rows = 5, .columns = 24}, kHints),
        (std::vector<std::string>{"text below", "────────────────────────", "r   regen   z   zoom",
                                  "s   list    q   quit", "C-e editor"}));
}

TEST(KeyHints, WhatHasNoRoomIsCounted) {
    EXPECT_EQ(drawn({.rows = 3, .columns = 12}, kHints),
              (std::vector<std::string>{"────────────", "r   regen", "… 4 more"}));
    EXPECT_EQ(drawn({.rows = 1, .columns = 12}, kHints), std::vector<std::string>{"text below"});
    EXPECT_EQ(drawn({.rows = 3, .columns = 12}, {})[2], "text below");
}

}  // namespace
}  // namespace ui
