// A list to move in, beside the transcript or in its place: rows with a cursor, a filter, one line
// of input, and a row of hints. What rows mean and what keys do to them is its owner's business.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ui/keys.h"
#include "ui/surface.h"
#include "ui/theme.h"

namespace ui {

struct PanelRow {
    uint64_t key = 0;         // the cursor stays on it when rows change
    std::string text = {};    // untrusted, like all texts here; its end is cut off where it must be
    std::string aside = {};   // at the right edge, when there is room
    std::string detail = {};  // below, in as many rows as it takes; empty: none
    StyleName style = StyleName::text;
    bool marked = false;  // with a sign in front
};

enum class PanelEvent : uint8_t {
    none,    // the key means nothing here
    moved,   // taken
    chosen,  // Enter on current()
    closed,  // q, or what leaves things elsewhere: Escape, C-g, C-c, C-d
    typed,   // the input has changed
    entered  // the input is done: take_input()
};

class ListPanel {
  public:
    explicit ListPanel(std::string title) : title_(std::move(title)) {}

    void set_title(std::string title) { title_ = std::move(title); }
    void set_hint(std::string hint) { hint_ = std::move(hint); }
    // Shown where there are no rows.
    void set_empty(std::string text) { empty_ = std::move(text); }
    void set_rows(std::vector<PanelRow> rows);
    void select(uint64_t key);

    // The row under the cursor; null: there is none.
    const PanelRow* current() const;
    // Rows that the filter lets through.
    size_t shown() const { return shown_.size(); }
    // Keys of the rows that were on the screen when it was drawn last.
    std::vector<uint64_t> visible() const;

    PanelEvent on_key(const Key& key);

    // Asks for a line: `prompt` in front of `text`. With the prompt "/" it filters the rows.
    void ask(std::string prompt, std::string text = {});
    bool asking() const { return input_.has_value(); }
    const std::string& prompt() const { return prompt_; }
    std::string_view input() const { return input_ ? std::string_view(*input_) : ""; }
    std::string take_input();

    // Returns where the cursor stands.
    std::optional<Position> draw(Surface& surface, Rect area, const Theme& theme);

  private:
    PanelEvent on_input_key(const Key& key);
    void move(int rows);
    void apply_filter();
    int height_of(size_t shown, int columns) const;
    void scroll_into(int rows, int columns);
    int draw_row(Surface& surface, Position at, int columns, size_t shown, const Theme& theme);

    std::string title_;
    std::string hint_;
    std::string empty_;
    std::vector<PanelRow> rows_;
    std::vector<size_t> shown_;  // indices of rows_
    size_t cursor_ = 0;          // index of shown_
    size_t top_ = 0;
    size_t bottom_ = 0;  // behind the last row that was drawn; index of shown_
    int page_ = 1;       // rows that fit
    std::string prompt_;
    std::optional<std::string> input_;
    std::string filter_;
};

}  // namespace ui
