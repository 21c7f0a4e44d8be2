// A block of any quantized type taken apart: the one place that knows the bits of each type.
// Dequantizing, packing for the kernels and quantizing are written in terms of these parts.
//
//   value[i] = scale * factors[i / sub] * level(codes[i]) - minimum * minimums[i / sub]
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tensor/blocks.h"
#include "core/tensor/dtype.h"

namespace core {

struct BlockParts {
    uint16_t scale = 0;    // IEEE half; bf16 for MXFP4
    uint16_t minimum = 0;  // IEEE half; what is subtracted
    std::array<int8_t, kSuperBlock / 16> factors = {};
    std::array<uint8_t, kSuperBlock / 16> minimums = {};
    std::array<uint8_t, kSuperBlock> codes = {};
};

// What is the same for every block of a type.
struct QuantLayout {
    DType type = DType::q4_0;
    uint32_t block = kBlock;
    uint32_t sub = kBlock;  // elements that share a factor and a minimum
    bool has_minimum = false;
    int32_t offset = 0;             // level = code - offset ...
    const int8_t* table = nullptr;  // ... or table[code]
    void (*take_apart)(const std::byte* block, BlockParts& parts) = nullptr;
    // Null where moxie writes no such blocks.
    void (*put_together)(const BlockParts& parts, std::byte* block) = nullptr;

    int32_t level(uint8_t code) const { return table != nullptr ? table[code] : code - offset; }
};

// Null for types that are not quantized in blocks.
const QuantLayout* quant_layout(DType type);

float scale_of(const QuantLayout& layout, const BlockParts& parts);

// `values` [layout.block]. One rounding, at the end.
void values_of_parts(const QuantLayout& layout, const BlockParts& parts, std::span<float> values);

}  // namespace core
