// Memory for the KV cache: fixed-size pages with reference counts.
//
// A page holds kPagePositions consecutive positions of all layers, laid out [layer][kv head][K, V]:
// one head's part of a page is described in core/tensor/kv_block.h.
// Engine thread only, apart from what forward's pool tasks write into pages of sequences in the
// pass, and from populate()'s thread, which sees no page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "core/tensor/kv_block.h"

namespace core {

std::string_view name(KvType type);
// Throws Error(usage) for anything but "f32", "f16", "q8".
KvType kv_type_from_name(std::string_view text);

// What one layer keeps of a position.
struct KvLayerShape {
    uint32_t kv_heads = 0;
    uint32_t head_dim = 0;
};

// Where the parts of a page lie.
class PageLayout {
  public:
    PageLayout(std::span<const KvLayerShape> layers, KvType type);

    KvType type() const { return type_; }
    size_t page_bytes() const { return page_bytes_; }
    // Byte offsets within a page of K and V of one layer and kv head.
    size_t k_offset(uint32_t layer, uint32_t kv_head) const;
    size_t v_offset(uint32_t layer, uint32_t kv_head) const;
    uint32_t head_dim(uint32_t layer) const;
    std::span<const KvLayerShape> shape() const { return shape_; }

    // Copies the first `rows` positions of a page; what no position uses becomes zeros, so that a
    // copy tells nothing but them. REQUIRES: spans of page_bytes().
    void copy_rows(uint32_t rows, std::span<const std::byte> from, std::span<std::byte> to) const;

  private:
    struct Layer {
        size_t offset = 0;
        size_t head_bytes = 0;  // K and V of one head
        size_t k_bytes = 0;
    };
    KvType type_;
    std::vector<KvLayerShape> shape_;
    std::vector<Layer> layers_;
    size_t page_bytes_ = 0;
};

// A page is reached by shared references: a full page is immutable and may be in many sequences.
struct Page {
    std::byte* data = nullptr;  // page_bytes, 64-byte aligned
};
using PageRef = std::shared_ptr<Page>;

class PagePool {
  public:
    // `budget_bytes` bounds what the pool ever allocates.
    PagePool(PageLayout layout, uint64_t budget_bytes);
    ~PagePool();
    PagePool(const PagePool&) = delete;
    PagePool& operator=(const PagePool&) = delete;

    const PageLayout& layout() const { return layout_; }

    // A page with unspecified content; it returns to the pool with its last reference.
    // Throws Error(memory) when the budget is spent or the allocation fails.
    PageRef allocate();
    // The same with a null reference in place of the error.
    PageRef try_allocate();

    // Has the system provide memory for pages of so many bytes now, on a thread of its own, because
    // memory that is touched for the first time is slower than a disk. A wish: what the budget or
    // the system does not give comes later or never.
    void populate(uint64_t bytes);

    uint64_t pages_in_use() const;
    uint64_t bytes_in_use() const;

  private:
    struct Arena;  // free list; outlived by no page
    PageLayout layout_;
    std::shared_ptr<Arena> arena_;
    std::jthread populating_;  // last: it uses the arena's slabs
};

}  // namespace core
