#include "app/session/thinking.h"

#include <algorithm>
#include <utility>

namespace app {
namespace {

constexpr std::string_view kBegin = "<think>";
constexpr std::string_view kEnd = "</think>";
constexpr std::string_view kBlanks = " \t\r\n";

// Bytes at the end of the text that may be the beginning of the tag.
size_t begun(std::string_view text, std::string_view tag) {
    for (size_t count = std::min(text.size(), tag.size() - 1); count > 0; --count)
        if (text.ends_with(tag.substr(0, count))) return count;
    return 0;
}

size_t skip_blanks(std::string_view text, size_t at) {
    return std::min(text.find_first_not_of(kBlanks, at), text.size());
}

}  // namespace

Reasoning reasoning_of(std::string_view text, bool complete) {
    const size_t first = skip_blanks(text, 0);
    const std::string_view rest = text.substr(first);
    if (!rest.starts_with(kBegin)) {
        const bool undecided = !complete && kBegin.starts_with(rest);
        return {.answer = undecided ? text.size() : 0};
    }
    Reasoning found{.there = true, .begin = skip_blanks(text, first + kBegin.size())};
    const size_t tag = text.find(kEnd, first + kBegin.size());
    found.answer =
        tag == std::string_view::npos ? text.size() : skip_blanks(text, tag + kEnd.size());
    const size_t end = tag != std::string_view::npos ? tag
                       : complete                    ? text.size()
                                                     : text.size() - begun(text, kEnd);
    found.end = std::max(text.substr(0, end).find_last_not_of(kBlanks) + 1, found.begin);
    return found;
}

ThinkingFilter::Piece ThinkingFilter::take(std::string_view text) {
    held_ += text;
    return advance(false);
}

ThinkingFilter::Piece ThinkingFilter::rest() {
    return advance(true);
}

ThinkingFilter::Piece ThinkingFilter::advance(bool last) {
    Piece piece;
    if (state_ == State::beginning) {
        const size_t first = std::min(held_.find_first_not_of(kBlanks), held_.size());
        const std::string_view text = std::string_view(held_).substr(first);
        if (text.starts_with(kBegin)) {
            held_.erase(0, first + kBegin.size());
            state_ = State::thinking;
        } else if (last || !kBegin.starts_with(text)) {
            state_ = State::answer;
        }
    }
    if (state_ == State::thinking) {
        const size_t end = held_.find(kEnd);
        const size_t certain = end != std::string::npos ? end
                               : last                   ? held_.size()
                                                        : held_.size() - begun(held_, kEnd);
        piece.thought = held_.substr(0, certain);
        held_.erase(0, end != std::string::npos ? end + kEnd.size() : certain);
        if (end != std::string::npos) state_ = State::behind;
    }
    if (state_ == State::behind) {  // blank lines between the two belong to neither
        held_.erase(0, std::min(held_.find_first_not_of(kBlanks), held_.size()));
        if (!held_.empty()) state_ = State::answer;
    }
    if (state_ == State::answer) piece.said = std::exchange(held_, {});
    return piece;
}

}  // namespace app
