// Kernels that are no matrix product: norms, rotation, activations, softmax, KV rows, attention.
//
// One algorithm, three instantiations (vector_algorithms.h, attention_algorithm.h over the `Lanes`
// of a tier), so every tier gives the same bits. exp, tanh, gelu and silu come from one polynomial
// each. Sums over elements (norms, dot, softmax) use 16 virtual lanes, element i in lane i % 16,
// and one tree: lanes i and i + 8, then + 4, + 2, + 1.
// Accuracy against double, as tested: tanh 2e-7, silu 5e-7, norms 1e-6 and softmax 2e-6 relative;
// gelu 2e-6 of max(|y|, 1e-6), since exp multiplies the rounding of its large argument in the tail.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor/kv_block.h"

namespace core {

// K and V of one position of one kv head, to be rounded to the KV type and stored in a page.
struct KvRow {
    KvType type = KvType::f32;
    uint32_t head_dim = 0;
    uint32_t row = 0;             // position within the page
    const float* k = nullptr;     // [head_dim], rotated
    const float* v = nullptr;     // [head_dim]
    std::byte* k_page = nullptr;  // K of the head in the page, see kv_block.h
    std::byte* v_page = nullptr;
};

// Attention of consecutive queries of one sequence over the query heads that share one kv head.
// Query i stands at `position + i` and sees the keys at positions <= its own.
struct AttentionTask {
    KvType type = KvType::f32;
    uint32_t head_dim = 0;
    uint32_t heads = 0;  // query heads of the group
    uint32_t queries = 0;
    uint32_t position = 0;            // of the first query
    float scale = 1.0F;               // multiplies q.k before the cap
    float softcap = 0.0F;             // cap * tanh(s / cap); 0 = off
    uint32_t temperature_length = 0;  // position p > length: s * log2(p) / log2(length); 0 = off
    uint32_t window = 0;              // a query sees its last `window` positions; 0 = all
    const std::byte* const* pages = nullptr;  // page p holds positions from p * kPagePositions on
    size_t k_offset = 0;                      // of this head's K within a page; V likewise
    size_t v_offset = 0;
    const float* q = nullptr;  // [queries][heads][head_dim], queries q_stride floats apart
    size_t q_stride = 0;
    float* out = nullptr;  // [queries][heads][head_dim], queries out_stride floats apart
    size_t out_stride = 0;
    float* scratch = nullptr;  // attention_scratch(...) floats, 64-byte aligned
};

// Floats of scratch that a task with `rows` = heads * queries needs.
constexpr size_t attention_scratch(uint32_t head_dim, uint32_t rows) {
    const size_t padded = padded_dim(head_dim);
    return padded * kPagePositions + size_t{rows} * (2 * padded + kPagePositions) +
           3 * size_t{(rows + 15) / 16 * 16};
}

struct VectorKernels {
    // y = x / sqrt(mean(x^2) + epsilon) * weight. y may be x.
    void (*rms_norm)(const float* x, const float* weight, float epsilon, uint32_t n,
                     float* y) = nullptr;
    void (*add)(float* x, const float* y, uint32_t n) = nullptr;  // x += y
    void (*scale)(float* x, float factor, uint32_t n) = nullptr;  // x *= factor
    void (*add_scaled)(float* x, float w, const float* y,
                       uint32_t n) = nullptr;  // x = fma(w, y, x)
    // x = cap * tanh(x / cap).
    void (*softcap)(float* x, float cap, uint32_t n) = nullptr;
    // y = activation(gate) * up. y may be gate or up.
    void (*gelu_gate)(const float* gate, const float* up, uint32_t n, float* y) = nullptr;
    void (*silu_gate)(const float* gate, const float* up, uint32_t n, float* y) = nullptr;
    // x = exp(x - max) / sum. REQUIRES: n >= 1.
    void (*softmax)(float* x, uint32_t n) = nullptr;
    float (*dot)(const float* a, const float* b, uint32_t n) = nullptr;
    // Rotates the pairs (x[i], x[i + half]), or (x[2i], x[2i + 1]), by the angle with cos[i],
    // sin[i].
    void (*rotate_half)(float* x, const float* cos, const float* sin, uint32_t half) = nullptr;
    void (*rotate_adjacent)(float* x, const float* cos, const float* sin, uint32_t half) = nullptr;
    void (*store_kv)(const KvRow& row) = nullptr;
    void (*attention)(const AttentionTask& task) = nullptr;
};

const VectorKernels& vector_kernels_scalar();
const VectorKernels& vector_kernels_avx2();    // REQUIRES: cpu_features().avx2
const VectorKernels& vector_kernels_avx512();  // REQUIRES: cpu_features().avx512vnni

}  // namespace core
