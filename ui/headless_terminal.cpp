#include "ui/headless_terminal.h"

namespace ui {

void HeadlessTerminal::present(const Surface& surface, std::optional<Position> cursor) {
    screen_ = surface;
    cursor_ = cursor;
    ++presents_;
}

void HeadlessTerminal::resume() {
    suspended_ = false;
    ++repaints_;
    measure();
}

std::vector<std::string> HeadlessTerminal::rows() const {
    std::vector<std::string> rows;
    for (int row = 0; row < screen_.size().rows; ++row)
        rows.push_back(screen_.row_text(row));
    return rows;
}

}  // namespace ui
