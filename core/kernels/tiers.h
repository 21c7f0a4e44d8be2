// What each tier gives to the table. Only dispatch.cpp calls these.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/kernels/kernels.h"

namespace core {

// Columns of a quantized block of activations and of Q8_0, Q4_0 and I8C weights.
inline constexpr uint32_t kBlockCols = 32;

// A block scale d below this counts as zero: its reciprocal would not be a finite float.
inline constexpr float kSmallestScale = 1.17549435e-38F;  // the smallest normal float

// Bytes of a packed block of 16 rows x 32 columns, its 16 f16 scales included.
inline constexpr size_t kPanelScaleBytes = 2 * kPanelRows;
inline constexpr size_t kQ8PanelBlock = kPanelScaleBytes + size_t{kBlockCols} * kPanelRows;
inline constexpr size_t kQ4PanelBlock = kPanelScaleBytes + size_t{kBlockCols} / 2 * kPanelRows;

// The offsets that make stored weights unsigned.
inline constexpr int32_t kQ8Offset = 128;
inline constexpr int32_t kQ4Offset = 8;

// Each overwrites the functions that its tier does better. The first fills the whole table.
void apply_scalar(Kernels& kernels);
#if defined(__x86_64__)
void apply_avx2(Kernels& kernels);
void apply_avx512vnni(Kernels& kernels);
#endif

}  // namespace core
