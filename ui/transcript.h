// The transcript: messages and notices above each other, wrapped, scrolled, growing at the end.
//
// Only what is seen is laid out, and asked for: a long conversation costs what its window shows,
// and what grows costs one paragraph per frame. Rows that nobody has seen yet are estimated until
// then. It follows the end until the user scrolls away, and again once he is back at the end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ui/surface.h"
#include "ui/text_layout.h"
#include "ui/theme.h"

namespace ui {

// One block of the transcript.
struct TranscriptItem {
    uint64_t key = 0;        // identifies it from frame to frame
    std::string label = {};  // "you ▸"; empty: none
    std::string aside = {};  // right of the label's row: "2/3"
    StyleName label_style = StyleName::role_system;
    StyleName text_style = StyleName::text;
};

class Transcript {
  public:
    // Gives an item what it does not have yet: called when it is about to be seen, for the first
    // time and after a touch. Without one, items have what they were given.
    using Fill = std::function<void(size_t index)>;
    void set_fill(Fill fill) { fill_ = std::move(fill); }
    // There may be news of an item, or of all.
    void touch(size_t index) { blocks_[index].stale = true; }
    void touch_all();

    // The items from `index` on are dropped. REQUIRES: index <= size().
    void truncate(size_t index);
    // A new item at the end, which will have about so many bytes of text.
    void add(TranscriptItem item, size_t expected_bytes = 0);
    size_t size() const { return blocks_.size(); }
    const TranscriptItem& item(size_t index) const { return blocks_[index].item; }
    // How it looks; it keeps its key.
    void set_item(size_t index, TranscriptItem item);

    // Bytes of untrusted text that an item has been given so far.
    size_t text_bytes(size_t index) const { return blocks_[index].source_bytes; }
    // Appends untrusted text, in whole code points.
    void append_text(size_t index, std::string_view untrusted);
    // Appends a mark of ours to the text: "┊T 0.7→1.1 @143┊".
    size_t marks(size_t index) const { return blocks_[index].marks.size(); }
    void append_mark(size_t index, std::string_view mark);
    // What stands below the text: "stopped". Empty: nothing.
    void set_trailer(size_t index, std::string_view untrusted, StyleName style);

    void draw(Surface& surface, Rect area, const Theme& theme);

    // The item with this key stands out, and the view moves to it and does not follow the end.
    void select(std::optional<uint64_t> key);

    // --- going through it (transcript_browse.cpp)
    // The places of a text stand out, whatever the case of its ASCII letters. Empty: none do.
    void highlight(std::string_view text);
    // The view moves to where that byte of an item's sanitized text is, when it is not seen yet.
    void show(uint64_t key, size_t byte);
    // The view begins with an item's first row, unless the rest of the transcript is shorter.
    void show_from_top(uint64_t key) { shown_top_ = key; }
    // Shows only the first row of an item, or all of it again.
    void fold(uint64_t key);
    // Rows are chosen, from the first of an item on; extending moves the other end.
    void choose_rows(uint64_t key);
    void extend_choice(int rows);
    bool choosing() const { return choice_.has_value(); }
    // Their text, without the breaks of rows; then none are chosen.
    std::string take_choice();
    void drop_choice() { choice_.reset(); }

    // Scrolling is relative to what was drawn last, and happens when it is drawn again. Down is
    // positive.
    void scroll(int rows) { wanted_rows_ += rows; }
    void scroll_page(int pages) { scroll(pages * std::max(height_ - 2, 1)); }
    void to_top();
    void to_end();
    bool following() const { return following_; }
    // Items whose text was looked at so far: what a long conversation has cost.
    size_t laid_out() const;
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
        size_t expected_bytes = 0;
        size_t height = 1;      // rows, as far as is known
        int laid_out_for = -1;  // columns; -1: not as it is now
        bool stale = true;      // fill() knows more
        bool folded = false;    // to its first row, and one that says how many more there are
        // An empty text leaves its row to the trailer.
        size_t all_text_rows() const { return text.empty() ? 0 : layout.rows().size(); }
        bool is_folded() const { return folded && all_text_rows() > 2; }
        size_t text_rows() const { return is_folded() ? 1 : all_text_rows(); }
        size_t trailer_rows() const {
            if (is_folded()) return 1;
            return trailer.empty() ? 0 : trailer_layout.rows().size();
        }
        size_t rows() const;
        size_t expected_rows(int width) const;
        Indent indent(int width) const;
    };
    struct Place {
        size_t block = 0;
        size_t row = 0;  // of the block
        friend bool operator==(const Place&, const Place&) = default;
        friend bool operator<(const Place& a, const Place& b) {
            return a.block != b.block ? a.block < b.block : a.row < b.row;
        }
    };
    struct Choice {
        Place from;
        Place to;  // included, before or behind the other
    };
    // Bytes of a text in one style.
    struct Piece {
        size_t begin = 0;
        size_t end = 0;
        StyleName style = StyleName::text;
    };
    // Where a block was looked at, in terms that survive another width.
    struct Anchor {
        size_t byte = 0;
        size_t extra = 0;  // rows after the block's text
    };

    // The block as it is now, in rows of width_.
    Block& lay_out(size_t index);
    void set_height(size_t index, size_t rows);
    void set_width(int width);
    void leave_end();
    void move(int rows);
    void move_to(Place place);
    void move_up(size_t rows);
    // So that this block ends with the last row of the window.
    Place window_that_ends_with(size_t index);
    // True when the window reaches the end of the transcript.
    bool lay_out_window();
    void lay_out_news();
    static Anchor anchor_of(const Block& block, size_t row);
    static size_t row_of(const Block& block, const Anchor& anchor);
    size_t index_of(uint64_t key) const;
    void show_selected();
    void show_place(Place place);
    void show_what_is_wanted();
    bool is_chosen(Place place) const;
    std::vector<Piece> pieces_of(const Block& block, const Row& row) const;
    void draw_row(Surface& surface, Rect row_area, Place place, const Theme& theme) const;
    void draw_label(Surface& surface, Rect row_area, const Block& block, int used,
                    const Theme& theme) const;
    int draw_text(Surface& surface, Position at, Place place, const Theme& theme) const;

    Fill fill_;
    std::vector<Block> blocks_;
    size_t total_ = 0;           // rows of all blocks
    Place top_;                  // first visible row
    size_t above_ = 0;           // rows of the blocks before top_.block
    size_t rows_when_left_ = 0;  // rows there were when the view stopped following
    size_t last_when_left_ = 0;  // the last block then; what comes after it is news
    int width_ = -1;
    int height_ = 0;
    int wanted_rows_ = 0;  // to be scrolled
    bool following_ = true;
    std::optional<uint64_t> selected_;
    bool show_selected_ = false;                             // when it is known where that is
    std::optional<std::pair<uint64_t, size_t>> shown_byte_;  // the same: key, byte
    std::optional<uint64_t> shown_top_;                      // the same
    std::string needle_;                                     // highlighted; in small letters
    std::optional<Choice> choice_;
    bool show_choice_ = false;  // its end
};

}  // namespace ui
