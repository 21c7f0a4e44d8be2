// Attention over paged K and V, split over sequences, kv heads and blocks of queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/pool.h"
#include "core/kernels/kernels.h"
#include "core/kernels/vector.h"
#include "core/ops/matmul.h"

namespace core {

// What attention of one layer needs to know about its shape and its place in a page.
struct AttentionLayer {
    KvType type = KvType::f32;
    uint32_t heads = 0;
    uint32_t kv_heads = 0;
    uint32_t head_dim = 0;
    float scale = 1.0F;
    float softcap = 0.0F;
    uint32_t temperature_length = 0;
    uint32_t window = 0;
    size_t k_offset = 0;  // of kv head 0 within a page
    size_t v_offset = 0;
    size_t head_bytes = 0;  // from one kv head to the next
};

// Rows [row, row + count) of the batch: consecutive tokens of one sequence.
struct AttentionSlice {
    uint32_t row = 0;
    uint32_t count = 0;
    uint32_t position = 0;               // of the first token
    std::vector<std::byte*> pages;       // page p holds positions from p * kPagePositions on
    const CancelFlag* cancel = nullptr;  // set: the slice's output is garbage
};

// Rounds K and V of one row to the KV type and stores them in the slice's pages.
// k and v: [kv_heads, head_dim] of row `index` of the slice.
void store_row(const VectorKernels& kernels, const AttentionLayer& layer,
               const AttentionSlice& slice, uint32_t index, const float* k, const float* v);

// Scratch memory of the workers, reused between calls.
class AttentionScratch {
  public:
    // Makes room for `workers` times `floats` and returns the stride between workers.
    size_t reserve(unsigned workers, size_t floats);
    float* worker(unsigned index) { return base_ + stride_ * index; }

  private:
    std::vector<float> storage_;
    float* base_ = nullptr;  // 64-byte aligned within storage_
    size_t stride_ = 0;
};

// q, out: [rows, heads * head_dim]. One region of the pool.
// REQUIRES: K and V of every row are stored.
void attention(const Kernels& kernels, Pool& pool, const AttentionLayer& layer,
               std::span<const AttentionSlice> slices, const float* q, float* out,
               AttentionScratch& scratch);

}  // namespace core
