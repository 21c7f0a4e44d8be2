// The status row: segments by importance; the least important go first when it is narrow.
#pragma once

#include <string>
#include <vector>

#include "ui/surface.h"
#include "ui/theme.h"

namespace ui {

struct StatusSegment {
    std::string text;
    int priority = 0;  // lower ones are dropped first
    StyleName style = StyleName::status;
};

// Draws the segments that fit, in order, with " · " between them. The one of highest priority is
// shown in any case, cut off at the edge.
void draw_status(Surface& surface, Rect area, const std::vector<StatusSegment>& segments,
                 const Theme& theme);

}  // namespace ui
