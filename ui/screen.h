// The whole screen, composed of its views for a size.
//
// From top to bottom: title, transcript, a rule, composer, status. Small screens lose the title and
// the rule first; below 20x4 one sentence is all there is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ui/composer.h"
#include "ui/key_hints.h"
#include "ui/list_panel.h"
#include "ui/status.h"
#include "ui/surface.h"
#include "ui/theme.h"
#include "ui/transcript.h"

namespace ui {

struct ScreenState {
    std::string title;        // left
    std::string title_aside;  // right
    ComposerState composer;
    bool zoomed = false;  // the composer has the transcript's rows too
    std::vector<StatusSegment> status;
    std::vector<KeyHint> hints;  // over the end of the transcript; none: nothing is there
    // Beside the transcript, or in its place where there is no room; it has the keyboard.
    ListPanel* panel = nullptr;
    int panel_columns = 38;
};

struct Frame {
    Surface surface;
    std::optional<Position> cursor;
};

// Draws everything. The transcript remembers how it was laid out and scrolled.
Frame draw_screen(Size size, const ScreenState& state, Transcript& transcript, const Theme& theme);

// The composer as draw_screen() lays it out, for moving the cursor between rows.
Composer lay_out_composer(Size size, const ComposerState& state);

}  // namespace ui
