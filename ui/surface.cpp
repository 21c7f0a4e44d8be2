#include "ui/surface.h"

#include <algorithm>
#include <utility>

#include "core/base/utf8.h"

namespace ui {

Surface::Surface(Size size)
    : size_{.rows = std::max(size.rows, 0), .columns = std::max(size.columns, 0)},
      cells_(static_cast<size_t>(size_.rows) * static_cast<size_t>(size_.columns)) {}

const Cell& Surface::at(int row, int column) const {
    return cells_[static_cast<size_t>(row) * static_cast<size_t>(size_.columns) +
                  static_cast<size_t>(column)];
}

Cell& Surface::cell(int row, int column) {
    return cells_[static_cast<size_t>(row) * static_cast<size_t>(size_.columns) +
                  static_cast<size_t>(column)];
}

// Writing over half of a wide character leaves a blank in place of the other half.
void Surface::set(Position at, std::string text, int width, const Style& style) {
    if (cell(at.row, at.column).text.empty())
        for (int left = at.column - 1; left >= 0; --left) {
            Cell& before = cell(at.row, left);
            const bool reached = !before.text.empty();
            before.text = " ";
            if (reached) break;
        }
    for (int right = at.column + width; right < size_.columns && cell(at.row, right).text.empty();
         ++right)
        cell(at.row, right).text = " ";
    cell(at.row, at.column) = {.text = std::move(text), .style = style};
    for (int i = 1; i < width; ++i)
        cell(at.row, at.column + i) = {.text = {}, .style = style};
}

int Surface::put(Position at, std::string_view text, const Style& style, int limit) {
    if (at.row < 0 || at.row >= size_.rows) return at.column;
    const int end = limit < 0 ? size_.columns : std::min(limit, size_.columns);
    int column = at.column;
    while (!text.empty()) {
        core::Grapheme grapheme = core::next_grapheme(text);
        text.remove_prefix(grapheme.bytes);
        if (grapheme.width == 0) continue;
        if (column + grapheme.width > end) break;
        if (column >= 0)
            set({.row = at.row, .column = column}, std::move(grapheme.drawn), grapheme.width,
                style);
        column += grapheme.width;
    }
    return column;
}

void Surface::fill(Rect area, const Style& style) {
    const int row_end = std::min(area.row + area.rows, size_.rows);
    const int column_end = std::min(area.column + area.columns, size_.columns);
    for (int row = std::max(area.row, 0); row < row_end; ++row)
        for (int column = std::max(area.column, 0); column < column_end; ++column)
            set({.row = row, .column = column}, " ", 1, style);
}

std::string Surface::row_text(int row) const {
    std::string text;
    for (int column = 0; column < size_.columns; ++column)
        text += at(row, column).text;
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

}  // namespace ui
