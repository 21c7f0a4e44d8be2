#include "ui/key_hints.h"

#include <algorithm>

#include "core/base/utf8.h"

namespace ui {
namespace {

constexpr int kGap = 2;  // columns between two of them

int width_of(const std::string& text) {
    return static_cast<int>(core::display_width(text));
}

}  // namespace

void draw_key_hints(Surface& surface, Rect area, const std::vector<KeyHint>& hints,
                    const Theme& theme) {
    if (hints.empty() || area.rows < 2) return;
    int key_columns = 0;
    int action_columns = 0;
    for (const KeyHint& hint : hints) {
        key_columns = std::max(key_columns, width_of(hint.key));
        action_columns = std::max(action_columns, width_of(hint.action));
    }
    const int columns = key_columns + 1 + action_columns + kGap;
    const int across = std::max((area.columns + kGap) / columns, 1);
    const auto count = static_cast<int>(hints.size());
    const int rows = std::min((count + across - 1) / across, area.rows - 1);
    const int shown = std::min(count, rows * across);
    const int top = area.row + area.rows - rows;
    for (int column = 0; column < area.columns; ++column)
        surface.put({.row = top - 1, .column = area.column + column}, "─",
                    theme[StyleName::border]);
    surface.fill({.row = top, .column = area.column, .rows = rows, .columns = area.columns},
                 theme[StyleName::text]);
    // Down the columns, as one reads a list.
    for (int i = 0; i < shown; ++i) {
        const KeyHint& hint = hints[static_cast<size_t>(i)];
        const Position at{.row = top + i % rows, .column = area.column + i / rows * columns};
        if (i == shown - 1 && shown < count) {
            surface.put(at, "… " + std::to_string(count - shown + 1) + " more",
                        theme[StyleName::notice]);
            return;
        }
        const int end = at.column + key_columns;
        surface.put(at, hint.key, theme[StyleName::prompt], end);
        surface.put({.row = at.row, .column = end + 1}, hint.action, theme[StyleName::text],
                    area.column + area.columns);
    }
}

}  // namespace ui
