// The KV cache of one line of tokens: full pages, possibly shared, and a private tail.
//
// Invariants
//  1. tokens().size() == length(): every committed row belongs to a known token.
//  2. Rows at or beyond length() are garbage. forward() writes there; commit() moves the length
//     only after the last layer, so that cancel and errors leave the sequence as it was.
//  3. A page that more than one sequence refers to is never written: reserve() copies the tail
//  first.
// Engine thread only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/token_id.h"
#include "core/kv/page_pool.h"

namespace core {

class Sequence {
  public:
    explicit Sequence(PagePool& pool) : pool_(&pool) {}
    // What has been read before. REQUIRES: the pages hold a row for each token.
    Sequence(PagePool& pool, std::vector<PageRef> pages, std::span<const TokenId> tokens);
    Sequence(Sequence&&) = default;
    Sequence& operator=(Sequence&&) = default;
    Sequence(const Sequence&) = delete;
    Sequence& operator=(const Sequence&) = delete;

    // Shares all full pages and the tail by reference; whoever writes the tail first copies it.
    // Spelled out instead of a copy constructor so that the cost is visible at the call.
    Sequence fork() const;

    uint32_t length() const { return static_cast<uint32_t>(tokens_.size()); }
    std::span<const TokenId> tokens() const { return tokens_; }

    // Makes rows [length, length + count) writable. Throws Error(memory); then nothing has changed.
    void reserve(uint32_t count);

    // Appends tokens whose rows have been written. REQUIRES: reserved.
    void commit(std::span<const TokenId> tokens);

    // Forgets everything from `length` on. REQUIRES: length <= this->length().
    void truncate(uint32_t length);

    std::span<const PageRef> pages() const { return pages_; }
    const PageLayout& layout() const { return pool_->layout(); }

  private:
    PagePool* pool_;
    std::vector<PageRef> pages_;
    std::vector<TokenId> tokens_;
};

}  // namespace core
