// Storage blocks of the tensor types that moxie computes with, as they lie in a GGUF file
// (ggml-common.h; layouts in docs/formats.md). Fields are little-endian; a row of a tensor is a
// sequence of blocks along the input dimension, without padding. What the fields mean is written
// once, in block_parts.cpp.
//
//   F32   float             F16   IEEE half in uint16_t          BF16  upper half of a float
//   I8C   int8_t; value = q * scale[group], the BF16 scales lie in a tensor of their own
#pragma once

#include <cstddef>
#include <cstdint>

namespace core {

inline constexpr uint32_t kBlock = 32;        // elements of a block of the plain types
inline constexpr uint32_t kSuperBlock = 256;  // of the K-quants and IQ4_XS

// Values of IQ4_NL and IQ4_XS, and twice those of MXFP4 (e2m1).
inline constexpr int8_t kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};
inline constexpr int8_t kMxfp4Levels[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

// value[i] = d * quants[i]
struct BlockQ8 {
    uint16_t scale;         // d, IEEE half
    int8_t quants[kBlock];  // -127..127
};
static_assert(sizeof(BlockQ8) == 34 && alignof(BlockQ8) == 2);

// value[i] = d * (n - 8), n the low nibble of quants[i] for i < 16, else the high nibble of
// quants[i - 16]: elements i and i + 16 share a byte. IQ4_NL: the same with a table for n - 8.
struct BlockQ4 {
    uint16_t scale;              // d, IEEE half
    uint8_t quants[kBlock / 2];  // two nibbles, 0..15
};
static_assert(sizeof(BlockQ4) == 18 && alignof(BlockQ4) == 2);

// value[i] = d * n + m
struct BlockQ4WithMinimum {
    uint16_t scale;
    uint16_t minimum;
    uint8_t quants[kBlock / 2];
};
static_assert(sizeof(BlockQ4WithMinimum) == 20);

// value[i] = d * ((n | bit << 4) - 16), bit i of `high`. In bytes, because the number would ask for
// an alignment that the file does not have.
struct BlockQ5 {
    uint16_t scale;
    uint8_t high[kBlock / 8];
    uint8_t quants[kBlock / 2];
};
static_assert(sizeof(BlockQ5) == 22 && alignof(BlockQ5) == 2);

// value[i] = d * (n | bit << 4) + m
struct BlockQ5WithMinimum {
    uint16_t scale;
    uint16_t minimum;
    uint8_t high[kBlock / 8];
    uint8_t quants[kBlock / 2];
};
static_assert(sizeof(BlockQ5WithMinimum) == 24 && alignof(BlockQ5WithMinimum) == 2);

// value[i] = table[n] * 2^(exponent - 128)
struct BlockMxfp4 {
    uint8_t exponent;  // E8M0 of twice the value's unit
    uint8_t quants[kBlock / 2];
};
static_assert(sizeof(BlockMxfp4) == 17);

// 16 sub-blocks of 16: value = d * (scales & 15) * q - dmin * (scales >> 4)
struct BlockQ2K {
    uint8_t scales[kSuperBlock / 16];
    uint8_t quants[kSuperBlock / 4];  // two bits each
    uint16_t scale;
    uint16_t minimum;
};
static_assert(sizeof(BlockQ2K) == 84);

// 16 sub-blocks of 16: value = d * (six bits - 32) * (two bits - (high bit ? 0 : 4))
struct BlockQ3K {
    uint8_t high[kSuperBlock / 8];
    uint8_t quants[kSuperBlock / 4];
    uint8_t scales[12];
    uint16_t scale;
};
static_assert(sizeof(BlockQ3K) == 110);

// 8 sub-blocks of 32: value = d * sc * n - dmin * m, sc and m of six bits in `scales`
struct BlockQ4K {
    uint16_t scale;
    uint16_t minimum;
    uint8_t scales[12];
    uint8_t quants[kSuperBlock / 2];
};
static_assert(sizeof(BlockQ4K) == 144);

struct BlockQ5K {
    uint16_t scale;
    uint16_t minimum;
    uint8_t scales[12];
    uint8_t high[kSuperBlock / 8];
    uint8_t quants[kSuperBlock / 2];
};
static_assert(sizeof(BlockQ5K) == 176);

// 16 sub-blocks of 16: value = d * sc * (six bits - 32)
struct BlockQ6K {
    uint8_t low[kSuperBlock / 2];
    uint8_t high[kSuperBlock / 4];
    int8_t scales[kSuperBlock / 16];
    uint16_t scale;
};
static_assert(sizeof(BlockQ6K) == 210);

// 8 sub-blocks of 32: value = d * (six bits - 32) * table[n]
struct BlockIq4Xs {
    uint16_t scale;
    uint8_t scales_high[2];
    uint8_t scales_low[kSuperBlock / 64];
    uint8_t quants[kSuperBlock / 2];
};
static_assert(sizeof(BlockIq4Xs) == 136);

}  // namespace core
