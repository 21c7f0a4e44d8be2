// The composer: the line that is being written, 1 to 10 rows, with the exact column of the cursor.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ui/surface.h"
#include "ui/text_layout.h"
#include "ui/theme.h"

namespace ui {

inline constexpr int kMaxComposerRows = 10;

// What the composer shows; the text is the user's and may contain anything.
struct ComposerState {
    std::string text = {};
    size_t cursor = 0;        // bytes of text in front of the cursor
    std::string prompt = {};  // of a search; empty: "> "
    std::string hint = {};    // shown dim while the text is empty
};

// The state, laid out for a width.
class Composer {
  public:
    Composer(const ComposerState& state, int columns);

    // Rows wanted, at most kMaxComposerRows.
    int rows() const;
    // Draws the rows around the cursor and returns where the cursor stands.
    Position draw(Surface& surface, Rect area, const Theme& theme) const;

    // The byte of the text that lies a row above or below the cursor; nothing at the edges.
    std::optional<size_t> vertical(int rows) const;

  private:
    Position cursor_cell() const;
    std::string_view prompt_end() const;
    size_t source_byte(size_t shown_byte) const;

    int columns_;
    int text_column_;  // where rows begin
    std::string prompt_;
    std::string hint_;
    std::string shown_;                    // sanitized text
    std::vector<size_t> shown_to_source_;  // byte of shown_ -> byte of the text
    size_t cursor_ = 0;                    // byte of shown_
    std::vector<Row> rows_;
};

}  // namespace ui
