#include "core/tensor/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "core/base/error.h"
#include "core/base/half.h"
#include "core/tensor/block_parts.h"
#include "core/tensor/blocks.h"
#include "core/tensor/quantize_k.h"

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

// ---- Blocks of 32, with the rounding of ggml's reference quantizers

using Values = std::span<const float>;

void set_scale(BlockParts& parts, float scale, float minimum = 0.0F) {
    parts.scale = f32_to_f16(scale);
    parts.minimum = f32_to_f16(minimum);
}

void encode_q8_0(Values values, BlockParts& parts) {
    const float scale = std::fabs(extreme(values)) / 127.0F;
    const float factor = inverse(scale);
    set_scale(parts, scale);
    for (size_t i = 0; i < kBlock; ++i)
        parts.codes[i] =
            static_cast<uint8_t>(truncate(std::round(values[i] * factor), -127, 127) + 128);
}

// The value of largest magnitude becomes exactly -2^(bits - 1), so that the one level that has no
// counterpart is used.
template <int Bits>
void encode_symmetric(Values values, BlockParts& parts) {
    constexpr auto kHalf = static_cast<float>(1 << (Bits - 1));
    const float scale = extreme(values) / -kHalf;
    const float factor = inverse(scale);
    set_scale(parts, scale);
    for (size_t i = 0; i < kBlock; ++i)
        parts.codes[i] =
            static_cast<uint8_t>(truncate(values[i] * factor + (kHalf + 0.5F), 0, (1 << Bits) - 1));
}

template <int Bits>
void encode_with_minimum(Values values, BlockParts& parts) {
    constexpr int kMost = (1 << Bits) - 1;
    const auto [low, high] = std::ranges::minmax(values);
    const float scale = (high - low) / static_cast<float>(kMost);
    const float factor = inverse(scale);
    set_scale(parts, scale, -low);
    for (size_t i = 0; i < kBlock; ++i)
        parts.codes[i] =
            static_cast<uint8_t>(truncate((values[i] - low) * factor + 0.5F, 0, kMost));
}

// The nearest level of the table, for the scale that sends the extreme to the largest one.
void encode_iq4_nl(Values values, BlockParts& parts) {
    const float scale = extreme(values) / static_cast<float>(kIq4Levels[0]);
    const float factor = inverse(scale);
    set_scale(parts, scale);
    for (size_t i = 0; i < kBlock; ++i) {
        const float wanted = values[i] * factor;
        size_t code = 0;
        while (code + 1 < std::size(kIq4Levels) &&
               wanted > static_cast<float>(kIq4Levels[code] + kIq4Levels[code + 1]) / 2)
            ++code;
        parts.codes[i] = static_cast<uint8_t>(code);
    }
}

struct Encoder {
    DType type;
    void (*encode)(Values values, BlockParts& parts);
};

constexpr Encoder kEncoders[] = {
    {DType::q8_0, encode_q8_0},
    {DType::q4_0, encode_symmetric<4>},
    {DType::q4_1, encode_with_minimum<4>},
    {DType::q5_0, encode_symmetric<5>},
    {DType::q5_1, encode_with_minimum<5>},
    {DType::iq4_nl, encode_iq4_nl},
    {DType::q4_k, encode_q4_k},
    {DType::q5_k, encode_q5_k},
    {DType::q6_k, encode_q6_k},
};

const Encoder* encoder_of(DType type) {
    const auto* found = std::ranges::find(kEncoders, type, &Encoder::type);
    return found == std::end(kEncoders) ? nullptr : found;
}

void encode_blocks(DType type, std::span<const float> row, std::byte* out) {
    const QuantLayout& layout = *quant_layout(type);
    const Encoder& encoder = *encoder_of(type);
    const uint32_t bytes = traits(type).bytes;
    for (size_t i = 0; i < row.size(); i += layout.block, out += bytes) {
        BlockParts parts;
        encoder.encode(row.subspan(i, layout.block), parts);
        layout.put_together(parts, out);
    }
}

void decode_blocks(DType type, const std::byte* blocks, std::span<float> row) {
    const QuantLayout& layout = *quant_layout(type);
    const uint32_t bytes = traits(type).bytes;
    BlockParts parts;
    for (size_t i = 0; i < row.size(); i += layout.block, blocks += bytes) {
        layout.take_apart(blocks, parts);
        values_of_parts(layout, parts, row.subspan(i, layout.block));
    }
}

bool is_float(DType type) {
    return type == DType::f32 || type == DType::f16 || type == DType::bf16;
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

bool can_quantize(DType type) {
    return is_float(type) || encoder_of(type) != nullptr;
}

bool can_dequantize(DType type) {
    return is_float(type) || quant_layout(type) != nullptr;
}

void quantize_row(DType type, std::span<const float> row, std::span<std::byte> out) {
    MOXIE_CHECK(can_quantize(type) && out.size() == row_bytes(type, row.size()));
    if (row.empty()) return;
    switch (type) {
        case DType::f32: std::memcpy(out.data(), row.data(), out.size()); break;
        case DType::f16: encode_halves(row, out.data(), f32_to_f16); break;
        case DType::bf16: encode_halves(row, out.data(), f32_to_bf16); break;
        default: encode_blocks(type, row, out.data()); break;
    }
}

void dequantize_row(DType type, std::span<const std::byte> blocks, std::span<float> row) {
    MOXIE_CHECK(can_dequantize(type) && blocks.size() == row_bytes(type, row.size()));
    if (row.empty()) return;
    switch (type) {
        case DType::f32: std::memcpy(row.data(), blocks.data(), blocks.size()); break;
        case DType::f16: decode_halves(blocks.data(), row, f16_to_f32); break;
        case DType::bf16: decode_halves(blocks.data(), row, bf16_to_f32); break;
        default: decode_blocks(type, blocks.data(), row); break;
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
