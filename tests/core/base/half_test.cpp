#include "core/base/half.h"

#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace core {
namespace {

// Decoders written from the definition: (-1)^s * 2^(e - bias) * 1.m.
double by_definition(uint32_t bits, int exponent_bits, int mantissa_bits, int bias) {
    const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
    const int exponent = static_cast<int>((bits >> mantissa_bits) & ((1u << exponent_bits) - 1));
    const double sign = (bits >> (exponent_bits + mantissa_bits)) != 0 ? -1 : 1;
    const double fraction = std::ldexp(mantissa, -mantissa_bits);
    if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
    return sign * std::ldexp(1 + fraction, exponent - bias);
}

// Checks rounding against the definition: `encode(x)` is the neighbour nearest to x, and of two
// equally near ones the even one. `count` codes 0..count-1 are the finite non-negative values.
template <class Encode, class Decode>
void expect_nearest_even(uint32_t count, Encode encode, Decode decode) {
    for (uint32_t code = 0; code + 1 < count; ++code) {
        const float low = decode(code);
        const float high = decode(code + 1);
        const float middle = low + (high - low) / 2;  // exact: at most one bit more
        const uint32_t even = code % 2 == 0 ? code : code + 1;
        ASSERT_EQ(encode(low), code);
        ASSERT_EQ(encode(middle), even) << code;
        ASSERT_EQ(encode(std::nextafter(middle, 0.0f)), code) << code;
        ASSERT_EQ(encode(std::nextafter(middle, high)), code + 1) << code;
    }
}

TEST(Half, EveryF16DecodesAsDefined) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const float value = f16_to_f32(static_cast<uint16_t>(bits));
        if ((bits & 0x7c00u) == 0x7c00u) {
            EXPECT_EQ(std::isnan(value), (bits & 0x3ffu) != 0);
            EXPECT_EQ(std::isinf(value), (bits & 0x3ffu) == 0);
            EXPECT_EQ(std::signbit(value), (bits & 0x8000u) != 0);
        } else {
            ASSERT_EQ(static_cast<double>(value), by_definition(bits, 5, 10, 15)) << bits;
            ASSERT_EQ(f32_to_f16(value), bits);
        }
    }
}

TEST(Half, F16RoundsToNearestEven) {
    expect_nearest_even(0x7c00, f32_to_f16,
                        [](uint32_t code) { return f16_to_f32(static_cast<uint16_t>(code)); });
}

TEST(Half, F16OverflowsToInfinityFromHalfwayOn) {
    EXPECT_EQ(f32_to_f16(65504.0f), 0x7bff);
    EXPECT_EQ(f32_to_f16(std::nextafter(65520.0f, 0.0f)), 0x7bff);
    EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
    EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
    EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::infinity()), 0x7c00);
}

TEST(Half, SmallValuesKeepTheirSign) {
    EXPECT_EQ(f32_to_f16(-0.0f), 0x8000);
    EXPECT_EQ(f32_to_f16(-1e-30f), 0x8000);
    EXPECT_EQ(f32_to_bf16(-0.0f), 0x8000);
    EXPECT_EQ(f32_to_e4m3(-1e-30f), 0x80);
}

TEST(Half, NanStaysNan) {
    const float quiet = std::numeric_limits<float>::quiet_NaN();
    const auto low_payload = std::bit_cast<float>(0xff800001u);  // only bits that are cut off
    for (const float nan : {quiet, -quiet, low_payload}) {
        EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(nan))));
        EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(nan))));
        EXPECT_TRUE(std::isnan(e4m3_to_f32(f32_to_e4m3(nan))));
        EXPECT_EQ(std::signbit(bf16_to_f32(f32_to_bf16(nan))), std::signbit(nan));
    }
}

TEST(Half, EveryBf16SurvivesARoundTrip) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const float value = bf16_to_f32(static_cast<uint16_t>(bits));
        if (!std::isnan(value)) {
            ASSERT_EQ(f32_to_bf16(value), bits);
        }
    }
}

TEST(Half, Bf16RoundsToNearestEven) {
    expect_nearest_even(0x7f80, f32_to_bf16,
                        [](uint32_t code) { return bf16_to_f32(static_cast<uint16_t>(code)); });
    EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
    EXPECT_EQ(f32_to_bf16(-std::numeric_limits<float>::infinity()), 0xff80);
}

TEST(Half, EveryE4m3DecodesAsDefined) {
    for (uint32_t bits = 0; bits < 0x100; ++bits) {
        const float value = e4m3_to_f32(static_cast<uint8_t>(bits));
        if ((bits & 0x7fu) == 0x7fu) {
            EXPECT_TRUE(std::isnan(value));
        } else {
            EXPECT_EQ(static_cast<double>(value), by_definition(bits, 4, 3, 7)) << bits;
            EXPECT_EQ(f32_to_e4m3(value), bits);
        }
    }
    EXPECT_EQ(e4m3_to_f32(0x7e), 448.0f);
    EXPECT_EQ(e4m3_to_f32(0x01), 0x1p-9f);
}

TEST(Half, E4m3RoundsToNearestEvenAndOverflowsToNan) {
    expect_nearest_even(0x7f, f32_to_e4m3,
                        [](uint32_t code) { return e4m3_to_f32(static_cast<uint8_t>(code)); });
    EXPECT_EQ(f32_to_e4m3(464.0f), 0x7e);
    EXPECT_EQ(f32_to_e4m3(std::nextafter(464.0f, 500.0f)), 0x7f);
    EXPECT_EQ(f32_to_e4m3(-std::numeric_limits<float>::infinity()), 0xff);
}

TEST(Half, ConversionsAreUsableInConstants) {
    static_assert(f16_to_f32(0x3c00) == 1.0f && f32_to_f16(0.5f) == 0x3800);
    static_assert(bf16_to_f32(0x3f80) == 1.0f && f32_to_bf16(-2.0f) == 0xc000);
    static_assert(e4m3_to_f32(0x38) == 1.0f && f32_to_e4m3(1.5f) == 0x3c);
}

}  // namespace
}  // namespace core
