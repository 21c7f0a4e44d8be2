#include "core/tensor/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/base/half.h"
#include "core/tensor/blocks.h"

namespace core {
namespace {

// The first element of largest magnitude, with its sign.
float extreme(std::span<const float> values) {
    float found = 0.0f;
    for (const float value : values)
        if (std::fabs(value) > std::fabs(found)) found = value;
    return found;
}

float inverse(float value) {
    return value != 0.0f ? 1.0f / value : 0.0f;
}

// Truncates towards zero; what a conversion of NaN or a huge value would leave undefined is
// clamped. The order of the comparisons sends NaN to `low`.
int truncate(float value, int low, int high) {
    if (!(value > static_cast<float>(low))) return low;
    if (value >= static_cast<float>(high)) return high;
    return static_cast<int>(value);
}

BlockQ8 quantize_block_q8(std::span<const float, kBlock> values) {
    const float scale = std::fabs(extreme(values)) / 127.0f;
    const float factor = inverse(scale);
    BlockQ8 block = {.scale = f32_to_f16(scale), .quants = {}};
    for (size_t i = 0; i < kBlock; ++i)
        block.quants[i] = static_cast<int8_t>(truncate(std::round(values[i] * factor), -127, 127));
    return block;
}

BlockQ4 quantize_block_q4(std::span<const float, kBlock> values) {
    // The value of largest magnitude becomes exactly -8, so that the one level that has no
    // counterpart is used.
    const float scale = extreme(values) / -8.0f;
    const float factor = inverse(scale);
    const auto nibble = [&](size_t i) {
        return static_cast<uint8_t>(truncate(values[i] * factor + 8.5f, 0, 15));
    };
    BlockQ4 block = {.scale = f32_to_f16(scale), .quants = {}};
    for (size_t i = 0; i < kBlock / 2; ++i)
        block.quants[i] = static_cast<uint8_t>(nibble(i) | (nibble(i + kBlock / 2) << 4));
    return block;
}

void dequantize_block(const BlockQ8& block, std::span<float, kBlock> values) {
    const float scale = f16_to_f32(block.scale);
    for (size_t i = 0; i < kBlock; ++i)
        values[i] = scale * static_cast<float>(block.quants[i]);
}

void dequantize_block(const BlockQ4& block, std::span<float, kBlock> values) {
    const float scale = f16_to_f32(block.scale);
    for (size_t i = 0; i < kBlock / 2; ++i) {
        values[i] = scale * static_cast<float>((block.quants[i] & 15) - 8);
        values[i + kBlock / 2] = scale * static_cast<float>((block.quants[i] >> 4) - 8);
    }
}

// memcpy throughout: blocks of a file have no alignment that C++ knows of.
template <class Block, class Encode>
void encode_blocks(std::span<const float> row, std::byte* out, Encode encode) {
    for (size_t i = 0; i < row.size(); i += kBlock) {
        const Block block = encode(row.subspan(i).first<kBlock>());
        std::memcpy(out + i / kBlock * sizeof block, &block, sizeof block);
    }
}

template <class Block>
void decode_blocks(const std::byte* blocks, std::span<float> row) {
    for (size_t i = 0; i < row.size(); i += kBlock) {
        Block block{};
        std::memcpy(&block, blocks + i / kBlock * sizeof block, sizeof block);
        dequantize_block(block, row.subspan(i).first<kBlock>());
    }
}

template <class Encode>
void encode_halves(std::span<const float> row, std::byte* out, Encode encode) {
    for (size_t i = 0; i < row.size(); ++i) {
        const uint16_t bits = encode(row[i]);
        std::memcpy(out + i * sizeof bits, &bits, sizeof bits);
    }
}

template <class Decode>
void decode_halves(const std::byte* halves, std::span<float> row, Decode decode) {
    for (size_t i = 0; i < row.size(); ++i) {
        uint16_t bits = 0;
        std::memcpy(&bits, halves + i * sizeof bits, sizeof bits);
        row[i] = decode(bits);
    }
}

}  // namespace

size_t row_bytes(DType type, uint64_t cols) {
    const DTypeTraits& of = traits(type);
    MOXIE_CHECK(cols % of.block == 0);
    return cols / of.block * of.bytes;
}

bool has_row_codec(DType type) {
    return type == DType::f32 || type == DType::f16 || type == DType::bf16 || type == DType::q8_0 ||
           type == DType::q4_0;
}

void quantize_row(DType type, std::span<const float> row, std::span<std::byte> out) {
    MOXIE_CHECK(has_row_codec(type) && out.size() == row_bytes(type, row.size()));
    if (row.empty()) return;
    switch (type) {
        case DType::f32: std::memcpy(out.data(), row.data(), out.size()); break;
        case DType::f16: encode_halves(row, out.data(), f32_to_f16); break;
        case DType::bf16: encode_halves(row, out.data(), f32_to_bf16); break;
        case DType::q8_0: encode_blocks<BlockQ8>(row, out.data(), quantize_block_q8); break;
        default: encode_blocks<BlockQ4>(row, out.data(), quantize_block_q4); break;
    }
}

void dequantize_row(DType type, std::span<const std::byte> blocks, std::span<float> row) {
    MOXIE_CHECK(has_row_codec(type) && blocks.size() == row_bytes(type, row.size()));
    if (row.empty()) return;
    switch (type) {
        case DType::f32: std::memcpy(row.data(), blocks.data(), blocks.size()); break;
        case DType::f16: decode_halves(blocks.data(), row, f16_to_f32); break;
        case DType::bf16: decode_halves(blocks.data(), row, bf16_to_f32); break;
        case DType::q8_0: decode_blocks<BlockQ8>(blocks.data(), row); break;
        default: decode_blocks<BlockQ4>(blocks.data(), row); break;
    }
}

void quantize_i8c(std::span<const float> row, std::span<int8_t> quants,
                  std::span<uint16_t> scales) {
    MOXIE_CHECK(!scales.empty() && row.size() % scales.size() == 0 && quants.size() == row.size());
    const size_t width = row.size() / scales.size();
    for (size_t group = 0; group < scales.size(); ++group) {
        const auto values = row.subspan(group * width, width);
        scales[group] = f32_to_bf16(std::fabs(extreme(values)) / 127.0f);
        // Division by the scale as stored: bf16 has 8 bits, the difference is visible. Rounded
        // down it can ask for 127.25, so that 127 is still the nearest.
        const float scale = bf16_to_f32(scales[group]);
        for (size_t i = 0; i < width; ++i) {
            const float quotient = scale != 0.0f ? std::round(values[i] / scale) : 0.0f;
            quants[group * width + i] = static_cast<int8_t>(truncate(quotient, -127, 127));
        }
    }
}

void dequantize_i8c(std::span<const int8_t> quants, std::span<const uint16_t> scales,
                    std::span<float> row) {
    MOXIE_CHECK(!scales.empty() && row.size() % scales.size() == 0 && quants.size() == row.size());
    const size_t width = row.size() / scales.size();
    for (size_t i = 0; i < row.size(); ++i)
        row[i] = static_cast<float>(quants[i]) * bf16_to_f32(scales[i / width]);
}

}  // namespace core
