#include "ui/transcript.h"

#include <algorithm>
#include <utility>

#include "core/base/utf8.h"

namespace ui {
namespace {

// Columns in front of the continuation rows of a message.
constexpr int kIndent = 2;
// Below this the label gets no room beside the text that would be worth an indent.
constexpr int kNarrow = 30;

}  // namespace

size_t Transcript::Block::rows() const {
    // A blank row stands between blocks.
    return std::max<size_t>(text_rows() + trailer_rows(), 1) + 1;
}

// Before it is laid out: as if every row were full.
size_t Transcript::Block::expected_rows(int width) const {
    const size_t bytes = std::max(expected_bytes, text.size());
    return 2 + bytes / static_cast<size_t>(std::max(width, 1));
}

Indent Transcript::Block::indent(int width) const {
    const int rest = width < kNarrow ? 0 : kIndent;
    return {.first = label_columns == 0 ? rest : std::min(label_columns, width / 2), .rest = rest};
}

void Transcript::touch_all() {
    for (Block& block : blocks_)
        block.stale = true;
}

void Transcript::truncate(size_t index) {
    for (size_t i = index; i < blocks_.size(); ++i)
        total_ -= blocks_[i].height;
    blocks_.resize(index);
    last_when_left_ = std::min(last_when_left_, index);
    if (top_.block < index) return;
    top_ = {.block = index};
    above_ = total_;
}

void Transcript::add(TranscriptItem item, size_t expected_bytes) {
    Block& block = blocks_.emplace_back();
    block.item.key = item.key;
    block.expected_bytes = expected_bytes;
    block.height = block.expected_rows(width_);
    total_ += block.height;
    set_item(blocks_.size() - 1, std::move(item));
}

void Transcript::set_item(size_t index, TranscriptItem item) {
    Block& block = blocks_[index];
    if (item.label != block.item.label) {
        block.label_columns =
            item.label.empty() ? 0 : static_cast<int>(core::display_width(item.label)) + 1;
        block.laid_out_for = -1;
    }
    item.key = block.item.key;
    block.item = std::move(item);
}

void Transcript::append_text(size_t index, std::string_view untrusted) {
    Block& block = blocks_[index];
    if (untrusted.empty()) return;
    block.source_bytes += untrusted.size();
    block.text += core::sanitize(untrusted);
    block.laid_out_for = -1;
}

void Transcript::append_mark(size_t index, std::string_view mark) {
    Block& block = blocks_[index];
    const size_t begin = block.text.size();
    block.text += mark;
    block.marks.push_back({.begin = begin, .end = block.text.size()});
    block.laid_out_for = -1;
}

void Transcript::set_trailer(size_t index, std::string_view untrusted, StyleName style) {
    Block& block = blocks_[index];
    block.trailer_style = style;
    std::string trailer = core::sanitize(untrusted);
    if (trailer == block.trailer) return;
    block.trailer = std::move(trailer);
    block.trailer_layout.reset();
    block.laid_out_for = -1;
}

// --- what is where ----------------------------------------------------------------------------

Transcript::Block& Transcript::lay_out(size_t index) {
    if (std::exchange(blocks_[index].stale, false) && fill_) fill_(index);
    Block& block = blocks_[index];
    if (block.laid_out_for == width_) return block;
    const Indent indent = block.indent(width_);
    block.layout.update(block.text, width_, indent);
    // Behind the label where there is no text, else in rows of its own.
    block.trailer_layout.update(
        block.trailer, width_,
        {.first = block.text.empty() ? indent.first : indent.rest, .rest = indent.rest});
    block.laid_out_for = width_;
    set_height(index, block.rows());
    return block;
}

void Transcript::set_height(size_t index, size_t rows) {
    const size_t before = std::exchange(blocks_[index].height, rows);
    total_ += rows - before;  // unsigned numbers wrap around, and back
    if (index < top_.block) above_ += rows - before;
    // A better estimate is no news.
    if (index < last_when_left_) rows_when_left_ += rows - before;
}

// All estimates are made anew. What was seen at the top stays there.
void Transcript::set_width(int width) {
    if (width == width_) return;
    drop_choice();  // its rows are others now
    const bool seen = width_ >= 0 && top_.block < blocks_.size();
    const Anchor anchor = seen && !following_ ? anchor_of(lay_out(top_.block), top_.row) : Anchor{};
    width_ = width;
    for (size_t i = 0; i < blocks_.size(); ++i) {
        blocks_[i].laid_out_for = -1;
        set_height(i, blocks_[i].expected_rows(width));
    }
    if (seen && !following_) top_.row = row_of(lay_out(top_.block), anchor);
    rows_when_left_ = total_;
}

Transcript::Anchor Transcript::anchor_of(const Block& block, size_t row) {
    const std::vector<Row>& rows = block.layout.rows();
    if (row >= rows.size()) return {.byte = rows.back().end, .extra = row - rows.size() + 1};
    return {.byte = rows[row].begin};
}

size_t Transcript::row_of(const Block& block, const Anchor& anchor) {
    const std::vector<Row>& rows = block.layout.rows();
    const auto after =
        std::upper_bound(rows.begin(), rows.end(), anchor.byte,
                         [](size_t byte, const Row& row) { return byte < row.begin; });
    return static_cast<size_t>(after - rows.begin()) - 1 + anchor.extra;
}

// --- the window -------------------------------------------------------------------------------

void Transcript::leave_end() {
    rows_when_left_ = total_;
    last_when_left_ = blocks_.empty() ? 0 : blocks_.size() - 1;
    following_ = false;
}

void Transcript::move_to(Place place) {
    top_ = place;
    above_ = 0;
    for (size_t i = 0; i < place.block; ++i)
        above_ += blocks_[i].height;
}

void Transcript::move_up(size_t rows) {
    while (rows > top_.row && top_.block > 0) {
        rows -= top_.row;
        above_ -= blocks_[top_.block - 1].height;
        --top_.block;
        top_.row = lay_out(top_.block).height;
    }
    top_.row -= std::min(rows, top_.row);
}

Transcript::Place Transcript::window_that_ends_with(size_t index) {
    // The blank row after a block is not worth a row of the screen.
    auto wanted = static_cast<size_t>(std::max(height_, 0)) + 1;
    Place place{.block = index + 1};
    while (place.block > 0) {
        const size_t rows = lay_out(--place.block).height;
        if (rows >= wanted) return {.block = place.block, .row = rows - wanted};
        wanted -= rows;
    }
    return place;
}

// Down from the top. What is scrolled past a block's end is in those after it.
bool Transcript::lay_out_window() {
    while (top_.block < blocks_.size()) {
        const size_t rows = lay_out(top_.block).height;
        if (top_.row < rows) break;
        top_.row -= rows;
        above_ += rows;
        ++top_.block;
    }
    const size_t height = static_cast<size_t>(std::max(height_, 0)) + 1;
    size_t rows = 0;
    for (size_t i = top_.block; i < blocks_.size(); ++i) {
        rows += lay_out(i).height;
        if (rows > top_.row + height) return false;
    }
    return true;
}

// Rows that have come below a window that does not follow are counted.
void Transcript::lay_out_news() {
    for (size_t i = last_when_left_; i < blocks_.size(); ++i)
        lay_out(i);
}

void Transcript::draw(Surface& surface, Rect area, const Theme& theme) {
    set_width(area.columns);
    height_ = area.rows;
    move(std::exchange(wanted_rows_, 0));
    if (std::exchange(show_selected_, false)) show_selected();
    show_what_is_wanted();
    if (following_ || lay_out_window()) {
        const Place last = blocks_.empty() ? Place{} : window_that_ends_with(blocks_.size() - 1);
        size_t rows = 0;
        for (size_t i = last.block; i < blocks_.size(); ++i)
            rows += blocks_[i].height;
        top_ = last;
        above_ = total_ - rows;
        following_ = !selected_;
    }
    if (!following_) lay_out_news();
    Place place = top_;
    for (int i = 0; i < area.rows; ++i, ++place.row) {
        while (place.block < blocks_.size() && place.row >= blocks_[place.block].height) {
            place.row -= blocks_[place.block].height;
            ++place.block;
        }
        if (place.block >= blocks_.size()) return;
        draw_row(surface,
                 {.row = area.row + i, .column = area.column, .rows = 1, .columns = area.columns},
                 place, theme);
    }
}

void Transcript::select(std::optional<uint64_t> key) {
    if (key == selected_) return;
    if (key && following_) leave_end();
    selected_ = key;
    show_selected_ = key.has_value();
    if (key) following_ = false;
}

// All of it where it fits, else its beginning.
void Transcript::show_selected() {
    const size_t index = selected_ ? index_of(*selected_) : blocks_.size();
    if (index == blocks_.size()) return;
    if (index < top_.block || (index == top_.block && top_.row > 0)) return move_to({index});
    const Place lowest = window_that_ends_with(index);
    const bool above =
        lowest.block < top_.block || (lowest.block == top_.block && lowest.row <= top_.row);
    if (above) return;  // it is seen to its end
    const bool fits = lowest.block < index || lowest.row == 0;
    move_to(fits ? lowest : Place{.block = index});
}

void Transcript::draw_row(Surface& surface, Rect row_area, Place place, const Theme& theme) const {
    const Block& block = blocks_[place.block];
    const size_t row = place.row;
    const Indent indent = block.indent(row_area.columns);
    const Position at{.row = row_area.row,
                      .column = row_area.column + (row == 0 ? indent.first : indent.rest)};
    int end = at.column;
    if (row < block.text_rows()) {
        end = draw_text(surface, at, place, theme);
    } else if (block.is_folded() && row == block.text_rows()) {
        end = surface.put(at, "▸ " + std::to_string(block.all_text_rows() - 1) + " more rows",
                          theme[StyleName::notice]);
    } else if (row - block.text_rows() < block.trailer_rows()) {
        const Row& piece = block.trailer_layout.rows()[row - block.text_rows()];
        end = surface.put(
            at, std::string_view(block.trailer).substr(piece.begin, piece.end - piece.begin),
            theme[block.trailer_style]);
    }
    if (row == 0) draw_label(surface, row_area, block, end, theme);
}

void Transcript::draw_label(Surface& surface, Rect row_area, const Block& block, int used,
                            const Theme& theme) const {
    const Indent indent = block.indent(row_area.columns);
    Style style = theme[block.item.label_style];
    if (selected_ == block.item.key) style.attributes ^= kReverse;
    surface.put({.row = row_area.row, .column = row_area.column}, block.item.label, style,
                row_area.column + std::max(indent.first - 1, 0));
    // The aside only where the text leaves room for it.
    const int width = static_cast<int>(core::display_width(block.item.aside));
    const int column = row_area.column + row_area.columns - width;
    if (width > 0 && used < column)
        surface.put({.row = row_area.row, .column = column}, block.item.aside,
                    theme[StyleName::notice]);
}

int Transcript::draw_text(Surface& surface, Position at, Place place, const Theme& theme) const {
    const Block& block = blocks_[place.block];
    const bool chosen = is_chosen(place);
    for (const Piece& piece : pieces_of(block, block.layout.rows()[place.row])) {
        Style style = theme[piece.style];
        if (chosen) style.attributes ^= kReverse;
        at.column = surface.put(
            at, std::string_view(block.text).substr(piece.begin, piece.end - piece.begin), style);
    }
    return at.column;
}

void Transcript::move(int rows) {
    if (rows > 0) top_.row += static_cast<size_t>(rows);  // draw() stops at the end
    if (rows >= 0 || (top_.block == 0 && top_.row == 0)) return;
    if (following_) leave_end();
    move_up(static_cast<size_t>(-rows));
}

void Transcript::to_end() {
    wanted_rows_ = 0;
    following_ = true;
}

void Transcript::to_top() {
    wanted_rows_ = 0;
    if (top_.block == 0 && top_.row == 0) return;
    if (following_) leave_end();
    move_to({});
}

size_t Transcript::laid_out() const {
    return static_cast<size_t>(
        std::count_if(blocks_.begin(), blocks_.end(),
                      [](const Block& block) { return block.laid_out_for >= 0; }));
}

size_t Transcript::rows_below() const {
    if (blocks_.empty() || width_ < 0) return 0;
    const size_t bottom = above_ + top_.row + static_cast<size_t>(std::max(height_, 0));
    return total_ - 1 > bottom ? total_ - 1 - bottom : 0;
}

size_t Transcript::new_rows() const {
    if (following_ || total_ < rows_when_left_) return 0;
    return std::min(total_ - rows_when_left_, rows_below());
}

}  // namespace ui
