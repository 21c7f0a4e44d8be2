// The transcript: messages and notices above each other, wrapped, scrolled, growing at the end.
//
// It keeps the sanitized text and the layout of every item; what grows costs one paragraph per
// frame. It follows the end until the user scrolls away, and again once he is back at the end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ui/surface.h"
#include "ui/text_layout.h"
#include "ui/theme.h"

namespace ui {

// One block of the transcript. Fixed while it is shown, but for text and trailer.
struct TranscriptItem {
    uint64_t key = 0;        // identifies it from frame to frame
    std::string label = {};  // "you ▸"; empty: none
    std::string aside = {};  // right of the label's row: "2/3"
    StyleName label_style = StyleName::role_system;
    StyleName text_style = StyleName::text;
};

class Transcript {
  public:
    // The items from `index` on are dropped. REQUIRES: index <= size().
    void truncate(size_t index);
    // A new item at the end.
    void add(TranscriptItem item);
    size_t size() const { return blocks_.size(); }
    const TranscriptItem& item(size_t index) const { return blocks_[index].item; }

    // Bytes of untrusted text that an item has been given so far.
    size_t text_bytes(size_t index) const { return blocks_[index].source_bytes; }
    // Appends untrusted text, in whole code points.
    void append_text(size_t index, std::string_view untrusted);
    // Appends a mark of ours to the text: "┊T 0.7→1.1 @143┊".
    size_t marks(size_t index) const { return blocks_[index].marks.size(); }
    void append_mark(size_t index, std::string_view mark);
    // What stands below the text: "stopped". Empty: nothing.
    void set_trailer(size_t index, std::string_view untrusted, StyleName style);
    void set_aside(size_t index, std::string aside) {
        blocks_[index].item.aside = std::move(aside);
    }

    void draw(Surface& surface, Rect area, const Theme& theme);

    // The item with this key stands out, and the view moves to it and does not follow the end.
    void select(std::optional<uint64_t> key);

    // Scrolling is relative to what was drawn last. Down is positive.
    void scroll(int rows);
    void scroll_page(int pages) { scroll(pages * std::max(height_ - 2, 1)); }
    void to_top() { scroll(-static_cast<int>(top_)); }
    void to_end() { following_ = true; }
    bool following() const { return following_; }
    // Rows below the last visible one, and how many of them came since the view was scrolled away.
    size_t rows_below() const;
    size_t new_rows() const;

  private:
    struct Mark {
        size_t begin = 0;  // bytes of `text`
        size_t end = 0;
    };
    struct Block {
        TranscriptItem item;
        std::string text;  // sanitized, with marks
        size_t source_bytes = 0;
        std::vector<Mark> marks;
        std::string trailer;
        StyleName trailer_style = StyleName::notice;
        TextLayout layout;
        TextLayout trailer_layout;
        int label_columns = 0;  // with the space after it; 0: no label
        // An empty text leaves its row to the trailer.
        size_t text_rows() const { return text.empty() ? 0 : layout.rows().size(); }
        size_t trailer_rows() const { return trailer.empty() ? 0 : trailer_layout.rows().size(); }
        size_t rows() const;
        Indent indent(int width) const;
    };
    // Where the view stood, in terms that survive another width.
    struct Anchor {
        size_t block = 0;
        size_t byte = 0;
        size_t extra = 0;  // rows after the block's text
    };

    void lay_out(int width);
    Anchor anchor_of(size_t row) const;
    size_t row_of(const Anchor& anchor) const;
    void show_selected();
    void draw_row(Surface& surface, Rect row_area, const Block& block, size_t row,
                  const Theme& theme) const;
    void draw_label(Surface& surface, Rect row_area, const Block& block, int used,
                    const Theme& theme) const;
    static int draw_text(Surface& surface, Position at, const Block& block, const Row& row,
                         const Theme& theme);

    std::vector<Block> blocks_;
    std::vector<size_t> first_rows_;  // of each block; one more entry with the total
    size_t top_ = 0;                  // first visible row
    size_t rows_when_left_ = 0;       // rows there were when the view stopped following
    int width_ = -1;
    int height_ = 0;
    bool following_ = true;
    std::optional<uint64_t> selected_;
    bool show_selected_ = false;  // when it is known where that is
};

}  // namespace ui
