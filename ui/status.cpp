#include "ui/status.h"

#include <algorithm>

#include "core/base/utf8.h"

namespace ui {
namespace {

constexpr std::string_view kBetween = " · ";
constexpr int kBetweenWidth = 3;

int width_of(const std::vector<const StatusSegment*>& segments) {
    int width = 0;
    for (const StatusSegment* segment : segments)
        width += static_cast<int>(core::display_width(segment->text)) + kBetweenWidth;
    return width - kBetweenWidth;
}

}  // namespace

void draw_status(Surface& surface, Rect area, const std::vector<StatusSegment>& segments,
                 const Theme& theme) {
    std::vector<const StatusSegment*> kept;
    for (const StatusSegment& segment : segments)
        if (!segment.text.empty()) kept.push_back(&segment);
    while (kept.size() > 1 && width_of(kept) > area.columns)
        kept.erase(std::min_element(kept.begin(), kept.end(),
                                    [](const StatusSegment* a, const StatusSegment* b) {
                                        return a->priority < b->priority;
                                    }));
    const int right = area.column + area.columns;
    Position at{.row = area.row, .column = area.column};
    for (const StatusSegment* segment : kept) {
        if (segment != kept.front())
            at.column = surface.put(at, kBetween, theme[StyleName::status], right);
        at.column = surface.put(at, segment->text, theme[segment->style], right);
    }
}

}  // namespace ui
