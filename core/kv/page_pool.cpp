// Pages are cut from slabs on huge pages and kept on a free list. Attention at depth walks all of
// K and V once per token; with 4 KB pages its TLB misses cost 12 % (docs/decisions/020).
#include "core/kv/page_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace core {
namespace {

constexpr size_t kPageAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
// Large enough that the part of its last huge page that no page uses does not matter.
constexpr size_t kSlabBytes = size_t{16} << 20;

size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

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

PageLayout::PageLayout(std::span<const KvLayerShape> layers, KvType type)
    : type_(type), shape_(layers.begin(), layers.end()) {
    layers_.reserve(layers.size());
    for (const KvLayerShape& shape : layers) {
        Layer layer;
        layer.offset = page_bytes_;
        layer.k_bytes = k_bytes(type, shape.head_dim);
        layer.head_bytes = layer.k_bytes + v_bytes(type, shape.head_dim);
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
    return shape_[layer].head_dim;
}

void PageLayout::copy_rows(uint32_t rows, std::span<const std::byte> from,
                           std::span<std::byte> to) const {
    std::ranges::fill(to, std::byte{0});
    const size_t value = kv_value_bytes(type_);
    size_t at = 0;
    // `count` runs of `stride` bytes, of which the first `used` are copied.
    const auto copy = [&](size_t count, size_t stride, size_t used) {
        for (size_t run = 0; run < count; ++run, at += stride)
            std::memcpy(to.data() + at, from.data() + at, used);
    };
    const auto copy_k = [&](size_t count, size_t bytes) {
        copy(count, bytes * kPagePositions, bytes * rows);
    };
    const auto copy_v = [&](size_t stride, size_t used) {
        copy(rows, stride, used);
        at += stride * (kPagePositions - rows);
    };
    for (const KvLayerShape& layer : shape_) {
        const size_t scales = type_ == KvType::q8 ? kv_blocks(layer.head_dim) : 0;
        for (uint32_t head = 0; head < layer.kv_heads; ++head) {
            copy_k(layer.head_dim, value);
            copy_k(scales, sizeof(float));
            copy_v(value * padded_dim(layer.head_dim), value * layer.head_dim);
            copy_v(scales * sizeof(float), scales * sizeof(float));
        }
    }
}

// Pages hold a reference to the arena, so that a sequence may outlive its pool.
struct PagePool::Arena {
    size_t page_bytes = 0;  // a multiple of kPageAlignment
    uint64_t budget_pages = 0;
    uint64_t allocated = 0;  // pages, free ones included
    std::vector<std::byte*> free;
    std::vector<std::byte*> slabs;

    Arena(size_t bytes, uint64_t budget_bytes)
        : page_bytes(bytes), budget_pages(bytes == 0 ? 0 : budget_bytes / bytes) {}
    ~Arena() {
        for (std::byte* slab : slabs)
            std::free(slab);
    }
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    // Adds free pages and returns their memory; nothing when the system has none.
    // REQUIRES: allocated < budget_pages.
    std::span<std::byte> grow() {
        const uint64_t pages =
            std::clamp<uint64_t>(kSlabBytes / page_bytes, 1, budget_pages - allocated);
        const size_t bytes = pages * page_bytes;
        const size_t alignment = bytes < kHugePage ? kPageAlignment : kHugePage;
        // The free list never grows when a page comes back, so that a release cannot throw.
        free.reserve(allocated + pages);
        slabs.reserve(slabs.size() + 1);
        auto* slab =
            static_cast<std::byte*>(std::aligned_alloc(alignment, round_up(bytes, alignment)));
        if (slab == nullptr) return {};
        if (alignment == kHugePage)
            (void)madvise(slab, round_up(bytes, alignment), MADV_HUGEPAGE);  // a wish, not a need
        slabs.push_back(slab);
        allocated += pages;
        for (uint64_t page = pages; page-- > 0;)
            free.push_back(slab + page * page_bytes);
        return {slab, bytes};
    }
};

PagePool::PagePool(PageLayout layout, uint64_t budget_bytes)
    : layout_(std::move(layout)),
      arena_(std::make_shared<Arena>(layout_.page_bytes(), budget_bytes)) {}

PagePool::~PagePool() = default;

PageRef PagePool::allocate() {
    if (PageRef page = try_allocate()) return page;
    const Arena& arena = *arena_;
    constexpr const char* kAdvice = "use a shorter context or --kv q8";
    if (arena.allocated == arena.budget_pages)
        throw Error(
            ErrorKind::memory, "KV cache",
            "its budget of " + megabytes(arena.budget_pages * arena.page_bytes) + " MB is spent",
            kAdvice);
    throw Error(ErrorKind::memory, "KV cache",
                "no memory for another page of " + megabytes(arena.page_bytes) + " MB", kAdvice);
}

PageRef PagePool::try_allocate() {
    Arena& arena = *arena_;
    if (arena.free.empty() && (arena.allocated == arena.budget_pages || arena.grow().empty()))
        return {};
    auto page = std::make_unique<Page>(Page{arena.free.back()});
    arena.free.pop_back();
    return {page.release(), [keep = arena_](Page* returned) {
                keep->free.push_back(returned->data);
                delete returned;
            }};
}

// In steps, so that stopping takes no longer than one. The system call leaves what pages hold as it
// is; kernels before 5.14 do not know it, and the first use of a page costs more there.
void PagePool::populate(uint64_t bytes) {
    Arena& arena = *arena_;
    std::vector<std::span<std::byte>> slabs;
    for (uint64_t taken = 0; taken < bytes && arena.allocated < arena.budget_pages;) {
        const auto slab = arena.grow();
        if (slab.size() < kHugePage) break;
        slabs.push_back(slab);
        taken += slab.size();
    }
    std::ranges::reverse(slabs);  // the order in which pages are given out
    populating_ = std::jthread([slabs = std::move(slabs)](const std::stop_token& stop) {
        for (std::span<std::byte> rest : slabs)
            for (; !rest.empty() && !stop.stop_requested();) {
                const auto step = rest.first(std::min(rest.size(), kHugePage));
                if (::madvise(step.data(), step.size(), MADV_POPULATE_WRITE) != 0) return;
                rest = rest.subspan(step.size());
            }
    });
}

uint64_t PagePool::pages_in_use() const {
    return arena_->allocated - arena_->free.size();
}

uint64_t PagePool::bytes_in_use() const {
    return pages_in_use() * arena_->page_bytes;
}

}  // namespace core
