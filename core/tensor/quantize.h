// Reference conversion between float rows and storage blocks.
//
// The rounding of blocks of 32 is that of ggml's reference quantizers (quantize_row_q8_0_ref and
// its like), so that a file of ours equals one made by the tools of the field, bit by bit; for the
// K-quants see quantize_k.h. Plain code: the kernels never call it, writers and tests do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tensor/dtype.h"

namespace core {

// Bytes of a row of `cols` elements. REQUIRES: cols is a multiple of the type's block.
size_t row_bytes(DType type, uint64_t cols);

// Types that floats are converted to (F32, F16, BF16 and the quantized ones that moxie writes), and
// types that are converted to floats (those and Q2_K, Q3_K, IQ4_XS, MXFP4).
bool can_quantize(DType type);
bool can_dequantize(DType type);

// Converts one row. Values must be finite, and below the largest half times the largest level of
// the type; others are stored as something, not as themselves.
// REQUIRES: can_quantize(type); out.size() == row_bytes(type, row.size()).
void quantize_row(DType type, std::span<const float> row, std::span<std::byte> out);

// REQUIRES: can_dequantize(type); blocks.size() == row_bytes(type, row.size()).
void dequantize_row(DType type, std::span<const std::byte> blocks, std::span<float> row);

// One row of I8C: groups = scales.size() runs of row.size() / groups columns, each with
// scale = bf16(max|x| / 127) and q = nearest(x / scale), ties away from zero, within +-127.
// REQUIRES: quants.size() == row.size(), a multiple of scales.size().
void quantize_i8c(std::span<const float> row, std::span<int8_t> quants, std::span<uint16_t> scales);

// row[k] = float(quants[k]) * scales[k / (cols / groups)], one rounding.
// REQUIRES: as above.
void dequantize_i8c(std::span<const int8_t> quants, std::span<const uint16_t> scales,
                    std::span<float> row);

}  // namespace core
