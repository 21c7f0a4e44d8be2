// Storage blocks of the tensor types that moxie computes with, as they lie in a GGUF file
// (ggml-common.h; layouts in docs/formats.md). Fields are little-endian; a row of a tensor is a
// sequence of blocks along the input dimension, without padding.
//
//   F32   float             F16   IEEE half in uint16_t          BF16  upper half of a float
//   I8C   int8_t; value = q * scale[group], the BF16 scales lie in a tensor of their own
#pragma once

#include <cstddef>
#include <cstdint>

namespace core {

inline constexpr uint32_t kBlock = 32;  // elements of a Q8_0 or Q4_0 block

// value[i] = d * quants[i]
struct BlockQ8 {
    uint16_t scale;         // d, IEEE half
    int8_t quants[kBlock];  // -127..127
};
static_assert(sizeof(BlockQ8) == 34 && alignof(BlockQ8) == 2);

// value[i] = d * (n - 8), n the low nibble of quants[i] for i < 16, else the high nibble of
// quants[i - 16]: elements i and i + 16 share a byte.
struct BlockQ4 {
    uint16_t scale;              // d, IEEE half
    uint8_t quants[kBlock / 2];  // two nibbles, 0..15
};
static_assert(sizeof(BlockQ4) == 18 && alignof(BlockQ4) == 2);

}  // namespace core
