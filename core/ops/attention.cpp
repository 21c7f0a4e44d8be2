#include "core/ops/attention.h"

#include <algorithm>

namespace core {
namespace {

// Query rows (heads x queries) of a task. More share each load of K and V; beyond this the scores
// and sums of a task leave the L1 cache, and short prompts have too few tasks to share.
constexpr uint32_t kRowsPerTask = 32;

constexpr size_t kCacheLineFloats = 16;

// A run of queries of one slice and one kv head.
struct Block {
    uint32_t slice;
    uint32_t kv_head;
    uint32_t first;
    uint32_t count;
};

AttentionTask task_of(const AttentionLayer& layer, const AttentionSlice& slice,
                      const Block& block) {
    const uint32_t group = layer.heads / layer.kv_heads;
    AttentionTask task;
    task.type = layer.type;
    task.head_dim = layer.head_dim;
    task.heads = group;
    task.queries = block.count;
    task.position = slice.position + block.first;
    task.scale = layer.scale;
    task.softcap = layer.softcap;
    task.temperature_length = layer.temperature_length;
    task.window = layer.window;
    task.pages = slice.pages.data();
    task.k_offset = layer.k_offset + layer.head_bytes * block.kv_head;
    task.v_offset = layer.v_offset + layer.head_bytes * block.kv_head;
    return task;
}

}  // namespace

void store_row(const VectorKernels& kernels, const AttentionLayer& layer,
               const AttentionSlice& slice, uint32_t index, const float* k, const float* v) {
    const uint32_t position = slice.position + index;
    std::byte* page = slice.pages[position / kPagePositions];
    for (uint32_t head = 0; head < layer.kv_heads; ++head) {
        kernels.store_kv({.type = layer.type,
                          .head_dim = layer.head_dim,
                          .row = position % kPagePositions,
                          .k = k + size_t{head} * layer.head_dim,
                          .v = v + size_t{head} * layer.head_dim,
                          .k_page = page + layer.k_offset + layer.head_bytes * head,
                          .v_page = page + layer.v_offset + layer.head_bytes * head});
    }
}

size_t AttentionScratch::reserve(unsigned workers, size_t floats) {
    stride_ = (floats + kCacheLineFloats - 1) / kCacheLineFloats * kCacheLineFloats;
    storage_.resize(std::max(storage_.size(), stride_ * workers + kCacheLineFloats));
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    base_ = storage_.data() + (64 - address % 64) % 64 / sizeof(float);
    return stride_;
}

void attention(const Kernels& kernels, Pool& pool, const AttentionLayer& layer,
               std::span<const AttentionSlice> slices, const float* q, float* out,
               AttentionScratch& scratch) {
    const uint32_t group = layer.heads / layer.kv_heads;
    const uint32_t queries = std::max(1U, kRowsPerTask / group);
    std::vector<Block> blocks;
    // Later queries see more keys: the longest tasks go first, so that none is left for the end.
    for (uint32_t s = 0; s < slices.size(); ++s) {
        for (uint32_t end = slices[s].count; end > 0;) {
            const uint32_t count = (end - 1) % queries + 1;
            end -= count;
            for (uint32_t head = 0; head < layer.kv_heads; ++head)
                blocks.push_back({s, head, end, count});
        }
    }
    scratch.reserve(pool.size(), attention_scratch(layer.head_dim, group * queries));
    const size_t row_floats = size_t{layer.heads} * layer.head_dim;
    pool.run(blocks.size(), [&](size_t index, unsigned worker) {
        const Block& block = blocks[index];
        const AttentionSlice& slice = slices[block.slice];
        // Relaxed: nothing is published with the flag; a late view of it only costs a task.
        if (slice.cancel != nullptr && slice.cancel->load(std::memory_order_relaxed)) return;
        AttentionTask task = task_of(layer, slice, block);
        const size_t at = (size_t{slice.row} + block.first) * row_floats +
                          size_t{block.kv_head} * group * layer.head_dim;
        task.q = q + at;
        task.q_stride = row_floats;
        task.out = out + at;
        task.out_stride = row_floats;
        task.scratch = scratch.worker(worker);
        kernels.vector->attention(task);
    });
}

}  // namespace core
