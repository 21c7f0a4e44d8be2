// Every tier against the scalar tier, bit for bit, and the scalar tier against dequantized weights
// multiplied in double precision.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/kernels/kernels.h"
#include "core/tensor/blocks.h"
#include "core/tensor/matrix.h"
#include "core/tensor/panel_layout.h"
#include "core/tensor/quantize.h"

namespace core {
namespace {

constexpr DType kTypes[] = {DType::f32,    DType::f16,  DType::bf16, DType::q8_0, DType::q4_0,
                            DType::i8c,    DType::q4_1, DType::q5_0, DType::q5_1, DType::q2_k,
                            DType::q3_k,   DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl,
                            DType::iq4_xs, DType::mxfp4};

bool is_float(DType type) {
    return type == DType::f32 || type == DType::f16 || type == DType::bf16;
}

// Storage blocks of a random matrix, as a file has them, beside what they mean.
struct RandomWeights {
    std::vector<std::byte> data;
    std::vector<std::byte> scales;
    std::vector<double> meaning;  // [rows, cols]
    MatrixSource source;
};

class Generator {
  public:
    explicit Generator(uint32_t seed) : random_(seed) {}

    uint32_t bits() { return static_cast<uint32_t>(random_()); }
    float uniform(float low, float high) {
        return low + (high - low) * static_cast<float>(bits() >> 8) * 0x1p-24F;
    }
    // A bf16 or f16 of moderate size by its bits, and its value.
    std::pair<uint16_t, double> half(DType type) {
        const auto sign = static_cast<uint16_t>((bits() & 1U) << 15);
        if (type == DType::bf16) {
            const auto magnitude = static_cast<uint16_t>(0x3c00U + bits() % 0x300U);
            const auto pattern = static_cast<uint16_t>(sign | magnitude);
            return {pattern, std::bit_cast<float>(uint32_t{pattern} << 16)};
        }
        const uint32_t exponent = 7 + bits() % 8;  // value 2^(exponent - 15) (1 + fraction)
        const uint32_t fraction = bits() % 1024;
        const double value = std::ldexp(1.0 + fraction / 1024.0, static_cast<int>(exponent) - 15);
        return {static_cast<uint16_t>(sign | exponent << 10 | fraction), sign ? -value : value};
    }

  private:
    std::mt19937 random_;
};

template <class Value>
void append(std::vector<std::byte>& bytes, Value value) {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), first, first + sizeof(value));
}

void append_q8_block(Generator& random, RandomWeights& weights) {
    const auto [bits, scale] = random.half(DType::f16);
    append(weights.data, bits);
    for (int i = 0; i < 32; ++i) {
        // All 256 values, the extremes often: they are what saturates.
        const uint32_t r = random.bits();
        const auto q = static_cast<int8_t>(r % 8 == 0 ? -128 : r % 8 == 1 ? 127 : (r >> 8));
        append(weights.data, q);
        weights.meaning.push_back(scale * q);
    }
}

void append_q4_block(Generator& random, RandomWeights& weights) {
    const auto [bits, scale] = random.half(DType::f16);
    append(weights.data, bits);
    std::vector<double> values(32);
    for (size_t i = 0; i < 16; ++i) {
        const auto byte = static_cast<uint8_t>(random.bits() % 8 == 0 ? 0xff : random.bits());
        append(weights.data, byte);
        values[i] = scale * ((byte & 15) - 8);
        values[i + 16] = scale * ((byte >> 4) - 8);
    }
    weights.meaning.insert(weights.meaning.end(), values.begin(), values.end());
}

void append_i8c_row(Generator& random, RandomWeights& weights, uint32_t cols, uint32_t groups) {
    double scale = 0;
    for (uint32_t i = 0; i < cols; ++i) {
        if (i % (cols / groups) == 0) {
            const auto [bits, value] = random.half(DType::bf16);
            append(weights.scales, bits);
            scale = value;
        }
        const auto q = static_cast<int8_t>(random.bits() % 8 == 0 ? -128 : random.bits());
        append(weights.data, q);
        weights.meaning.push_back(scale * q);
    }
}

// Where the halves of a block lie that would make it huge or not a number; -1: there is none.
struct Halves {
    int scale;
    int minimum;
};

Halves halves_of(DType type) {
    switch (type) {
        case DType::q4_1:
        case DType::q5_1:
        case DType::q4_k:
        case DType::q5_k: return {0, 2};
        case DType::q2_k: return {offsetof(BlockQ2K, scale), offsetof(BlockQ2K, minimum)};
        case DType::q3_k: return {offsetof(BlockQ3K, scale), -1};
        case DType::q6_k: return {offsetof(BlockQ6K, scale), -1};
        case DType::mxfp4: return {-1, -1};
        default: return {0, -1};
    }
}

// A block of random bits with moderate scales; what it means is the reference's word, which is held
// against golden values elsewhere.
void append_random_block(Generator& random, DType type, RandomWeights& weights) {
    std::vector<std::byte> block(traits(type).bytes);
    const bool extreme = random.bits() % 8 == 0;
    for (std::byte& byte : block)
        byte = static_cast<std::byte>(extreme ? 0xff : random.bits());
    const Halves at = halves_of(type);
    for (const int offset : {at.scale, at.minimum}) {
        if (offset < 0) continue;
        const uint16_t bits = random.half(DType::f16).first;
        std::memcpy(&block[static_cast<size_t>(offset)], &bits, sizeof bits);
    }
    if (type == DType::mxfp4) block[0] = static_cast<std::byte>(120 + random.bits() % 12);
    std::vector<float> values(traits(type).block);
    dequantize_row(type, block, values);
    weights.data.insert(weights.data.end(), block.begin(), block.end());
    weights.meaning.insert(weights.meaning.end(), values.begin(), values.end());
}

RandomWeights random_weights(DType type, uint32_t rows, uint32_t cols, uint32_t groups,
                             uint32_t seed) {
    Generator random(seed);
    RandomWeights weights;
    for (uint32_t row = 0; row < rows; ++row) {
        if (type == DType::i8c) append_i8c_row(random, weights, cols, groups);
        for (uint32_t i = 0; type == DType::q8_0 && i < cols / 32; ++i) {
            append_q8_block(random, weights);
        }
        for (uint32_t i = 0; type == DType::q4_0 && i < cols / 32; ++i) {
            append_q4_block(random, weights);
        }
        if (quant_index(type) < kQuantTypeCount) {
            for (uint32_t i = 0; i < cols / traits(type).block; ++i)
                append_random_block(random, type, weights);
        }
        for (uint32_t i = 0; is_float(type) && i < cols; ++i) {
            if (type == DType::f32) {
                const float value = random.uniform(-1, 1);
                append(weights.data, value);
                weights.meaning.push_back(value);
            } else {
                const auto [bits, value] = random.half(type);
                append(weights.data, bits);
                weights.meaning.push_back(value);
            }
        }
    }
    weights.source = {.type = type,
                      .rows = rows,
                      .cols = cols,
                      .data = weights.data,
                      .scales = weights.scales,
                      .scale_groups = type == DType::i8c ? groups : 0};
    return weights;
}

struct RandomActivations {
    std::vector<float> floats;
    std::vector<int8_t> values;
    std::vector<float> scales;
    std::vector<int32_t> sums;
    std::vector<int32_t> half_sums = {};
    uint32_t tokens;
    uint32_t cols;

    ActivationView view() const {
        return {values.data(), scales.data(), sums.data(),     floats.data(),
                tokens,        cols,          half_sums.data()};
    }
    // What the kernels for this type see, as a double.
    double seen(bool quantized, size_t token, size_t col) const {
        const size_t at = token * cols + col;
        return quantized ? double{scales[at / 32]} * values[at] : double{floats[at]};
    }
};

RandomActivations random_activations(uint32_t tokens, uint32_t cols, uint32_t seed) {
    Generator random(seed);
    const size_t count = size_t{tokens} * cols;
    RandomActivations x{.floats = std::vector<float>(count),
                        .values = std::vector<int8_t>(count),
                        .scales = std::vector<float>(count / 32),
                        .sums = std::vector<int32_t>(count / 32),
                        .tokens = tokens,
                        .cols = cols};
    for (float& value : x.floats) {
        value = random.uniform(-2, 2);
    }
    // A block where every value is the extreme one: the largest integer sums.
    std::fill_n(x.floats.begin(), std::min<size_t>(32, count), 1.5F);
    if (cols % 32 == 0) {
        all_kernels()[0]->quantize(x.floats.data(), static_cast<uint32_t>(count), x.values.data(),
                                   x.scales.data(), x.sums.data());
        for (size_t block = 0; block < count / 32; ++block)
            x.half_sums.push_back(
                std::accumulate(&x.values[block * 32], &x.values[block * 32 + 16], 0));
    }
    return x;
}

constexpr float kUntouched = -12345.0F;

// y [tokens, rows + 3]: the 3 floats behind each row must stay untouched. The columns are taken in
// slices of `slice` columns.
std::vector<float> product(const Kernels& kernels, const Matrix& w, const RandomActivations& x,
                           uint32_t token_begin, uint32_t token_end, uint32_t slice = 1U << 20) {
    std::vector<float> y(size_t{x.tokens} * (w.rows() + 3), kUntouched);
    for (uint32_t col = 0; col < w.cols(); col += slice) {
        matmul_kernel(kernels, w.type())({.panels = w.panel(0),
                                          .panel_bytes = w.panel_bytes(),
                                          .rows = w.rows(),
                                          .scale_groups = w.scale_groups(),
                                          .x = x.view(),
                                          .token_begin = token_begin,
                                          .token_end = token_end,
                                          .col_begin = col,
                                          .col_end = std::min(w.cols(), col + slice),
                                          .y = y.data(),
                                          .y_stride = w.rows() + 3});
    }
    return y;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Size {
    uint32_t rows;
    uint32_t cols;
    uint32_t tokens;
    uint32_t groups;
};

// Rows and tokens around every tile size, columns with one block, odd numbers of blocks, many.
std::vector<Size> sizes_of(DType type) {
    std::vector<Size> sizes;
    for (uint32_t rows = 1; rows <= 50; ++rows) {
        sizes.push_back({rows, 96, 1 + rows * 7 % 13, 3});
    }
    for (uint32_t tokens = 1; tokens <= 70; ++tokens) {
        sizes.push_back({1 + tokens * 11 % 50, tokens % 2 == 0 ? 32U : 64U, tokens, 1});
    }
    sizes.push_back({33, 2048, 5, 8});
    sizes.push_back({16, 224, 3, 7});
    for (uint32_t cols : {1U, 7U, 24U, 33U}) {
        if (is_float(type)) sizes.push_back({37, cols, 19, 0});
    }
    // Of types with long blocks fewer sizes, each as many blocks as the others have.
    if (traits(type).block == kSuperBlock) {
        std::erase_if(sizes, [](const Size& size) { return (size.rows + size.tokens) % 3 != 0; });
        for (Size& size : sizes)
            size.cols = (size.cols + 255) / 256 * 256;
    }
    return sizes;
}

class MatmulOfType : public testing::TestWithParam<DType> {};

TEST_P(MatmulOfType, HasTheSameBitsInEveryTier) {
    for (const Size& size : sizes_of(GetParam())) {
        const auto weights =
            random_weights(GetParam(), size.rows, size.cols, size.groups, size.rows + size.tokens);
        const Matrix packed = pack(weights.source);
        const auto x = random_activations(size.tokens, size.cols, size.tokens);
        const auto expected = product(*all_kernels()[0], packed, x, 0, size.tokens);
        for (const Kernels* kernels : all_kernels().subspan(1)) {
            ASSERT_TRUE(same_bits(product(*kernels, packed, x, 0, size.tokens), expected))
                << kernels->name << ", " << size.rows << " x " << size.cols << ", " << size.tokens
                << " tokens";
        }
    }
}

TEST_P(MatmulOfType, GivesATokenTheSameBitsInAnyCompany) {
    const uint32_t company = std::max(96U, traits(GetParam()).block);
    const auto weights = random_weights(GetParam(), 45, company, 1, 7);
    const Matrix packed = pack(weights.source);
    const auto x = random_activations(23, company, 8);
    for (const Kernels* kernels : all_kernels()) {
        const auto whole = product(*kernels, packed, x, 0, 23);
        for (uint32_t begin = 0; begin < 23; ++begin) {
            for (uint32_t end = begin + 1; end <= 23; end += 3) {
                const auto part = product(*kernels, packed, x, begin, end);
                for (size_t i = 0; i < part.size(); ++i) {
                    const bool inside = i / 48 >= begin && i / 48 < end;
                    const float wanted = inside ? whole[i] : kUntouched;
                    ASSERT_EQ(std::bit_cast<uint32_t>(part[i]), std::bit_cast<uint32_t>(wanted))
                        << kernels->name << ", tokens " << begin << " to " << end << ", at " << i;
                }
            }
        }
    }
}

TEST_P(MatmulOfType, TakenInSlicesOfColumnsHasTheSameBits) {
    const uint32_t cols = traits(GetParam()).block == kSuperBlock ? 512 : 384;
    const auto weights = random_weights(GetParam(), 45, cols, 4, 11);
    const Matrix packed = pack(weights.source);
    const auto x = random_activations(9, cols, 12);
    for (const Kernels* kernels : all_kernels()) {
        const auto whole = product(*kernels, packed, x, 0, 9);
        for (uint32_t slice : {96U, 192U, 288U}) {
            EXPECT_TRUE(same_bits(product(*kernels, packed, x, 0, 9, slice), whole))
                << kernels->name << ", slices of " << slice;
        }
    }
}

TEST_P(MatmulOfType, AgreesWithDequantizedWeightsInDoublePrecision) {
    const DType type = GetParam();
    constexpr uint32_t kRows = 21;
    constexpr uint32_t kCols = 512;
    constexpr uint32_t kTokens = 5;
    const auto weights = random_weights(type, kRows, kCols, 4, 99);
    const auto x = random_activations(kTokens, kCols, 100);
    const auto y = product(*all_kernels()[0], pack(weights.source), x, 0, kTokens);
    for (size_t t = 0; t < kTokens; ++t) {
        for (size_t r = 0; r < kRows; ++r) {
            double sum = 0;
            double magnitude = 0;
            double largest = 0;
            double inputs = 0;
            for (size_t k = 0; k < kCols; ++k) {
                const double term = weights.meaning[r * kCols + k] * x.seen(!is_float(type), t, k);
                sum += term;
                magnitude += std::abs(term);
                largest = std::max(largest, std::abs(weights.meaning[r * kCols + k]));
                inputs += std::abs(x.seen(!is_float(type), t, k));
            }
            // Minimums are subtracted from sums that may be larger than what is left.
            if (quant_index(type) < kQuantTypeCount) magnitude = 2 * largest * inputs;
            // Each float rounding is 2^-24 of a partial sum, which never exceeds the magnitude:
            // one per block (quantized, and one for the scales) or per column.
            const double roundings = is_float(type) ? kCols : 3.0 * kCols / 32;
            EXPECT_NEAR(y[t * (kRows + 3) + r], sum, magnitude * roundings * 0x1p-24);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, MatmulOfType, testing::ValuesIn(kTypes), [](const auto& param_info) {
    return std::string(traits(param_info.param).name);
});

// Products with these scales are subnormal or zero; none is flushed in one tier only.
TEST(Matmul, TheSmallestScalesOfMxfp4HaveTheSameBitsInEveryTier) {
    Generator random(3);
    RandomWeights weights;
    for (uint32_t i = 0; i < 16 * 8; ++i) {
        append(weights.data, static_cast<uint8_t>(i % 6));
        for (int byte = 0; byte < 16; ++byte)
            append(weights.data, static_cast<uint8_t>(random.bits()));
    }
    const Matrix packed =
        pack({.type = DType::mxfp4, .rows = 16, .cols = 256, .data = weights.data});
    const auto x = random_activations(3, 256, 4);
    const auto expected = product(*all_kernels()[0], packed, x, 0, 3);
    EXPECT_TRUE(std::ranges::any_of(expected, [](float y) { return y != 0 && y > kUntouched; }));
    for (const Kernels* kernels : all_kernels())
        EXPECT_TRUE(same_bits(product(*kernels, packed, x, 0, 3), expected)) << kernels->name;
}

// The f16 conversion is where tiers could differ: subnormals, infinities, NaN with payload.
TEST(Matmul, ConvertsEveryF16PatternAlike) {
    std::vector<std::byte> data;
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        append(data, static_cast<uint16_t>(bits));
    }
    for (DType type : {DType::f16, DType::bf16}) {
        const Matrix packed = pack({.type = type, .rows = 0x10000, .cols = 1, .data = data});
        RandomActivations x{.floats = {1.0F},
                            .values = {},
                            .scales = {},
                            .sums = {},
                            .half_sums = {},
                            .tokens = 1,
                            .cols = 1};
        const auto expected = product(*all_kernels()[0], packed, x, 0, 1);
        for (const Kernels* kernels : all_kernels()) {
            EXPECT_TRUE(same_bits(product(*kernels, packed, x, 0, 1), expected)) << kernels->name;
        }
        EXPECT_EQ(expected[0x3c00], type == DType::f16 ? 1.0F : std::bit_cast<float>(0x3c000000U));
        if (type == DType::f16) {
            EXPECT_EQ(expected[1], 0x1p-24F);
            EXPECT_EQ(expected[0xfbff], -65504.0F);
            EXPECT_TRUE(std::isinf(expected[0x7c00]) && std::isnan(expected[0x7c01]));
        }
    }
}

TEST(Quantize, RoundsToNearestEvenAndKeepsTheSum) {
    std::vector<float> x(64, 0.0F);
    // With 127 as the largest, d = 1 and halves are exact ties.
    const float ties[] = {127.0F, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, 3.4F, -3.6F};
    std::copy(std::begin(ties), std::end(ties), x.begin());
    const int8_t wanted[] = {127, 0, 2, 2, 0, -2, -2, 3, -4};
    for (const Kernels* kernels : all_kernels()) {
        std::vector<int8_t> values(64, 99);
        std::vector<float> scales(2, 99.0F);
        std::vector<int32_t> sums(2, 99);
        kernels->quantize(x.data(), 64, values.data(), scales.data(), sums.data());
        EXPECT_TRUE(std::equal(std::begin(wanted), std::end(wanted), values.begin()))
            << kernels->name;
        EXPECT_EQ(scales[0], 1.0F);
        EXPECT_EQ(sums[0], 127 + 0 + 2 + 2 + 0 - 2 - 2 + 3 - 4);
        // A block of zeros.
        EXPECT_EQ(scales[1], 0.0F);
        EXPECT_EQ(sums[1], 0);
        EXPECT_TRUE(
            std::all_of(values.begin() + 32, values.end(), [](int8_t v) { return v == 0; }));
    }
}

TEST(Quantize, HasTheSameBitsInEveryTier) {
    Generator random(5);
    std::vector<float> x(32 * 400);
    for (size_t i = 0; i < x.size(); ++i) {
        // Blocks from subnormal to huge; below the smallest normal d they become zeros.
        const int exponent = static_cast<int>(i / 32 % 270) - 149;
        x[i] = std::ldexp(random.uniform(-1, 1), exponent);
    }
    const auto n = static_cast<uint32_t>(x.size());
    std::vector<int8_t> expected(n);
    std::vector<float> expected_scales(n / 32);
    std::vector<int32_t> expected_sums(n / 32);
    all_kernels()[0]->quantize(x.data(), n, expected.data(), expected_scales.data(),
                               expected_sums.data());
    for (const Kernels* kernels : all_kernels().subspan(1)) {
        std::vector<int8_t> values(n);
        std::vector<float> scales(n / 32);
        std::vector<int32_t> sums(n / 32);
        kernels->quantize(x.data(), n, values.data(), scales.data(), sums.data());
        EXPECT_EQ(values, expected) << kernels->name;
        EXPECT_TRUE(same_bits(scales, expected_scales)) << kernels->name;
        EXPECT_EQ(sums, expected_sums) << kernels->name;
    }
}

TEST(Probes, CountTheirWorkAndReadEverything) {
    std::vector<std::byte> data(1024, std::byte{0});
    for (const Kernels* kernels : all_kernels()) {
        EXPECT_GT(kernels->int8_work(10), 0U) << kernels->name;
        EXPECT_EQ(kernels->int8_work(20), 2 * kernels->int8_work(10)) << kernels->name;
        const uint32_t zero = kernels->read_memory(data.data(), data.size());
        for (size_t at : {size_t{0}, size_t{500}, size_t{1020}}) {
            data[at] = std::byte{1};
            EXPECT_NE(kernels->read_memory(data.data(), data.size()), zero) << kernels->name;
            data[at] = std::byte{0};
        }
    }
}

}  // namespace
}  // namespace core
