// Pages are single allocations kept on a free list: a page of a real model is megabytes, so the
// allocator's own bookkeeping does not show.
#include "core/kv/page_pool.h"

#include <cstdlib>
#include <string>

#include "core/base/error.h"

namespace core {
namespace {

constexpr size_t kPageAlignment = 64;

struct KvTypeName {
    KvType type;
    std::string_view name;
};
constexpr KvTypeName kKvTypeNames[] = {
    {KvType::f32, "f32"}, {KvType::f16, "f16"}, {KvType::q8, "q8"}};

std::string megabytes(uint64_t bytes) {
    return std::to_string((bytes + (1 << 20) - 1) >> 20);
}

}  // namespace

std::string_view name(KvType type) {
    for (const KvTypeName& entry : kKvTypeNames)
        if (entry.type == type) return entry.name;
    return "unknown";
}

KvType kv_type_from_name(std::string_view text) {
    for (const KvTypeName& entry : kKvTypeNames)
        if (entry.name == text) return entry.type;
    throw Error(ErrorKind::usage, "--kv", "\"" + std::string(text) + "\" is not a type of KV cache",
                "use f32, f16 or q8");
}

PageLayout::PageLayout(std::span<const KvLayerShape> layers, KvType type) : type_(type) {
    layers_.reserve(layers.size());
    for (const KvLayerShape& shape : layers) {
        Layer layer;
        layer.offset = page_bytes_;
        layer.k_bytes = k_bytes(type, shape.head_dim);
        layer.head_bytes = layer.k_bytes + v_bytes(type, shape.head_dim);
        layer.head_dim = shape.head_dim;
        page_bytes_ += layer.head_bytes * shape.kv_heads;
        layers_.push_back(layer);
    }
}

size_t PageLayout::k_offset(uint32_t layer, uint32_t kv_head) const {
    return layers_[layer].offset + layers_[layer].head_bytes * kv_head;
}

size_t PageLayout::v_offset(uint32_t layer, uint32_t kv_head) const {
    return k_offset(layer, kv_head) + layers_[layer].k_bytes;
}

uint32_t PageLayout::head_dim(uint32_t layer) const {
    return layers_[layer].head_dim;
}

// Pages hold a reference to the arena, so that a sequence may outlive its pool.
struct PagePool::Arena {
    size_t page_bytes = 0;
    uint64_t budget_bytes = 0;
    uint64_t allocated = 0;  // pages, free ones included
    std::vector<std::byte*> free;

    Arena(size_t bytes, uint64_t budget) : page_bytes(bytes), budget_bytes(budget) {}
    ~Arena() {
        for (std::byte* data : free)
            std::free(data);
    }
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
};

PagePool::PagePool(PageLayout layout, uint64_t budget_bytes)
    : layout_(std::move(layout)),
      arena_(std::make_shared<Arena>(layout_.page_bytes(), budget_bytes)) {}

PagePool::~PagePool() = default;

PageRef PagePool::allocate() {
    Arena& arena = *arena_;
    if (arena.free.empty()) {
        if ((arena.allocated + 1) * arena.page_bytes > arena.budget_bytes) {
            throw Error(ErrorKind::memory, "KV cache",
                        "the budget of " + megabytes(arena.budget_bytes) + " MB is spent",
                        "use a shorter context or --kv q8");
        }
        // The free list never grows when a page comes back, so that a release cannot throw.
        arena.free.reserve(arena.allocated + 1);
        const size_t bytes =
            (arena.page_bytes + kPageAlignment - 1) / kPageAlignment * kPageAlignment;
        auto* data = static_cast<std::byte*>(std::aligned_alloc(kPageAlignment, bytes));
        if (data == nullptr) {
            throw Error(ErrorKind::memory, "KV cache",
                        "no memory for another page of " + megabytes(bytes) + " MB",
                        "use a shorter context or --kv q8");
        }
        arena.free.push_back(data);
        ++arena.allocated;
    }
    auto page = std::make_unique<Page>(Page{arena.free.back()});
    arena.free.pop_back();
    return {page.release(), [keep = arena_](Page* returned) {
                keep->free.push_back(returned->data);
                delete returned;
            }};
}

uint64_t PagePool::pages_in_use() const {
    return arena_->allocated - arena_->free.size();
}

uint64_t PagePool::bytes_in_use() const {
    return pages_in_use() * arena_->page_bytes;
}

}  // namespace core
