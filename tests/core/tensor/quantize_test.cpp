#include "core/tensor/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/half.h"
#include "core/tensor/blocks.h"

namespace core {
namespace {

template <class Block>
Block encode(DType type, const std::array<float, kBlock>& values) {
    Block block;
    std::array<std::byte, sizeof block> bytes{};
    quantize_row(type, values, bytes);
    std::memcpy(&block, bytes.data(), sizeof block);
    return block;
}

template <class Block>
std::array<float, kBlock> decode(DType type, const Block& block) {
    std::array<float, kBlock> values{};
    dequantize_row(type, std::as_bytes(std::span(&block, 1)), values);
    return values;
}

std::vector<float> random_row(size_t count, float scale, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<float> row(count);
    for (float& value : row)
        value = normal(random);
    return row;
}

// Bytes b[k] = (37 k + 11) mod 256 with the scale set to 0.5; the values come from ggml itself.
template <class Block>
std::array<float, kBlock> decode_pattern(DType type) {
    std::array<uint8_t, sizeof(Block)> bytes{};
    for (size_t k = 0; k < bytes.size(); ++k)
        bytes[k] = static_cast<uint8_t>(37 * k + 11);
    bytes[0] = 0x00;
    bytes[1] = 0x38;
    std::array<float, kBlock> values{};
    dequantize_row(type, std::as_bytes(std::span(bytes)), values);
    return values;
}

TEST(Dequantize, Q4GoldenVector) {
    const auto y = decode_pattern<BlockQ4>(DType::q4_0);
    EXPECT_EQ(std::vector(y.begin(), y.begin() + 4), (std::vector<float>{-1.5f, 1, 3.5f, -2}));
    EXPECT_EQ(std::vector(y.end() - 2, y.end()), (std::vector<float>{-1.5f, 0}));
    EXPECT_EQ(std::accumulate(y.begin(), y.end(), 0.0), -10.5);
}

TEST(Dequantize, Q8GoldenVector) {
    const auto y = decode_pattern<BlockQ8>(DType::q8_0);
    EXPECT_EQ(std::vector(y.begin(), y.begin() + 4), (std::vector<float>{42.5f, 61, -48.5f, -30}));
    EXPECT_EQ(std::vector(y.end() - 2, y.end()), (std::vector<float>{-42.5f, -24}));
    EXPECT_EQ(std::accumulate(y.begin(), y.end(), 0.0), -88.0);
}

TEST(Quantize, Q8RoundsHalfAwayFromZero) {
    std::array<float, kBlock> values{};
    values[0] = 127.0f;  // scale 1
    values[1] = 2.5f;
    values[2] = -2.5f;
    values[3] = 2.4999998f;
    values[31] = -127.0f;
    const auto block = encode<BlockQ8>(DType::q8_0, values);
    EXPECT_EQ(f16_to_f32(block.scale), 1.0f);
    EXPECT_EQ(block.quants[0], 127);
    EXPECT_EQ(block.quants[1], 3);
    EXPECT_EQ(block.quants[2], -3);
    EXPECT_EQ(block.quants[3], 2);
    EXPECT_EQ(block.quants[4], 0);
    EXPECT_EQ(block.quants[31], -127);
}

TEST(Quantize, Q8UsesTheScaleBeforeItIsStoredAsHalf) {
    // 1000/127 = 7.874016 is 7.875 as half; 3.9371 / 7.874016 = 0.50001 rounds up, divided by the
    // stored scale it would be 0.49995 and round down.
    std::array<float, kBlock> values{};
    values[0] = 1000.0f;
    values[1] = 3.9371f;
    const auto block = encode<BlockQ8>(DType::q8_0, values);
    EXPECT_EQ(f16_to_f32(block.scale), 7.875f);
    EXPECT_EQ(block.quants[1], 1);
}

TEST(Quantize, Q4SendsTheExtremeToMinusEight) {
    std::array<float, kBlock> values{};
    values[0] = 1.0f;
    values[5] = -4.0f;   // the extreme: scale 0.5
    values[16] = 3.9f;   // 7.8 + 8 rounds to 16, clamped to 15
    values[21] = 0.25f;  // 0.5 + 8.5 = 9 exactly
    values[22] = -0.25f;
    const auto block = encode<BlockQ4>(DType::q4_0, values);
    EXPECT_EQ(f16_to_f32(block.scale), 0.5f);
    EXPECT_EQ(block.quants[0] & 15, 10);
    EXPECT_EQ(block.quants[0] >> 4, 15) << "element 16 shares the byte of element 0";
    EXPECT_EQ(block.quants[5] & 15, 0);
    EXPECT_EQ(block.quants[5] >> 4, 9);
    EXPECT_EQ(block.quants[6] >> 4, 8);
    EXPECT_EQ(block.quants[1], 0x88);
}

TEST(Quantize, Q4ScaleIsNegativeWhenTheExtremeIsPositive) {
    std::array<float, kBlock> values{};
    values[3] = 8.0f;
    values[4] = -8.0f;  // not the first of largest magnitude
    const auto block = encode<BlockQ4>(DType::q4_0, values);
    EXPECT_EQ(f16_to_f32(block.scale), -1.0f);
    EXPECT_EQ(block.quants[3] & 15, 0);
    EXPECT_EQ(block.quants[4] & 15, 15);
    EXPECT_EQ(decode(DType::q4_0, block)[3], 8.0f);
    EXPECT_EQ(decode(DType::q4_0, block)[4], -7.0f);
}

TEST(Quantize, ZeroBlocksStayZero) {
    const std::array<float, kBlock> zeros{};
    const auto q8 = encode<BlockQ8>(DType::q8_0, zeros);
    EXPECT_EQ(q8.scale, 0);
    EXPECT_EQ(decode(DType::q8_0, q8), zeros);
    const auto q4 = encode<BlockQ4>(DType::q4_0, zeros);
    for (const uint8_t byte : q4.quants)
        EXPECT_EQ(byte, 0x88);
    for (const float value : decode(DType::q4_0, q4))
        EXPECT_EQ(value, 0.0f);
}

TEST(Quantize, ErrorIsAtMostHalfAStep) {
    const std::vector<float> row = random_row(64 * kBlock, 0.02f, 1);
    std::vector<float> back(row.size());
    std::vector<std::byte> bytes(row_bytes(DType::q8_0, row.size()));
    quantize_row(DType::q8_0, row, bytes);
    dequantize_row(DType::q8_0, bytes, back);
    for (size_t i = 0; i < row.size(); i += kBlock) {
        float largest = 0;
        for (size_t j = i; j < i + kBlock; ++j)
            largest = std::max(largest, std::fabs(row[j]));
        // Half a step of rounding, and up to 127 * 2^-11 steps because the scale is a half.
        for (size_t j = i; j < i + kBlock; ++j)
            EXPECT_LE(std::fabs(back[j] - row[j]), largest / 127 * (0.5f + 127.0f / 2048));
    }
}

TEST(Quantize, QuantizingWhatWasQuantizedChangesNothing) {
    const std::vector<float> row = random_row(256, 1.0f, 2);
    for (const DType type : {DType::f32, DType::f16, DType::bf16, DType::q8_0, DType::q4_0}) {
        std::vector<std::byte> once(row_bytes(type, row.size()));
        std::vector<std::byte> twice(once.size());
        std::vector<float> back(row.size());
        std::vector<float> again(row.size());
        quantize_row(type, row, once);
        dequantize_row(type, once, back);
        quantize_row(type, back, twice);
        dequantize_row(type, twice, again);
        EXPECT_EQ(back, again) << traits(type).name;
    }
}

TEST(Quantize, FloatTypesRoundOnce) {
    const std::vector<float> row = {1.0f, -0.1f, 65504.0f, 1e-7f};
    std::vector<float> back(row.size());
    std::vector<std::byte> bytes(8);
    quantize_row(DType::f16, row, bytes);
    dequantize_row(DType::f16, bytes, back);
    for (size_t i = 0; i < row.size(); ++i)
        EXPECT_EQ(back[i], f16_to_f32(f32_to_f16(row[i])));
    quantize_row(DType::bf16, row, bytes);
    dequantize_row(DType::bf16, bytes, back);
    for (size_t i = 0; i < row.size(); ++i)
        EXPECT_EQ(back[i], bf16_to_f32(f32_to_bf16(row[i])));
}

TEST(Quantize, ValuesThatAreNotFiniteDoNotBreakAnything) {
    std::array<float, kBlock> values{};
    values[0] = std::numeric_limits<float>::infinity();
    values[1] = std::numeric_limits<float>::quiet_NaN();
    values[2] = -std::numeric_limits<float>::max();
    encode<BlockQ8>(DType::q8_0, values);
    encode<BlockQ4>(DType::q4_0, values);
    std::vector<int8_t> quants(kBlock);
    std::vector<uint16_t> scales(1);
    quantize_i8c(values, quants, scales);  // nothing to compare: the sanitizer watches
}

TEST(QuantizeI8c, EachGroupHasItsScale) {
    std::vector<float> row(64, 0.0f);
    row[0] = 127.0f;
    row[1] = -1.0f;
    row[32] = -254.0f;
    row[33] = 3.0f;  // 1.5 steps of 2, away from zero
    std::vector<int8_t> quants(64);
    std::vector<uint16_t> scales(2);
    quantize_i8c(row, quants, scales);
    EXPECT_EQ(bf16_to_f32(scales[0]), 1.0f);
    EXPECT_EQ(bf16_to_f32(scales[1]), 2.0f);
    EXPECT_EQ(quants[0], 127);
    EXPECT_EQ(quants[1], -1);
    EXPECT_EQ(quants[32], -127);
    EXPECT_EQ(quants[33], 2);
    std::vector<float> back(64);
    dequantize_i8c(quants, scales, back);
    EXPECT_EQ(back[32], -254.0f);
    EXPECT_EQ(back[33], 4.0f);
}

TEST(QuantizeI8c, DividesByTheScaleAsStored) {
    const std::vector<float> row = random_row(4 * 96, 0.01f, 3);
    std::vector<int8_t> quants(row.size());
    std::vector<uint16_t> scales(4);
    std::vector<float> back(row.size());
    quantize_i8c(row, quants, scales);
    dequantize_i8c(quants, scales, back);
    for (size_t i = 0; i < row.size(); ++i) {
        const float scale = bf16_to_f32(scales[i / 96]);
        // The extreme may be clamped: a scale rounded down by 2^-9 asks for up to 127.25.
        const float bound = std::abs(quants[i]) == 127 ? 0.75f : 0.501f;
        EXPECT_LE(std::fabs(back[i] - row[i]), scale * bound) << i;
    }
}

TEST(QuantizeI8c, ZeroGroupsStayZero) {
    std::vector<int8_t> quants(32, 5);
    std::vector<uint16_t> scales(1, 7);
    quantize_i8c(std::vector<float>(32, 0.0f), quants, scales);
    EXPECT_EQ(scales[0], 0);
    EXPECT_EQ(quants, std::vector<int8_t>(32, 0));
}

// The example of the Grok-1 checkpoint's description, transposed to rows.
TEST(QuantizeI8c, DequantizesTheCheckpointsExample) {
    const std::vector<int8_t> quants = {1, -4};
    const std::vector<uint16_t> scales = {f32_to_bf16(0.5f)};
    std::vector<float> row(2);
    dequantize_i8c(quants, scales, row);
    EXPECT_EQ(row, (std::vector<float>{0.5f, -2.0f}));
}

}  // namespace
}  // namespace core
