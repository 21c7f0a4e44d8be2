#include "ui/list_panel.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "core/base/utf8.h"
#include "ui/key_names.h"
#include "ui/text_layout.h"

namespace ui {
namespace {

constexpr std::string_view kFilterPrompt = "/";

// Without regard to the case of ASCII letters.
bool contains(std::string_view text, std::string_view part) {
    const auto same = [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) ==
               std::tolower(static_cast<unsigned char>(b));
    };
    return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

std::string one_line(std::string_view untrusted) {
    std::string text = core::sanitize(untrusted);
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

bool leaves(std::string_view key) {
    return key == "Esc" || key == "C-g" || key == "C-c" || key == "C-d";
}

// That there is more can be seen.
std::string fitted(const std::string& text, int columns) {
    const auto room = static_cast<size_t>(std::max(columns, 0));
    if (core::display_width(text) <= room || room == 0) return text;
    return std::string(core::fit_width(text, room - 1)) + "…";
}

constexpr int kDetailIndent = 4;

std::vector<std::string> wrapped(const std::string& text, int columns) {
    std::vector<std::string> rows;
    if (text.empty()) return rows;
    TextLayout layout;
    layout.update(text, std::max(columns, 1));
    for (const Row& row : layout.rows())
        rows.push_back(text.substr(row.begin, row.end - row.begin));
    return rows;
}

std::vector<std::string> detail_rows(const PanelRow& row, int columns) {
    return wrapped(one_line(row.detail), columns - kDetailIndent);
}

}  // namespace

void ListPanel::set_rows(std::vector<PanelRow> rows) {
    const uint64_t key = current() != nullptr ? current()->key : 0;
    rows_ = std::move(rows);
    apply_filter();
    select(key);
}

void ListPanel::select(uint64_t key) {
    for (size_t i = 0; i < shown_.size(); ++i)
        if (rows_[shown_[i]].key == key) cursor_ = i;
}

const PanelRow* ListPanel::current() const {
    return cursor_ < shown_.size() ? &rows_[shown_[cursor_]] : nullptr;
}

std::vector<uint64_t> ListPanel::visible() const {
    std::vector<uint64_t> keys;
    for (size_t i = top_; i < std::min(bottom_, shown_.size()); ++i)
        keys.push_back(rows_[shown_[i]].key);
    return keys;
}

void ListPanel::apply_filter() {
    shown_.clear();
    for (size_t i = 0; i < rows_.size(); ++i)
        if (contains(rows_[i].text, filter_)) shown_.push_back(i);
    cursor_ = std::min(cursor_, shown_.empty() ? 0 : shown_.size() - 1);
}

void ListPanel::move(int rows) {
    if (shown_.empty()) return;
    const auto last = static_cast<int64_t>(shown_.size()) - 1;
    cursor_ =
        static_cast<size_t>(std::clamp<int64_t>(static_cast<int64_t>(cursor_) + rows, 0, last));
}

PanelEvent ListPanel::on_key(const Key& key) {
    if (input_) return on_input_key(key);
    const std::string name = key_name(key);
    const auto all = static_cast<int>(shown_.size());
    if (name == "j" || name == "Down" || name == "C-n") {
        move(1);
    } else if (name == "k" || name == "Up" || name == "C-p") {
        move(-1);
    } else if (name == "g" || name == "Home") {
        move(-all);
    } else if (name == "G" || name == "End") {
        move(all);
    } else if (name == "PgDn") {
        move(page_);
    } else if (name == "PgUp") {
        move(-page_);
    } else if (name == "/") {
        ask(std::string(kFilterPrompt), filter_);
    } else if (name == "Enter") {
        return current() != nullptr ? PanelEvent::chosen : PanelEvent::moved;
    } else if (name == "q" || leaves(name)) {
        return PanelEvent::closed;
    } else {
        return PanelEvent::none;
    }
    return PanelEvent::moved;
}

PanelEvent ListPanel::on_input_key(const Key& key) {
    const std::string name = key_name(key);
    if (name == "Enter") return PanelEvent::entered;
    if (leaves(name)) {
        input_.reset();
        filter_.clear();
        apply_filter();
        return PanelEvent::typed;
    }
    if (name == "BS") {
        input_->resize(input_->size() - core::last_grapheme_bytes(*input_));
    } else if (name == "C-u") {
        input_->clear();
    } else if (key.code == KeyCode::character && key.modifiers == 0) {
        core::append_utf8(*input_, key.character);
    } else {
        return PanelEvent::moved;
    }
    if (prompt_ == kFilterPrompt) {
        filter_ = *input_;
        apply_filter();
    }
    return PanelEvent::typed;
}

void ListPanel::ask(std::string prompt, std::string text) {
    prompt_ = std::move(prompt);
    input_ = std::move(text);
    if (prompt_ != kFilterPrompt && !filter_.empty()) {
        filter_.clear();
        apply_filter();
    }
}

std::string ListPanel::take_input() {
    return std::exchange(input_, std::nullopt).value_or("");
}

// --- drawing ----------------------------------------------------------------------------------

int ListPanel::height_of(size_t shown, int columns) const {
    const auto details = static_cast<int>(detail_rows(rows_[shown_[shown]], columns).size());
    return std::min(1 + details, page_);
}

// The cursor is visible, and nothing is scrolled that need not be.
void ListPanel::scroll_into(int rows, int columns) {
    top_ = std::min(top_, cursor_);
    int used = 0;
    for (size_t i = cursor_ + 1; i > top_;) {
        used += height_of(--i, columns);
        if (used > rows) {
            top_ = i + 1;
            break;
        }
    }
}

int ListPanel::draw_row(Surface& surface, Position at, int columns, size_t shown,
                        const Theme& theme) {
    const PanelRow& row = rows_[shown_[shown]];
    const int right = at.column + columns;
    const std::vector<std::string> details = detail_rows(row, columns);
    const int height = height_of(shown, columns);
    const auto style = [&](StyleName name) {
        Style chosen = theme[name];
        if (shown == cursor_) chosen.attributes ^= kReverse;
        return chosen;
    };
    surface.fill({.row = at.row, .column = at.column, .rows = height, .columns = columns},
                 style(row.style));
    const std::string aside = one_line(row.aside);
    const int aside_width = static_cast<int>(core::display_width(aside));
    const bool room = aside_width > 0 && aside_width + 12 < columns;
    const int text_end = room ? right - aside_width - 1 : right;
    surface.put(at, fitted((row.marked ? "● " : "  ") + one_line(row.text), text_end - at.column),
                style(row.style), text_end);
    if (room)
        surface.put({.row = at.row, .column = right - aside_width}, aside, style(StyleName::notice),
                    right);
    for (int i = 1; i < height; ++i)
        surface.put({.row = at.row + i, .column = at.column + kDetailIndent},
                    details[static_cast<size_t>(i) - 1], style(StyleName::notice), right);
    return height;
}

std::optional<Position> ListPanel::draw(Surface& surface, Rect area, const Theme& theme) {
    const int right = area.column + area.columns;
    surface.put({.row = area.row, .column = area.column}, fitted(title_, area.columns),
                theme[StyleName::title], right);
    // A row of the list is worth more than the hint.
    const bool hinted = input_ || area.rows > 3;
    const int end = area.row + area.rows;
    const int foot = hinted ? end - 1 : end;
    page_ = std::max(foot - area.row - 1, 1);
    if (!shown_.empty()) scroll_into(page_, area.columns);
    std::optional<Position> cursor;
    int row = area.row + 1;
    for (bottom_ = top_; bottom_ < shown_.size() && row + height_of(bottom_, area.columns) <= foot;
         ++bottom_) {
        const Position at{.row = row, .column = area.column};
        if (bottom_ == cursor_) cursor = at;
        row += draw_row(surface, at, area.columns, bottom_, theme);
    }
    if (shown_.empty())
        for (const std::string& text :
             wrapped(filter_.empty() ? empty_ : "nothing", area.columns - 2))
            if (row < foot)
                surface.put({.row = row++, .column = area.column + 2}, text,
                            theme[StyleName::notice], right);
    if (!input_) {
        if (hinted)
            surface.put({.row = foot, .column = area.column}, fitted(hint_, area.columns),
                        theme[StyleName::notice], right);
        return cursor;
    }
    const int after = surface.put({.row = foot, .column = area.column}, prompt_ + one_line(*input_),
                                  theme[StyleName::prompt], right);
    return Position{.row = foot, .column = std::min(after, right - 1)};
}

}  // namespace ui
