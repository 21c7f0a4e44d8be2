#include "core/kv/sequence.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace core {
namespace {

size_t pages_for(size_t positions) {
    return (positions + kPagePositions - 1) / kPagePositions;
}

}  // namespace

Sequence::Sequence(PagePool& pool, std::vector<PageRef> pages, std::span<const TokenId> tokens)
    : pool_(&pool), pages_(std::move(pages)), tokens_(tokens.begin(), tokens.end()) {
    MOXIE_CHECK(pages_.size() == pages_for(tokens_.size()));
}

Sequence Sequence::fork() const {
    Sequence copy(*pool_);
    const size_t used = pages_for(tokens_.size());
    copy.pages_.assign(pages_.begin(), pages_.begin() + static_cast<std::ptrdiff_t>(used));
    copy.tokens_ = tokens_;
    return copy;
}

void Sequence::reserve(uint32_t count) {
    if (count == 0) return;
    const size_t first = tokens_.size() / kPagePositions;  // the first page to be written
    const size_t needed = pages_for(tokens_.size() + count);

    // Everything that can fail comes before the first change.
    tokens_.reserve(tokens_.size() + count);
    std::vector<PageRef> fresh;
    fresh.reserve(needed - first);
    for (size_t page = first; page < needed; ++page) {
        const bool own = page < pages_.size() && pages_[page].use_count() == 1;
        fresh.push_back(own ? pages_[page] : pool_->allocate());
    }
    const bool has_rows = tokens_.size() % kPagePositions != 0;
    if (has_rows && fresh.front() != pages_[first]) {
        // K is dimension-major, so the rows in use are spread over the page: copy it whole.
        std::memcpy(fresh.front()->data, pages_[first]->data, pool_->layout().page_bytes());
    }
    pages_.resize(first);
    pages_.insert(pages_.end(), std::make_move_iterator(fresh.begin()),
                  std::make_move_iterator(fresh.end()));
}

void Sequence::commit(std::span<const TokenId> tokens) {
    MOXIE_CHECK(tokens_.size() + tokens.size() <= pages_.size() * kPagePositions);
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

void Sequence::truncate(uint32_t length) {
    MOXIE_CHECK(length <= tokens_.size());
    tokens_.resize(length);
    pages_.resize(std::min(pages_.size(), pages_for(length)));
}

}  // namespace core
