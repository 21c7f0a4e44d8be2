// The part of Transcript for going through it: places that were found, folded items, chosen rows.
#include <algorithm>
#include <utility>

#include "ui/transcript.h"

namespace ui {
namespace {

char small_letter(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

}  // namespace

void Transcript::highlight(std::string_view text) {
    needle_.resize(text.size());
    std::transform(text.begin(), text.end(), needle_.begin(), small_letter);
}

size_t Transcript::index_of(uint64_t key) const {
    const auto found = std::find_if(blocks_.begin(), blocks_.end(),
                                    [key](const Block& block) { return block.item.key == key; });
    return static_cast<size_t>(found - blocks_.begin());
}

void Transcript::show(uint64_t key, size_t byte) {
    const size_t index = index_of(key);
    if (index == blocks_.size()) return;
    if (std::exchange(blocks_[index].folded, false)) blocks_[index].laid_out_for = -1;
    shown_byte_ = {key, byte};
}

// In the middle of the window, where it is not seen anyway.
void Transcript::show_place(Place place) {
    Place at = top_;
    for (int row = 0; row < height_ && at.block < blocks_.size(); ++row, ++at.row) {
        while (at.block < blocks_.size() && at.row >= lay_out(at.block).height)
            at = {.block = at.block + 1};
        if (at == place) return;
    }
    if (following_) leave_end();
    move_to(place);
    move_up(static_cast<size_t>(std::max(height_, 0)) / 2);
}

void Transcript::show_what_is_wanted() {
    if (const auto wanted = std::exchange(shown_byte_, std::nullopt)) {
        const size_t index = index_of(wanted->first);
        if (index < blocks_.size())
            show_place({.block = index, .row = row_of(lay_out(index), {.byte = wanted->second})});
    }
    if (const auto wanted = std::exchange(shown_top_, std::nullopt)) {
        const size_t index = index_of(*wanted);
        if (index < blocks_.size()) {
            if (following_) leave_end();
            move_to({.block = index});
        }
    }
    if (std::exchange(show_choice_, false) && choice_ && choice_->to.block < blocks_.size())
        show_place(choice_->to);
}

void Transcript::fold(uint64_t key) {
    const size_t index = index_of(key);
    if (index == blocks_.size()) return;
    blocks_[index].folded = !blocks_[index].folded;
    blocks_[index].laid_out_for = -1;
    drop_choice();
}

// --- rows -------------------------------------------------------------------------------------

void Transcript::choose_rows(uint64_t key) {
    const size_t index = index_of(key);
    if (index == blocks_.size()) return;
    choice_ = Choice{.from = {.block = index}, .to = {.block = index}};
    show_choice_ = true;
}

void Transcript::extend_choice(int rows) {
    if (!choice_) return;
    Place& to = choice_->to;
    for (; rows > 0; --rows) {
        if (to.row + 1 < lay_out(to.block).height) {
            ++to.row;
        } else if (to.block + 1 < blocks_.size()) {
            to = {.block = to.block + 1};
        }
    }
    for (; rows < 0; ++rows) {
        if (to.row > 0) {
            --to.row;
        } else if (to.block > 0) {
            --to.block;
            to.row = lay_out(to.block).height - 1;
        }
    }
    show_choice_ = true;
}

bool Transcript::is_chosen(Place place) const {
    if (!choice_) return false;
    const auto [from, to] = std::minmax(choice_->from, choice_->to);
    return !(place < from) && !(to < place);
}

std::string Transcript::take_choice() {
    std::string text;
    if (!choice_) return text;
    const auto [from, to] = std::minmax(choice_->from, choice_->to);
    for (size_t index = from.block; index <= to.block && index < blocks_.size(); ++index) {
        const Block& block = lay_out(index);
        const std::vector<Row>& rows = block.layout.rows();
        const size_t first = index == from.block ? from.row : 0;
        const size_t end = std::min(index == to.block ? to.row + 1 : rows.size(), rows.size());
        if (block.text.empty() || first >= end) continue;
        if (!text.empty()) text += "\n";
        size_t at = rows[first].begin;
        const size_t last = rows[end - 1].end;
        for (const Mark& mark : block.marks) {  // ours, not the model's
            if (mark.end <= at || mark.begin >= last) continue;
            text += block.text.substr(at, std::max(mark.begin, at) - at);
            at = std::min(mark.end, last);
        }
        text += block.text.substr(at, last - at);
    }
    choice_.reset();
    return text;
}

// --- drawing ----------------------------------------------------------------------------------

// A row is text, marks and places that were found, none of which overlaps another.
std::vector<Transcript::Piece> Transcript::pieces_of(const Block& block, const Row& row) const {
    std::vector<Piece> special;
    for (const Mark& mark : block.marks)
        if (mark.end > row.begin && mark.begin < row.end)
            special.push_back({.begin = mark.begin, .end = mark.end, .style = StyleName::mark});
    if (!needle_.empty()) {
        const auto same = [](char c, char wanted) { return small_letter(c) == wanted; };
        const size_t before = row.begin - std::min(row.begin, needle_.size() - 1);
        const auto end = block.text.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                  row.end + needle_.size() - 1, block.text.size()));
        auto at = block.text.begin() + static_cast<std::ptrdiff_t>(before);
        while ((at = std::search(at, end, needle_.begin(), needle_.end(), same)) != end) {
            const auto begin = static_cast<size_t>(at - block.text.begin());
            special.push_back(
                {.begin = begin, .end = begin + needle_.size(), .style = StyleName::search_hit});
            at += static_cast<std::ptrdiff_t>(needle_.size());
        }
        std::sort(special.begin(), special.end(),
                  [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
    }
    std::vector<Piece> pieces;
    size_t at = row.begin;
    for (const Piece& piece : special) {
        const size_t begin = std::max(piece.begin, at);
        const size_t end = std::min(piece.end, row.end);
        if (begin >= end) continue;
        if (begin > at) pieces.push_back({at, begin, block.item.text_style});
        pieces.push_back({begin, end, piece.style});
        at = end;
    }
    if (at < row.end) pieces.push_back({at, row.end, block.item.text_style});
    return pieces;
}

}  // namespace ui
