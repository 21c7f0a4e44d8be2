#include "core/text/detokenizer.h"

#include <algorithm>
#include <utility>

#include "core/base/utf8.h"

namespace core {
namespace {

// Where the earliest stop string begins that is whole; npos when none is.
size_t first_match(std::string_view text, const std::vector<std::string>& stops) {
    size_t first = std::string_view::npos;
    for (const std::string& stop : stops)
        first = std::min(first, text.find(stop));
    return first;
}

// Where the earliest stop string begins that only more text could complete; npos when none does.
size_t first_beginning(std::string_view text, const std::vector<std::string>& stops) {
    size_t first = std::string_view::npos;
    for (const std::string& stop : stops) {
        const size_t longest = std::min(text.size(), stop.size() - 1);
        for (size_t length = longest; length > 0; --length) {
            if (!text.ends_with(std::string_view(stop).substr(0, length))) continue;
            first = std::min(first, text.size() - length);
            break;
        }
    }
    return first;
}

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, std::vector<std::string> stops,
                         bool strip_space)
    : tokenizer_(&tokenizer), stops_(std::move(stops)), strip_space_(strip_space) {
    // Text is UTF-8 here, so what is not could match only inside a code point.
    std::erase_if(stops_, [](const std::string& stop) { return stop.empty() || !is_utf8(stop); });
}

std::string Detokenizer::push(TokenId token) {
    if (stopped_) return {};
    bytes_ += tokenizer_->bytes(token);
    accept(false);
    return release(false);
}

std::string Detokenizer::finish() {
    if (stopped_) return {};
    accept(true);
    return release(true);
}

// Moves whole code points from bytes_ to pending_; with `all`, what is incomplete too.
void Detokenizer::accept(bool all) {
    const size_t whole = all ? bytes_.size() : whole_utf8(bytes_);
    std::string_view rest = std::string_view(bytes_).substr(0, whole);
    while (!rest.empty()) {
        const CodePoint point = decode_utf8(rest);
        append_utf8(pending_, point.valid ? point.value : kReplacementCharacter);
        rest.remove_prefix(point.length);
    }
    bytes_.erase(0, whole);
    if (started_ || pending_.empty()) return;
    started_ = true;
    if (strip_space_ && pending_.front() == ' ') pending_.erase(0, 1);
}

// A whole stop string decides only when none that begins before it can still be completed:
// otherwise the result would depend on how the text was cut into tokens.
std::string Detokenizer::release(bool all) {
    const size_t match = first_match(pending_, stops_);
    const size_t beginning = all ? std::string::npos : first_beginning(pending_, stops_);
    stopped_ = match != std::string::npos && match <= beginning;
    std::string text = pending_.substr(0, std::min(match, beginning));
    if (stopped_)
        pending_.clear();
    else
        pending_.erase(0, text.size());
    return text;
}

}  // namespace core
