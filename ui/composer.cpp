#include "ui/composer.h"

#include <algorithm>
#include <string_view>

#include "core/base/utf8.h"

namespace ui {
namespace {

// Tabs and controls look different from what they are, so positions are mapped byte by byte.
std::string show(std::string_view text, size_t& cursor, std::vector<size_t>& to_source) {
    std::string shown;
    size_t shown_cursor = std::string::npos;
    for (size_t at = 0; at < text.size();) {
        if (at >= cursor && shown_cursor == std::string::npos) shown_cursor = shown.size();
        const size_t length = core::decode_utf8(text.substr(at)).length;
        shown += core::sanitize(text.substr(at, length));
        to_source.resize(shown.size(), at);
        at += length;
    }
    to_source.push_back(text.size());
    cursor = std::min(shown_cursor, shown.size());
    return shown;
}

}  // namespace

Composer::Composer(const ComposerState& state, int columns)
    : columns_(std::max(columns, 1)),
      prompt_(state.prompt.empty() ? "> " : core::sanitize(state.prompt)),
      hint_(state.hint),
      cursor_(state.cursor) {
    const int prompt_width = static_cast<int>(core::display_width(prompt_));
    // What is searched for stands at the end of its prompt and is worth more than the found text.
    constexpr int kFoundColumns = 8;
    text_column_ = columns_ < 8 ? 0 : std::min(prompt_width, std::max(columns_ - kFoundColumns, 2));
    shown_ = show(state.text, cursor_, shown_to_source_);
    // One column stays free for the cursor behind the last character.
    rows_ = cut_rows(shown_, std::max(columns_ - text_column_ - 1, 1));
}

int Composer::rows() const {
    return std::min(static_cast<int>(rows_.size()), kMaxComposerRows);
}

Position Composer::cursor_cell() const {
    size_t row = 0;
    while (row + 1 < rows_.size() && rows_[row + 1].begin <= cursor_)
        ++row;
    const std::string_view before =
        std::string_view(shown_).substr(rows_[row].begin, cursor_ - rows_[row].begin);
    return {.row = static_cast<int>(row), .column = static_cast<int>(core::display_width(before))};
}

// As much of the prompt's end as has room.
std::string_view Composer::prompt_end() const {
    std::string_view end = prompt_;
    while (static_cast<int>(core::display_width(end)) > text_column_)
        end.remove_prefix(core::first_grapheme_bytes(end));
    return end;
}

Position Composer::draw(Surface& surface, Rect area, const Theme& theme) const {
    const Position cursor = cursor_cell();
    const int count = static_cast<int>(rows_.size());
    const int first = std::clamp(cursor.row - area.rows + 1, 0, std::max(count - area.rows, 0));
    for (int i = 0; i < area.rows && first + i < count; ++i) {
        const int number = first + i;
        const Row& row = rows_[static_cast<size_t>(number)];
        const Position start{.row = area.row + i, .column = area.column};
        if (number == 0)
            surface.put(start, prompt_end(), theme[StyleName::prompt], area.column + text_column_);
        surface.put({.row = start.row, .column = area.column + text_column_},
                    std::string_view(shown_).substr(row.begin, row.end - row.begin),
                    theme[StyleName::text]);
    }
    if (shown_.empty() && area.rows > 0)
        surface.put({.row = area.row, .column = area.column + text_column_}, hint_,
                    theme[StyleName::notice]);
    return {
        .row = area.row + cursor.row - first,
        .column = std::min(area.column + text_column_ + cursor.column, area.column + columns_ - 1)};
}

size_t Composer::source_byte(size_t shown_byte) const {
    return shown_to_source_[std::min(shown_byte, shown_to_source_.size() - 1)];
}

std::optional<size_t> Composer::vertical(int rows) const {
    const Position cursor = cursor_cell();
    const int target = cursor.row + rows;
    if (target < 0 || target >= static_cast<int>(rows_.size())) return std::nullopt;
    const Row& row = rows_[static_cast<size_t>(target)];
    const std::string_view text = std::string_view(shown_).substr(row.begin, row.end - row.begin);
    return source_byte(row.begin +
                       core::fit_width(text, static_cast<size_t>(cursor.column)).size());
}

}  // namespace ui
