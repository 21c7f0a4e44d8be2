#include "ui/text_layout.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/base/utf8.h"

namespace ui {
namespace {

// Classes of UAX #14 that matter here.
enum class Break : uint8_t { letter, digit, space, hyphen, wide, opening, closing };

constexpr std::u32string_view kOpening = U"([{<«‹“‘「『（［｛【〈《〔〖";
constexpr std::u32string_view kClosing =
    U")]}>»›”’」』）］｝】〉》〕〗、。，．：；！？,.:;!?%"
    U"…‥ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ";

constexpr Break classify(char32_t c, int width) {
    if (c >= '0' && c <= '9') return Break::digit;
    if (c == '-' || c == 0x2010 || c == 0x2013 || c == 0x2014) return Break::hyphen;
    if (kClosing.find(c) != std::u32string_view::npos) return Break::closing;
    if (kOpening.find(c) != std::u32string_view::npos) return Break::opening;
    return width == 2 ? Break::wide : Break::letter;
}

// Nearly all text, and long conversations are laid out when they are opened.
constexpr std::array<Break, 128> kAscii = [] {
    std::array<Break, 128> table = {};
    for (char32_t c = 0; c < 128; ++c)
        table[c] = classify(c, 1);
    return table;
}();

Break classify(std::string_view grapheme, int width) {
    const char32_t c = core::decode_utf8(grapheme).value;
    // A space with a mark on it is a character like others.
    if (c == ' ') return grapheme.size() == 1 ? Break::space : Break::letter;
    return c < kAscii.size() ? kAscii.at(c) : classify(c, width);
}

// Whether a row may end between `left` and `right`; `word` is how much of a word `left` ends.
bool may_break(int word, Break left, Break right) {
    if (right == Break::space || right == Break::closing) return false;
    if (left == Break::space) return true;
    if (left == Break::opening) return false;
    // Inside of words, but not in front of them, behind a single letter (C-x, e-mail), in numbers
    // and dates.
    if (left == Break::hyphen) return word > 2 && (right == Break::letter || right == Break::wide);
    return left == Break::wide || right == Break::wide;
}

// Breaks one paragraph, byte by byte of `text` from `begin` to `end`.
class ParagraphBreaker {
  public:
    ParagraphBreaker(std::string_view text, std::vector<Row>& rows) : text_(text), rows_(rows) {}

    void run(size_t begin, size_t end, int first_width, int rest_width) {
        row_begin_ = begin;
        room_ = std::max(first_width, 1);
        for (size_t at = begin; at < end;) {
            const core::Grapheme grapheme = core::next_grapheme(text_.substr(at, end - at));
            place(at, grapheme, std::max(rest_width, 1));
            at += grapheme.bytes;
        }
        rows_.push_back({.begin = row_begin_, .end = end});
    }

  private:
    void place(size_t at, const core::Grapheme& grapheme, int rest_width) {
        const Break kind = classify(text_.substr(at, grapheme.bytes), grapheme.width);
        if (at > row_begin_ && may_break(word_, previous_, kind)) {
            break_at_ = at;
            width_before_break_ = used_;
        }
        // Spaces may hang over the edge; everything else moves to the next row.
        if (kind != Break::space && used_ + grapheme.width > room_ && at > row_begin_) {
            const bool at_word = break_at_ > row_begin_;
            const size_t cut = at_word ? break_at_ : at;
            rows_.push_back({.begin = row_begin_, .end = cut});
            used_ -= at_word ? width_before_break_ : used_;
            row_begin_ = cut;
            room_ = rest_width;
            // A word that was cut out of a wider first row may still be too long for the rest.
            if (used_ + grapheme.width > room_ && at > row_begin_) {
                rows_.push_back({.begin = row_begin_, .end = at});
                row_begin_ = at;
                used_ = 0;
            }
        }
        used_ += grapheme.width;
        word_ = kind == Break::space || kind == Break::opening ? 0 : word_ + 1;
        previous_ = kind;
    }

    std::string_view text_;
    std::vector<Row>& rows_;
    size_t row_begin_ = 0;
    size_t break_at_ = 0;
    int width_before_break_ = 0;
    int used_ = 0;
    int room_ = 1;
    Break previous_ = Break::space;
    int word_ = 0;  // graphemes since the last space or opening
};

}  // namespace

void TextLayout::reset() {
    rows_.clear();
    open_row_ = open_byte_ = text_bytes_ = 0;
}

void TextLayout::update(std::string_view text, int width, Indent indent) {
    if (width != width_ || indent != indent_ || text.size() < text_bytes_) reset();
    if (text.size() == text_bytes_ && !rows_.empty()) return;
    width_ = width;
    indent_ = indent;
    rows_.resize(open_row_);
    text_bytes_ = text.size();
    while (true) {
        const size_t end = std::min(text.find('\n', open_byte_), text.size());
        const int first = rows_.empty() ? indent.first : indent.rest;
        open_row_ = rows_.size();
        ParagraphBreaker(text, rows_).run(open_byte_, end, width - first, width - indent.rest);
        if (end == text.size()) return;
        open_byte_ = end + 1;
    }
}

std::vector<Row> cut_rows(std::string_view text, int width) {
    std::vector<Row> rows;
    size_t begin = 0;
    int used = 0;
    for (size_t at = 0; at < text.size();) {
        if (text[at] == '\n') {
            rows.push_back({.begin = begin, .end = at});
            begin = ++at;
            used = 0;
            continue;
        }
        const core::Grapheme grapheme = core::next_grapheme(text.substr(at));
        if (used + grapheme.width > width && at > begin) {
            rows.push_back({.begin = begin, .end = at});
            begin = at;
            used = 0;
        }
        used += grapheme.width;
        at += grapheme.bytes;
    }
    rows.push_back({.begin = begin, .end = text.size()});
    return rows;
}

}  // namespace ui
