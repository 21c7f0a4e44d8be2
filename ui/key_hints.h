// Keys and what they do, in columns over the lower end of an area: what a prefix offers.
#pragma once

#include <string>
#include <vector>

#include "ui/surface.h"
#include "ui/theme.h"

namespace ui {

struct KeyHint {
    std::string key;     // "r"
    std::string action;  // "regen"
};

// As many as there is room for, below a rule; what does not fit is counted in the last place.
void draw_key_hints(Surface& surface, Rect area, const std::vector<KeyHint>& hints,
                    const Theme& theme);

}  // namespace ui
