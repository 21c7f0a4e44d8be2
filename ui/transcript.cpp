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

Indent Transcript::Block::indent(int width) const {
    const int rest = width < kNarrow ? 0 : kIndent;
    return {.first = label_columns == 0 ? rest : std::min(label_columns, width / 2), .rest = rest};
}

void Transcript::truncate(size_t index) {
    blocks_.resize(index);
}

void Transcript::add(TranscriptItem item) {
    Block& block = blocks_.emplace_back();
    if (!item.label.empty())
        block.label_columns = static_cast<int>(core::display_width(item.label)) + 1;
    block.item = std::move(item);
}

void Transcript::append_text(size_t index, std::string_view untrusted) {
    Block& block = blocks_[index];
    block.source_bytes += untrusted.size();
    block.text += core::sanitize(untrusted);
}

void Transcript::append_mark(size_t index, std::string_view mark) {
    Block& block = blocks_[index];
    const size_t begin = block.text.size();
    block.text += mark;
    block.marks.push_back({.begin = begin, .end = block.text.size()});
}

void Transcript::set_trailer(size_t index, std::string_view untrusted, StyleName style) {
    Block& block = blocks_[index];
    block.trailer_style = style;
    std::string trailer = core::sanitize(untrusted);
    if (trailer == block.trailer) return;
    block.trailer = std::move(trailer);
    block.trailer_layout.reset();
}

void Transcript::lay_out(int width) {
    first_rows_.assign(1, 0);
    for (Block& block : blocks_) {
        const Indent indent = block.indent(width);
        block.layout.update(block.text, width, indent);
        // Behind the label where there is no text, else in rows of its own.
        block.trailer_layout.update(
            block.trailer, width,
            {.first = block.text.empty() ? indent.first : indent.rest, .rest = indent.rest});
        first_rows_.push_back(first_rows_.back() + block.rows());
    }
}

Transcript::Anchor Transcript::anchor_of(size_t row) const {
    const auto after = std::upper_bound(first_rows_.begin(), first_rows_.end(), row);
    const auto block = static_cast<size_t>(after - first_rows_.begin()) - 1;
    if (block >= blocks_.size()) return {.block = blocks_.size()};
    const std::vector<Row>& rows = blocks_[block].layout.rows();
    const size_t within = row - first_rows_[block];
    if (within >= rows.size())
        return {.block = block, .byte = rows.back().end, .extra = within - rows.size() + 1};
    return {.block = block, .byte = rows[within].begin};
}

size_t Transcript::row_of(const Anchor& anchor) const {
    if (anchor.block >= blocks_.size()) return first_rows_.back();
    const std::vector<Row>& rows = blocks_[anchor.block].layout.rows();
    const auto after =
        std::upper_bound(rows.begin(), rows.end(), anchor.byte,
                         [](size_t byte, const Row& row) { return byte < row.begin; });
    return first_rows_[anchor.block] + static_cast<size_t>(after - rows.begin()) - 1 + anchor.extra;
}

void Transcript::draw(Surface& surface, Rect area, const Theme& theme) {
    const bool rewrap = area.columns != width_ && !first_rows_.empty() && !following_;
    const Anchor anchor = rewrap ? anchor_of(top_) : Anchor{};
    lay_out(area.columns);
    width_ = area.columns;
    height_ = area.rows;
    if (rewrap) {
        top_ = row_of(anchor);
        rows_when_left_ = first_rows_.back();
    }
    // The blank row after the last block is not worth a row of the screen.
    const size_t total = blocks_.empty() ? 0 : first_rows_.back() - 1;
    const size_t last_top = total > static_cast<size_t>(std::max(height_, 0))
                                ? total - static_cast<size_t>(std::max(height_, 0))
                                : 0;
    if (std::exchange(show_selected_, false)) show_selected();
    if (following_ || top_ >= last_top) {
        top_ = last_top;
        following_ = !selected_;
    }
    auto next = std::upper_bound(first_rows_.begin(), first_rows_.end(), top_);
    auto block = static_cast<size_t>(next - first_rows_.begin()) - 1;
    for (int i = 0; i < area.rows; ++i) {
        const size_t row = top_ + static_cast<size_t>(i);
        while (block < blocks_.size() && row >= first_rows_[block + 1])
            ++block;
        if (block >= blocks_.size()) return;
        draw_row(surface,
                 {.row = area.row + i, .column = area.column, .rows = 1, .columns = area.columns},
                 blocks_[block], row - first_rows_[block], theme);
    }
}

void Transcript::select(std::optional<uint64_t> key) {
    if (key == selected_) return;
    if (key && following_ && !first_rows_.empty()) rows_when_left_ = first_rows_.back();
    selected_ = key;
    show_selected_ = key.has_value();
    if (key) following_ = false;
}

// All of it where it fits, else its beginning.
void Transcript::show_selected() {
    const auto found = std::find_if(blocks_.begin(), blocks_.end(), [this](const Block& block) {
        return selected_ == block.item.key;
    });
    if (found == blocks_.end()) return;
    const auto index = static_cast<size_t>(found - blocks_.begin());
    const size_t begin = first_rows_[index];
    const size_t end = first_rows_[index + 1] - 1;
    const auto height = static_cast<size_t>(std::max(height_, 1));
    if (end > top_ + height) top_ = end - height;
    top_ = std::min(top_, begin);
}

void Transcript::draw_row(Surface& surface, Rect row_area, const Block& block, size_t row,
                          const Theme& theme) const {
    const Indent indent = block.indent(row_area.columns);
    const Position at{.row = row_area.row,
                      .column = row_area.column + (row == 0 ? indent.first : indent.rest)};
    int end = at.column;
    if (row < block.text_rows()) {
        end = draw_text(surface, at, block, block.layout.rows()[row], theme);
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

// A row in up to three kinds of pieces: text, marks, text.
int Transcript::draw_text(Surface& surface, Position at, const Block& block, const Row& row,
                          const Theme& theme) {
    const std::string_view text = block.text;
    size_t from = row.begin;
    const auto put = [&](size_t end, StyleName style) {
        at.column = surface.put(at, text.substr(from, end - from), theme[style]);
        from = end;
    };
    for (const Mark& mark : block.marks) {
        if (mark.end <= from || mark.begin >= row.end) continue;
        if (mark.begin > from) put(mark.begin, block.item.text_style);
        put(std::min(mark.end, row.end), StyleName::mark);
    }
    if (from < row.end) put(row.end, block.item.text_style);
    return at.column;
}

void Transcript::scroll(int rows) {
    if (rows < 0) {
        const auto up = std::min(top_, static_cast<size_t>(-rows));
        if (up == 0) return;
        top_ -= up;
        if (following_) rows_when_left_ = first_rows_.back();
        following_ = false;
    } else {
        top_ += static_cast<size_t>(rows);  // draw() stops at the end and follows again
    }
}

size_t Transcript::rows_below() const {
    if (blocks_.empty() || first_rows_.empty()) return 0;
    const size_t bottom = top_ + static_cast<size_t>(std::max(height_, 0));
    const size_t total = first_rows_.back() - 1;
    return total > bottom ? total - bottom : 0;
}

size_t Transcript::new_rows() const {
    if (following_ || first_rows_.empty() || first_rows_.back() < rows_when_left_) return 0;
    return std::min(first_rows_.back() - rows_when_left_, rows_below());
}

}  // namespace ui
