#include "core/tensor/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/half.h"
#include "core/base/hash.h"
#include "core/tensor/block_parts.h"
#include "core/tensor/blocks.h"

namespace core {
namespace {

template <class Block>
Block encode(DType type, const std::array<float, kBlock>& values) {
    Block block{};
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

// Bytes b[k] = (37 k + 11) mod 256 with the scale set to 0.5 and the minimum to 0.25; the values
// come from ggml itself.
struct Golden {
    DType type;
    int scale_at;    // -1: MXFP4, whose first byte is an exponent
    int minimum_at;  // -1: none
    std::array<float, 4> first;
    std::array<float, 2> last;
    double sum;
};

constexpr Golden kGolden[] = {
    {DType::q4_0, 0, -1, {-1.5F, 1, 3.5F, -2}, {-1.5F, 0}, -10.5},
    {DType::q4_1, 0, 2, {7.75F, 2.25F, 4.75F, 7.25F}, {5.25F, 6.25F}, 130.5},
    {DType::q5_0, 0, -1, {4.5F, -1, 1.5F, -4}, {7, 0.5F}, 7.5},
    {DType::q5_1, 0, 2, {9.75F, 12.25F, 14.75F, 9.25F}, {1.75F, 2.75F}, 260.5},
    {DType::q8_0, 0, -1, {42.5F, 61, -48.5F, -30}, {-42.5F, -24}, -88},
    {DType::q2_k, 80, 82, {16.5F, 0, 5.5F, 11}, {2.25F, 2.25F}, 1029.5},
    {DType::q3_k, 108, -1, {40.5F, -54, 13.5F, -27}, {-14, 21}, 479},
    {DType::q4_k, 0, 2, {157.75F, -12.75F, 64.75F, 142.25F}, {18.25F, 24.25F}, 27220},
    {DType::q5_k, 0, 2, {405.75F, -12.75F, 312.75F, 142.25F}, {48.25F, 54.25F}, 58108},
    {DType::q6_k, 208, -1, {-715.5F, 848, 291.5F, -265}, {-20, -30}, 2306},
    {DType::iq4_nl, 0, -1, {-17.5F, 12.5F, 56.5F, -24.5F}, {-17.5F, 0.5F}, -128.5},
    {DType::iq4_xs, 0, -1, {32.5F, -0.5F, -34.5F, 41.5F}, {176, -8}, -5502.5},
    {DType::mxfp4, -1, -1, {0, 3, -1, -6}, {1.5F, 3}, 12.5},
};

class GoldenBlocks : public testing::TestWithParam<Golden> {};

INSTANTIATE_TEST_SUITE_P(Types, GoldenBlocks, testing::ValuesIn(kGolden), [](const auto& instance) {
    return std::string(traits(instance.param.type).name);
});

TEST_P(GoldenBlocks, MeanWhatGgmlMakesOfThem) {
    const Golden& golden = GetParam();
    std::vector<uint8_t> bytes(traits(golden.type).bytes);
    for (size_t k = 0; k < bytes.size(); ++k)
        bytes[k] = static_cast<uint8_t>(37 * k + 11);
    const auto put_half = [&](int at, uint16_t half) {
        if (at >= 0) std::memcpy(&bytes[static_cast<size_t>(at)], &half, sizeof half);
    };
    put_half(golden.scale_at, 0x3800);
    put_half(golden.minimum_at, 0x3400);
    if (golden.scale_at < 0) bytes[0] = 127;
    std::vector<float> y(traits(golden.type).block);
    dequantize_row(golden.type, std::as_bytes(std::span(bytes)), y);
    for (size_t i = 0; i < golden.first.size(); ++i)
        EXPECT_EQ(y[i], golden.first[i]) << i;
    EXPECT_EQ(y[y.size() - 2], golden.last[0]);
    EXPECT_EQ(y[y.size() - 1], golden.last[1]);
    EXPECT_EQ(std::accumulate(y.begin(), y.end(), 0.0), golden.sum);
}

TEST_P(GoldenBlocks, AreTheSameBytesTakenApartAndPutTogether) {
    const QuantLayout& layout = *quant_layout(GetParam().type);
    if (layout.put_together == nullptr) return;
    std::vector<std::byte> bytes(traits(layout.type).bytes);
    std::vector<std::byte> again(bytes.size());
    for (uint32_t seed = 0; seed < 50; ++seed) {
        std::mt19937 random(seed);
        for (std::byte& byte : bytes)
            byte = static_cast<std::byte>(random());
        BlockParts parts;
        layout.take_apart(bytes.data(), parts);
        layout.put_together(parts, again.data());
        EXPECT_EQ(bytes, again);
    }
}

TEST(Dequantize, TheSmallestScalesOfMxfp4AreNotFlushed) {
    for (const int exponent : {0, 1, 2, 254, 255}) {
        std::array<uint8_t, 17> block{};
        block[0] = static_cast<uint8_t>(exponent);
        block[1] = 0xF1;
        std::array<float, kBlock> y{};
        dequantize_row(DType::mxfp4, std::as_bytes(std::span(block)), y);
        EXPECT_EQ(y[0], std::ldexp(1.0F, exponent - 128)) << exponent;
        EXPECT_EQ(y[16], exponent < 253 ? std::ldexp(-12.0F, exponent - 128) : y[16]);
    }
}

// The root mean square error of a type on values like those of weights, relative to their own.
double error_of(DType type) {
    const std::vector<float> row = random_row(64 * kSuperBlock, 0.02F, 5);
    std::vector<std::byte> bytes(row_bytes(type, row.size()));
    std::vector<float> back(row.size());
    quantize_row(type, row, bytes);
    dequantize_row(type, bytes, back);
    double error = 0;
    double size = 0;
    for (size_t i = 0; i < row.size(); ++i) {
        error += std::pow(double{back[i]} - row[i], 2);
        size += std::pow(double{row[i]}, 2);
    }
    return std::sqrt(error / size);
}

// Bounds a little above what is measured; ggml's own quantizers reach the same on such values.
TEST(Quantize, MoreBitsAndFinerScalesLeaveSmallerErrors) {
    EXPECT_LT(error_of(DType::q8_0), 0.007);
    EXPECT_LT(error_of(DType::q6_k), error_of(DType::q5_k));
    EXPECT_LT(error_of(DType::q5_k), error_of(DType::q5_1));
    EXPECT_LT(error_of(DType::q5_1), error_of(DType::q4_k));
    EXPECT_LT(error_of(DType::q4_k), error_of(DType::q4_1));
    EXPECT_LT(error_of(DType::q4_1), error_of(DType::q4_0));
    EXPECT_LT(error_of(DType::q6_k), 0.02);
    EXPECT_LT(error_of(DType::q4_k), 0.075);
    EXPECT_LT(error_of(DType::iq4_nl), error_of(DType::q4_0));
}

// Hashes of the bytes that a loop over steps, one after the other, made of these values.
TEST(Quantize, KQuantsAreTheSameBytesOnEveryProcessor) {
    std::mt19937 random(11);
    std::vector<float> row(16 * kSuperBlock);
    for (float& value : row) {
        const auto uniform = [&] { return std::ldexp(static_cast<float>(random()), -32) - 0.4F; };
        value = uniform() * uniform() * 0.1F;
    }
    const auto hash_of = [&](DType type) {
        std::vector<std::byte> bytes(row_bytes(type, row.size()));
        quantize_row(type, row, bytes);
        return hash64(bytes);
    };
    EXPECT_EQ(hash_of(DType::q4_k), 807019956457510173U);
    EXPECT_EQ(hash_of(DType::q5_k), 11972720325554849693U);
    EXPECT_EQ(hash_of(DType::q6_k), 16903152982185431607U);
}

TEST(Quantize, SuperBlocksOfZerosAndOfConstantsAreExact) {
    for (const DType type : {DType::q4_k, DType::q5_k, DType::q6_k, DType::q4_1, DType::q5_1}) {
        for (const float value : {0.0F, -0.5F}) {
            const std::vector<float> row(kSuperBlock, value);
            std::vector<std::byte> bytes(row_bytes(type, row.size()));
            std::vector<float> back(row.size(), 9.0F);
            quantize_row(type, row, bytes);
            dequantize_row(type, bytes, back);
            for (const float is : back)
                EXPECT_NEAR(is, value, 5e-4) << traits(type).name;
        }
    }
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
    std::vector<float> super(kSuperBlock);
    std::ranges::copy(values, super.begin());
    for (const DType type : {DType::q4_1, DType::q5_1, DType::q4_k, DType::q5_k, DType::q6_k}) {
        std::vector<std::byte> bytes(row_bytes(type, super.size()));
        quantize_row(type, super, bytes);
    }
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
