// Reference conversion between float rows and storage blocks.
//
// The rounding is that of ggml's reference quantizers (quantize_row_q8_0_ref, _q4_0_ref), so that a
// file of ours equals one made by the tools of the field, bit by bit. Plain code: the kernels never
// call it, writers and tests do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tensor/dtype.h"

namespace core {

// Bytes of a row of `cols` elements. REQUIRES: cols is a multiple of the type's block.
size_t row_bytes(DType type, uint64_t cols);

// True for the types that quantize_row and dequantize_row know: F32, F16, BF16, Q8_0, Q4_0.
bool has_row_codec(DType type);

// Converts one row. Values must be finite and, for Q8_0 and Q4_0, below 127 (8) times the largest
// half; others are stored as something, not as themselves.
// REQUIRES: has_row_codec(type); out.size() == row_bytes(type, row.size()).
void quantize_row(DType type, std::span<const float> row, std::span<std::byte> out);

// REQUIRES: has_row_codec(type); blocks.size() == row_bytes(type, row.size()).
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
