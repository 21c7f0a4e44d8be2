// Text broken into rows of a width.
//
// Breaks follow UAX #14 in outline: after spaces and hyphens, around CJK characters, never before
// closing punctuation or after opening punctuation; a word that is longer than a row is cut between
// graphemes. Rows are slices of the source: joined, with the newlines between them, they are it.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace ui {

struct Row {
    size_t begin = 0;  // bytes of the source
    size_t end = 0;    // spaces at a break belong to the row before it and may hang over
    friend bool operator==(const Row&, const Row&) = default;
};

// Where the rows of a paragraph begin: columns that are already taken.
struct Indent {
    int first = 0;  // of the first row of the text
    int rest = 0;   // of all others
    friend bool operator==(const Indent&, const Indent&) = default;
};

// The layout of a text that grows at its end. Only the last paragraph is laid out again.
class TextLayout {
  public:
    // REQUIRES: text begins with the text of the last call, unless width or indent differ or
    // reset() came between. Width is what a row may take, indent included.
    void update(std::string_view text, int width, Indent indent = {});
    void reset();

    const std::vector<Row>& rows() const { return rows_; }
    int width() const { return width_; }

  private:
    std::vector<Row> rows_;
    size_t open_row_ = 0;    // first row of the last paragraph
    size_t open_byte_ = 0;   // where that paragraph begins
    size_t text_bytes_ = 0;  // length of the text laid out
    int width_ = -1;
    Indent indent_;
};

// Rows cut at every column `width`, wherever that is: for a line that is being edited, where words
// must not jump. Newlines end rows.
std::vector<Row> cut_rows(std::string_view text, int width);

}  // namespace ui
