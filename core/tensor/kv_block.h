// How K and V of one head lie in one page of the KV cache: the storage format that core/kv
// allocates and core/kernels reads and writes.
//
//   K  dimension-major, values[head_dim][kPagePositions]: a SIMD lane is a key
//   V  position-major, values[kPagePositions][padded_dim(head_dim)]: a SIMD lane is a dimension
//   q8 int8 values, followed by one f32 scale per (position, 32 dimensions); the last block of a
//      head is shorter when head_dim is not a multiple of 32:
//      K scales[blocks][kPagePositions], V scales[kPagePositions][blocks]
#pragma once

#include <cstddef>
#include <cstdint>

namespace core {

enum class KvType : uint8_t { f32, f16, q8 };

// Positions of a page: docs/decisions/020-page-size.md.
inline constexpr uint32_t kPagePositions = 64;

// Dimensions that share a q8 scale.
inline constexpr uint32_t kKvBlock = 32;

// V rows are padded to whole vectors of 16; what lies in the padding is never used.
constexpr uint32_t padded_dim(uint32_t head_dim) {
    return (head_dim + 15) / 16 * 16;
}

constexpr uint32_t kv_blocks(uint32_t head_dim) {
    return (head_dim + kKvBlock - 1) / kKvBlock;
}

constexpr size_t kv_value_bytes(KvType type) {
    return type == KvType::f32 ? 4 : type == KvType::f16 ? 2 : 1;
}

// Bytes of the scales of K, and equally of V, of one head.
constexpr size_t kv_scale_bytes(KvType type, uint32_t head_dim) {
    return type == KvType::q8 ? sizeof(float) * kv_blocks(head_dim) * kPagePositions : 0;
}

// Bytes of K and of V of one head, scales included. Multiples of 64.
constexpr size_t k_bytes(KvType type, uint32_t head_dim) {
    return kv_value_bytes(type) * head_dim * kPagePositions + kv_scale_bytes(type, head_dim);
}
constexpr size_t v_bytes(KvType type, uint32_t head_dim) {
    return kv_value_bytes(type) * padded_dim(head_dim) * kPagePositions +
           kv_scale_bytes(type, head_dim);
}

}  // namespace core
