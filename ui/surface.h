// A grid of cells that views draw into and a terminal shows.
//
// A wide character occupies two cells: its own and a continuation (empty text). Nothing that could
// steer a terminal fits into a cell: put() drops every grapheme without a width.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ui/style.h"

namespace ui {

struct Size {
    int rows = 0;
    int columns = 0;
    friend bool operator==(const Size&, const Size&) = default;
};

struct Position {
    int row = 0;
    int column = 0;
    friend bool operator==(const Position&, const Position&) = default;
};

struct Rect {
    int row = 0;
    int column = 0;
    int rows = 0;
    int columns = 0;
    friend bool operator==(const Rect&, const Rect&) = default;
};

struct Cell {
    std::string text = " ";  // one grapheme as it is drawn; empty: the previous cell reaches here
    Style style = {};
    friend bool operator==(const Cell&, const Cell&) = default;
};

class Surface {
  public:
    explicit Surface(Size size);

    Size size() const { return size_; }
    const Cell& at(int row, int column) const;

    // Draws text from a column on, up to `limit` (or the right edge), and returns the column after
    // it. A wide character that does not fit is not drawn. Outside of the grid nothing happens.
    int put(Position at, std::string_view text, const Style& style, int limit = -1);
    // Blanks in a style.
    void fill(Rect area, const Style& style);

    // A row as text, without trailing blanks.
    std::string row_text(int row) const;

  private:
    Cell& cell(int row, int column);
    void set(Position at, std::string text, int width, const Style& style);

    Size size_;
    std::vector<Cell> cells_;  // [rows * columns]
};

}  // namespace ui
