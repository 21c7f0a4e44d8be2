#include "ui/screen.h"

#include <algorithm>
#include <utility>

#include "core/base/utf8.h"

namespace ui {
namespace {

constexpr Size kSmallest{.rows = 4, .columns = 20};
constexpr Size kComfortable{.rows = 8, .columns = 40};

void draw_title(Surface& surface, const ScreenState& state, const Theme& theme) {
    const Style& style = theme[StyleName::title];
    const int width = surface.size().columns;
    const int aside = static_cast<int>(core::display_width(state.title_aside));
    const int title_end = surface.put({.row = 0, .column = 0}, state.title, style, width);
    if (title_end + 2 + aside <= width)
        surface.put({.row = 0, .column = width - aside}, state.title_aside,
                    theme[StyleName::notice]);
}

void draw_rule(Surface& surface, int row, const Theme& theme) {
    for (int column = 0; column < surface.size().columns; ++column)
        surface.put({.row = row, .column = column}, "─", theme[StyleName::border]);
}

std::string lines_below(const Transcript& transcript) {
    if (transcript.following() || transcript.rows_below() == 0) return {};
    const size_t fresh = transcript.new_rows();
    if (fresh > 0) return "▼ " + std::to_string(fresh) + " new lines";
    return "▼ " + std::to_string(transcript.rows_below()) + " lines below";
}

// Of a panel beside the transcript; 0: there is none, or it takes the transcript's place.
int panel_columns(Size size, const ScreenState& state) {
    constexpr int kWideEnough = 100;
    if (state.panel == nullptr || size.columns < kWideEnough) return 0;
    return std::clamp(state.panel_columns, 32, 45);
}

std::optional<Position> draw_panel(Surface& surface, Rect middle, int columns, ListPanel& panel,
                                   const Theme& theme) {
    if (columns == 0) return panel.draw(surface, middle, theme);
    const int left = middle.columns - columns;
    for (int row = 0; row < middle.rows; ++row)
        surface.put({.row = middle.row + row, .column = left - 1}, "│", theme[StyleName::border]);
    return panel.draw(surface,
                      {.row = middle.row, .column = left, .rows = middle.rows, .columns = columns},
                      theme);
}

}  // namespace

Composer lay_out_composer(Size size, const ComposerState& state) {
    return {state, size.columns};
}

Frame draw_screen(Size size, const ScreenState& state, Transcript& transcript, const Theme& theme) {
    Frame frame{.surface = Surface(size), .cursor = std::nullopt};
    Surface& surface = frame.surface;
    if (size.rows < kSmallest.rows || size.columns < kSmallest.columns) {
        surface.put({}, "terminal too small", theme[StyleName::status_warn]);
        return frame;
    }
    const bool roomy = size.rows >= kComfortable.rows && size.columns >= kComfortable.columns;
    const int above = roomy ? 1 : 0;
    const int rule = roomy ? 1 : 0;
    const Composer composer = lay_out_composer(size, state.composer);
    const int status_row = size.rows - 1;
    // The transcript keeps at least half of the screen.
    const int composer_rows = state.zoomed
                                  ? status_row - above - rule
                                  : std::clamp(composer.rows(), 1, std::max(size.rows / 2, 1));
    const int composer_row = status_row - composer_rows;
    if (roomy) {
        draw_title(surface, state, theme);
        draw_rule(surface, composer_row - 1, theme);
    }
    const Rect middle{
        .row = above, .column = 0, .rows = composer_row - rule - above, .columns = size.columns};
    const int beside = panel_columns(size, state);
    const bool covered = state.panel != nullptr && beside == 0;
    if (!covered && middle.rows > 0)
        transcript.draw(surface,
                        {.row = middle.row,
                         .column = 0,
                         .rows = middle.rows,
                         .columns = beside > 0 ? middle.columns - beside - 1 : middle.columns},
                        theme);
    frame.cursor = composer.draw(
        surface, {.row = composer_row, .column = 0, .rows = composer_rows, .columns = size.columns},
        theme);
    if (state.panel != nullptr)
        frame.cursor = draw_panel(surface, middle, beside, *state.panel, theme);
    draw_key_hints(surface, middle, state.hints, theme);
    // Only now is it known how much lies below the view.
    std::vector<StatusSegment> segments = state.status;
    if (std::string below = lines_below(transcript); !below.empty())
        segments.insert(segments.begin() + (segments.empty() ? 0 : 1),
                        {.text = std::move(below), .priority = 90, .style = StyleName::toast});
    draw_status(surface, {.row = status_row, .column = 0, .rows = 1, .columns = size.columns},
                segments, theme);
    return frame;
}

}  // namespace ui
