// What each tier gives to the table. Only dispatch.cpp calls these.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/kernels/kernels.h"
#include "core/tensor/blocks.h"

// Clang knows no `#pragma GCC target`: what it builds, the fuzz targets, has the scalar tier only.
#if defined(__x86_64__) && !defined(__clang__)
#define MOXIE_X86_TIERS 1
#else
#define MOXIE_X86_TIERS 0
#endif

namespace core {

// Columns of a quantized block of activations and of Q8_0, Q4_0 and I8C weights.
inline constexpr uint32_t kBlockCols = 32;

// A block scale d below this counts as zero: its reciprocal would not be a finite float.
inline constexpr float kSmallestScale = 1.17549435e-38F;  // the smallest normal float

// Parts of a packed panel (core/tensor/matrix.h): a line with the scales of two blocks or of a
// group, and the values of a block of 16 rows x 32 columns.
inline constexpr size_t kScaleLine = 64;
inline constexpr size_t kBlockScales = 2 * kPanelRows;
inline constexpr size_t kByteBlock = size_t{kBlockCols} * kPanelRows;
inline constexpr size_t kNibbleBlock = size_t{kBlockCols} / 2 * kPanelRows;

// Offsets within a panel of Q8_0 or Q4_0, whose blocks have `block_bytes` of values.
constexpr size_t scales_of_block(size_t block, size_t block_bytes) {
    return block / 2 * (kScaleLine + 2 * block_bytes) + block % 2 * kBlockScales;
}
constexpr size_t values_of_block(size_t block, size_t block_bytes) {
    return (block / 2 + 1) * kScaleLine + block * block_bytes;
}

// Offset within an I8C panel of a block that lies in a group of `group_blocks`; the scales of a
// group lie where its next block would.
constexpr size_t values_of_group_block(size_t block, size_t group_blocks) {
    return block * kByteBlock + block / group_blocks * kScaleLine;
}

// The offsets that make stored weights unsigned.
inline constexpr int32_t kQ8Offset = 128;
inline constexpr int32_t kQ4Offset = 8;

// Codes of the types of panel_layout.h as a product of unsigned weights takes them: level + offset.
struct CodeTable {
    uint8_t values[16];
};
constexpr bool has_table(DType type) {
    return type == DType::iq4_nl || type == DType::iq4_xs || type == DType::mxfp4;
}
constexpr int32_t unsigned_offset(DType type) {
    switch (type) {
        case DType::iq4_nl:
        case DType::iq4_xs: return 128;
        case DType::mxfp4: return 12;
        case DType::q5_0: return 16;
        case DType::q3_k: return 4;
        case DType::q6_k: return 32;
        default: return 0;
    }
}
constexpr CodeTable code_table(DType type, int32_t offset) {
    CodeTable table{};
    for (size_t i = 0; i < 16; ++i) {
        const int8_t* levels = type == DType::mxfp4 ? kMxfp4Levels : kIq4Levels;
        table.values[i] = static_cast<uint8_t>(levels[i] + offset);
    }
    return table;
}
template <DType Type>
inline constexpr CodeTable kUnsignedTable = code_table(Type, unsigned_offset(Type));
template <DType Type>
inline constexpr CodeTable kSignedTable = code_table(Type, 0);  // bytes of int8

// Sum of columns [0, 16) or [16, 32) of a block of activations.
inline int32_t half_sum(const ActivationView& x, size_t block, int half) {
    return half == 0 ? x.half_sums[block] : x.sums[block] - x.half_sums[block];
}

// Each overwrites the functions that its tier does better. The first fills the whole table.
void apply_scalar(Kernels& kernels);
void apply_quants_scalar(Kernels& kernels);
#if MOXIE_X86_TIERS
void apply_avx2(Kernels& kernels);
void apply_quants_avx2(Kernels& kernels);
void apply_avx512vnni(Kernels& kernels);
void apply_quants_avx512vnni(Kernels& kernels);
#endif

}  // namespace core
